// Coverage tail counts on the emulated device: counts of plain loops; sums of weights against exact integers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "covn/cuda.hpp"
#include "cuda/device/fixed_point.hpp"
#include "cuda/emulator/control.hpp"
#include "test/check.hpp"
#include "test/cuda/device_memory.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Tails {
  Status status;
  std::vector<uint64_t> counts;
  std::vector<double> weights;
};

Tails count(const std::vector<double>& log_ratios, const std::vector<double>& weights,
            const std::vector<double>& thresholds) {
  Tails tails;
  std::unique_ptr<TailCountsJob> job;
  TailCountsRequest request{log_ratios.data(), weights.empty() ? nullptr : weights.data(), log_ratios.size(),
                            thresholds};
  tails.status = cuda::make_tail_counts_job(std::move(request), job);
  if (!tails.status.ok()) return tails;
  tails.status = run_inline(*job);
  tails.counts = job->counts();
  tails.weights = job->weights();
  return tails;
}

// Log ratios that hit thresholds exactly, or miss them by one unit in the last place.
std::vector<double> tied(size_t n, const std::vector<double>& thresholds, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(n);
  for (double& v : values) {
    const double threshold = thresholds[random.bits() % thresholds.size()];
    switch (random.bits() % 6) {
      case 0: v = threshold; break;
      case 1: v = std::nextafter(threshold, -kInfinity); break;
      case 2: v = std::nextafter(threshold, kInfinity); break;
      case 3: v = kInfinity; break;
      case 4: v = random.bits() % 2 ? -0.0 : -std::numeric_limits<double>::max(); break;
      default: v = 3.0 * random.normal(); break;
    }
  }
  return values;
}

std::vector<double> thresholds_of(size_t count) {
  std::vector<double> thresholds;
  for (size_t k = 0; k < count; k++) thresholds.push_back(std::log(1.0 + static_cast<double>(k)));
  return thresholds;
}

}  // namespace

COVN_TEST(counts_are_exact) {
  for (const size_t n : {0, 1, 31, 1023, 1025, 9000}) {
    for (const size_t k : {0, 1, 7, 8, 9, 20}) {
      const std::vector<double> thresholds = thresholds_of(k), log_ratios = tied(n, thresholds_of(k + 1), n + k);
      std::vector<uint64_t> want;
      for (const double t : thresholds) {
        want.push_back(static_cast<uint64_t>(
            std::count_if(log_ratios.begin(), log_ratios.end(), [&](double x) { return x >= t; })));
      }
      const Tails tails = count(log_ratios, {}, thresholds);
      CHECK(tails.status.ok() && tails.counts == want && tails.weights.empty());
    }
  }
}

COVN_TEST(sums_of_weights_are_rounded_once_whatever_the_order) {
  const size_t n = 5000;
  const std::vector<double> thresholds{2.0, 0.0, 0.5};
  std::vector<double> log_ratios = tied(n, thresholds, 1), weights(n);
  Random random(2);
  // Whole multiples of 2^-20 of up to 53 bits, whose sums 64 bits of integers hold.
  std::vector<uint64_t> units(n);
  for (size_t i = 0; i < n; i++) {
    units[i] = random.bits() >> (13 + random.bits() % 40);
    weights[i] = static_cast<double>(units[i]) * 0x1p-20;
    if (units[i] % 7 == 0) weights[i] = -0.0, units[i] = 0;
  }
  std::vector<double> want;
  for (const double t : thresholds) {
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += log_ratios[i] >= t ? units[i] : 0;
    want.push_back(static_cast<double>(sum) * 0x1p-20);
  }
  for (const uint64_t seed : {0, 1, 7}) {
    for (const size_t slot : {size_t{1} << 22, size_t{10000}, size_t{700}}) {
      const DeviceMemory memory(slot);
      cuda::emulator::set_seed(seed);
      cuda::emulator::reset();
      const Tails tails = count(log_ratios, weights, thresholds);
      CHECK(tails.status.ok() && tails.weights == want);
      const auto usage = cuda::emulator::usage();
      CHECK(usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0);
    }
  }
  cuda::emulator::set_seed(0);
  std::reverse(log_ratios.begin(), log_ratios.end());
  std::reverse(weights.begin(), weights.end());
  CHECK(count(log_ratios, weights, thresholds).weights == want);
  CHECK(cuda::emulator::take_findings().empty() && cuda::emulator::unpinned_copies() == 0);
}

COVN_TEST(weights_of_any_scale) {
  const std::vector<double> log_ratios(3000, 1.0);
  for (const double scale : {1.0, 0x1p-1040, 0x1p900, 1e-5}) {
    Random random(5);
    std::vector<double> weights(3000);
    long double sum = 0;
    for (double& w : weights) sum += w = scale * std::exp(4.0 * random.normal());
    const double got = count(log_ratios, weights, {0.0}).weights[0];
    CHECK_AT_MOST(std::fabs(got - sum) / sum, scale < 1e-300 ? 1e-10 : 0x1p-53 + 1e-18);
  }
  CHECK(count({1.0, 1.0}, {0.0, 0.0}, {0.0}).weights[0] == 0.0);
  // What a double sum would lose one by one.
  std::vector<double> weights(3000, 0x1p-54);
  weights[17] = 1.0;
  CHECK(count(log_ratios, weights, {0.0}).weights[0] == 1.0 + 2999 * 0x1p-54);
}

COVN_TEST(fixed_point_numbers) {
  using namespace covn::cuda;
  Random random(6);
  for (int i = 0; i < 10000; i++) {
    const double x = std::ldexp(static_cast<double>(random.bits() >> 11), static_cast<int>(random.bits() % 40));
    CHECK(from_fixed(to_fixed(x, -8), -8) == x);
    const double y = static_cast<double>(random.bits() >> 12);
    // Exact in 128 bits, then rounded once; long double has 64.
    const long double exact = static_cast<long double>(x) + y;
    if (x < 0x1p62) CHECK(from_fixed(add(to_fixed(x, -1), to_fixed(y, -1)), -1) == static_cast<double>(exact));
  }
  CHECK(from_fixed({1, uint64_t{1} << 53}, 0) == 0x1p117);
  CHECK(from_fixed({0, (uint64_t{1} << 54) + 2}, 0) == 0x1p118);           // a tie, to the even one
  CHECK(from_fixed({1, (uint64_t{1} << 54) + 2}, 0) == 0x1p118 + 0x1p66);  // just above it
  CHECK(to_fixed(5e-324, -1074).low == 1 && to_fixed(5e-324, -1074).high == 0);
}

COVN_TEST(bad_input_is_named) {
  std::vector<double> log_ratios(4000, 1.0), weights(4000, 1.0);
  for (const size_t slot : {size_t{1} << 22, size_t{2000}}) {
    const DeviceMemory memory(slot);
    log_ratios[3100] = std::nan("");
    log_ratios[2500] = -kInfinity;
    Tails tails = count(log_ratios, {}, {1.0});
    CHECK(tails.status.code == Code::non_finite &&
          tails.status.message == "Expected a finite number or +Infinity for logRatios[2500] but received -Infinity");
    log_ratios[2500] = 1.0;
    tails = count(log_ratios, weights, {});
    CHECK(tails.status.message == "Expected a finite number or +Infinity for logRatios[3100] but received NaN");
    log_ratios[3100] = 1.0;
    for (const double bad : {-1.0, kInfinity, std::nan("")}) {
      weights[3999] = weights[77] = bad;
      tails = count(log_ratios, weights, {1.0});
      CHECK(tails.status.code == Code::range &&
            tails.status.message.find("a finite number >= 0 for weights[77] but received") != std::string::npos);
      weights[3999] = weights[77] = 1.0;
    }
  }
  CHECK(count(log_ratios, {}, {-1.0}).status.code == Code::range);
  CHECK(count(log_ratios, {}, {kInfinity}).status.code == Code::range);
}

COVN_TEST(every_call_of_the_runtime_may_fail) {
  const std::vector<double> log_ratios(3000, 1.0), weights(3000, 0.5), thresholds{1.0, 2.0};
  const DeviceMemory memory(10000);
  cuda::emulator::reset();
  const uint64_t before = cuda::emulator::calls();
  CHECK(count(log_ratios, weights, thresholds).status.ok());
  const uint64_t calls = cuda::emulator::calls() - before;
  for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
    for (uint64_t call = 0; call < calls; call++) {
      cuda::emulator::fail_after(call, error);
      const Tails tails = count(log_ratios, weights, thresholds);
      CHECK(tails.status.ok()
                ? tails.weights[0] == 1500.0 && tails.counts[1] == 0
                : tails.status.code == (error == cudaErrorMemoryAllocation ? Code::out_of_memory : Code::device));
      CHECK(cuda::emulator::take_findings().empty());
      cuda::emulator::reset();
      const auto usage = cuda::emulator::usage();
      CHECK(usage.streams == 0 && usage.device_bytes == 0 && usage.pinned_bytes == 0);
    }
  }
}

int main() { return run_all(); }
