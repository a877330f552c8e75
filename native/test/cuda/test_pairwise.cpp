// Pairwise counts on the emulated device: those of plain loops and of the CPU's job, exactly.
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "covn/cuda.hpp"
#include "cuda/device/triangle.hpp"
#include "cuda/emulator/control.hpp"
#include "test/adversarial.hpp"
#include "test/check.hpp"
#include "test/cuda/device_memory.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

using Make = Status (*)(LogProbMatrix, std::vector<double>, Target, std::unique_ptr<PairwiseJob>&);

Status count(Make make, const LogProbMatrix& p, const std::vector<double>& thresholds, std::vector<uint64_t>& counts) {
  std::unique_ptr<PairwiseJob> job;
  Status status = make(p, thresholds, Target::scalar, job);
  if (!status.ok()) return status;
  status = run_inline(*job);
  if (status.ok()) counts = job->counts();
  return status;
}

std::vector<uint64_t> plain_counts(const LogProbMatrix& p, const std::vector<double>& thresholds) {
  std::vector<uint64_t> counts;
  for (const double threshold : thresholds) {
    for (size_t i = 0; i < p.models; i++) {
      for (size_t j = 0; j < p.models; j++) {
        uint64_t n = 0;
        for (size_t r = 0; r < p.responses; r++) n += p.row(j)[r] - p.row(i)[r] >= threshold;
        counts.push_back(n);
      }
    }
  }
  return counts;
}

const std::vector<double> kThresholds{3.0, 0.0, 1.0, 3.0, 0.5, 7.0, 5e-324, 1e6, 1e300};

}  // namespace

COVN_TEST(counts_are_exact_for_every_shape_of_tiles) {
  // Parts of a cell, of a tile, of several; responses around a tile of 32 and a segment of 4096.
  for (const size_t models : {1, 2, 3, 4, 5, 63, 64, 65, 70, 129, 197}) {
    for (const size_t responses : {1, 31, 33, 4097}) {
      if (models * responses > 30000 || (models > 100 && responses > 40)) continue;
      const std::vector<double> values =
          adversarial_log_probs(models * responses, kThresholds, models * 10000 + responses);
      const LogProbMatrix p{values.data(), models, responses};
      std::vector<uint64_t> counts;
      CHECK(count(cuda::make_pairwise_job, p, kThresholds, counts).ok());
      CHECK(counts == plain_counts(p, kThresholds));
    }
  }
  CHECK(cuda::emulator::take_findings().empty());
}

COVN_TEST(counts_are_those_of_the_cpu_for_any_memory_and_order) {
  const size_t models = 67, responses = 700;
  const std::vector<double> values = adversarial_log_probs(models * responses, kThresholds, 1);
  const LogProbMatrix p{values.data(), models, responses};
  std::vector<uint64_t> want, counts;
  const std::vector<double> thresholds{0.5, 0.0};  // their counts have to fit beside the slots
  CHECK(count(covn::make_pairwise_job, p, thresholds, want).ok());
  CHECK(want == plain_counts(p, thresholds));
  for (const uint64_t seed : {0, 1, 5, 6}) {
    // Everything at once, some responses, and one by one.
    for (const size_t slot : {size_t{1} << 22, size_t{140 * 67 * 8}, size_t{35 * 67 * 8}}) {
      const DeviceMemory memory(slot);
      cuda::emulator::set_seed(seed);
      cuda::emulator::reset();
      CHECK(count(cuda::make_pairwise_job, p, thresholds, counts).ok() && counts == want);
      const auto usage = cuda::emulator::usage();
      CHECK(usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0 && usage.events == 0);
    }
  }
  cuda::emulator::set_seed(0);
  CHECK(cuda::emulator::take_findings().empty());
  CHECK(cuda::emulator::unpinned_copies() == 0);
}

COVN_TEST(properties_of_counts) {
  const size_t models = 20, responses = 500;
  Random random(3);
  std::vector<double> values(models * responses);
  for (double& v : values) v = -100.0 + 30.0 * random.normal();
  std::vector<uint64_t> counts, more, shifted;
  const LogProbMatrix p{values.data(), models, responses};
  CHECK(count(cuda::make_pairwise_job, p, {0.0, 1e-3}, counts).ok());
  for (size_t i = 0; i < models; i++) {
    CHECK(counts[i * models + i] == responses && counts[(models + i) * models + i] == 0);
    for (size_t j = 0; j < models; j++) {
      // No two of these are equal: one exceeds the other.
      if (i != j) CHECK(counts[i * models + j] + counts[j * models + i] == responses);
      CHECK(counts[(models + i) * models + j] <= counts[i * models + j]);
    }
  }
  // Responses in another order.
  std::vector<double> turned(values.size());
  for (size_t i = 0; i < models; i++) {
    for (size_t r = 0; r < responses; r++) turned[i * responses + r] = values[(i + 1) * responses - 1 - r];
  }
  CHECK(count(cuda::make_pairwise_job, {turned.data(), models, responses}, {0.0, 1e-3}, more).ok() && more == counts);
  // Powers of two change no rounding.
  for (double& v : turned) v *= 0x1p-600;
  CHECK(count(cuda::make_pairwise_job, {turned.data(), models, responses}, {0.0, 1e-3 * 0x1p-600}, shifted).ok());
  CHECK(shifted == counts);
}

COVN_TEST(what_is_no_log_prob_is_named_as_on_the_cpu) {
  for (const size_t models : {3, 70}) {
    for (const auto& [first, second] : {std::pair{size_t{500}, size_t{1100}}, {2100, 2039}, {2041, 2500}, {0, 0}}) {
      for (const double bad : {kInfinity, std::nan(""), -std::nan("")}) {
        const size_t responses = 2600;
        std::vector<double> values(models * responses, -1.0);
        values[(models - 1) * responses + first] = bad;
        values[1 * responses + second] = kInfinity;
        const LogProbMatrix p{values.data(), models, responses};
        std::vector<uint64_t> counts;
        const Status want = count(covn::make_pairwise_job, p, {1.0}, counts);
        CHECK(want.code == Code::non_finite);
        for (const size_t slot : {size_t{1} << 24, size_t{300} * models * 8}) {
          const DeviceMemory memory(slot);
          const Status status = count(cuda::make_pairwise_job, p, {1.0}, counts);
          CHECK(status.code == want.code && status.message == want.message);
          CHECK(count(cuda::make_pairwise_job, p, {}, counts).message == want.message);
        }
      }
    }
  }
}

COVN_TEST(bad_requests_are_refused_as_on_the_cpu) {
  const std::vector<double> values(12, -1.0);
  const auto equal = [&](size_t models, const std::vector<double>& thresholds) {
    std::vector<uint64_t> counts;
    const LogProbMatrix p{values.data(), models, models == 5000 ? size_t{0} : size_t{4}};
    const Status want = count(covn::make_pairwise_job, p, thresholds, counts);
    const Status status = count(cuda::make_pairwise_job, p, thresholds, counts);
    CHECK(!want.ok() && status.code == want.code && status.message == want.message);
  };
  equal(0, {1.0});
  equal(3, {-1.0});
  equal(3, {std::nan("")});
  equal(3, {kInfinity});
  equal(5000, {1.0});
  equal(65536, {1.0});
  equal(60000, {1.0});
}

COVN_TEST(every_call_of_the_runtime_may_fail) {
  const std::vector<double> values = adversarial_log_probs(5 * 300, kThresholds, 4);
  const LogProbMatrix p{values.data(), 5, 300};
  const DeviceMemory memory(4000);
  cuda::emulator::reset();
  std::vector<uint64_t> want, counts;
  CHECK(count(cuda::make_pairwise_job, p, kThresholds, want).ok());
  const uint64_t before = cuda::emulator::calls();
  CHECK(count(cuda::make_pairwise_job, p, kThresholds, counts).ok());
  const uint64_t calls = cuda::emulator::calls() - before;
  CHECK(calls > 30);
  for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
    for (uint64_t call = 0; call < calls; call++) {
      cuda::emulator::fail_after(call, error);
      const Status status = count(cuda::make_pairwise_job, p, kThresholds, counts);
      CHECK(status.ok() ? counts == want
                        : status.code == (error == cudaErrorMemoryAllocation ? Code::out_of_memory : Code::device));
      CHECK(cuda::emulator::take_findings().empty());
      cuda::emulator::reset();
      const auto usage = cuda::emulator::usage();
      CHECK(usage.streams == 0 && usage.events == 0 && usage.device_bytes == 0 && usage.pinned_bytes == 0);
    }
  }
}

COVN_TEST(places_of_a_triangle) {
  uint32_t p = 0;
  for (uint32_t column = 0; column < 1200; column++) {
    for (uint32_t row = 0; row <= column; row++, p++) {
      const cuda::PairPlace place = cuda::triangle_place(p);
      CHECK(place.row == row && place.column == column);
    }
  }
}

int main() { return run_all(); }
