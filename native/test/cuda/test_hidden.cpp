// scoreHidden on the emulated device: every kernel against long double, and jobs whose bits depend on the row alone.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "covn/cuda.hpp"
#include "cuda/emulator/control.hpp"
#include "cuda/hidden_tiles.cuh"
#include "cuda/memory.hpp"
#include "cuda/score_hidden.hpp"
#include "cuda/stream.hpp"
#include "test/check.hpp"
#include "test/hidden_cases.hpp"

using namespace covn;
using namespace covn::test;
using cuda::HiddenKernel;
using cuda::HiddenOptions;
namespace emulator = cuda::emulator;

namespace {

// Bounds of the log-probs' error at these sizes, with logits of deviation 1: mostly that of sums of products in float.
constexpr double kBound = 2e-6;

Result score(const Case& c, const HiddenOptions& options = {}, bool propagate = false) {
  Result r;
  std::unique_ptr<ScoreJob> job;
  r.status = cuda::make_hidden_job(make_request(c, propagate, r), options, job);
  if (!r.status.ok()) return r;
  r.status = run_inline(*job);
  r.non_finite_rows = job->non_finite_rows();
  job.reset();
  const std::vector<std::string> findings = emulator::take_findings();
  CHECK(findings.empty());
  for (const std::string& finding : findings) std::printf("    %s\n", finding.c_str());
  CHECK(emulator::usage().device_bytes == 0 && emulator::usage().pinned_bytes == 0);
  return r;
}

HiddenOptions with(HiddenKernel kernel) {
  HiddenOptions options;
  options.kernel = kernel;
  options.staged_bytes = 20000;
  return options;
}

struct Way {
  DType dtype;
  HiddenKernel kernel;
};
// A row of 64 logits as a warp holds it, each row the same; its part, from lane `lane`.
__global__ void part_of_logits(const float* logits, float target_logit, uint32_t target, uint32_t lane,
                               cuda::TermParameters terms, cuda::HiddenPart* out) {
  using Layout = cuda::FragmentLayout<64>;
  const uint32_t first = threadIdx.x % 4 * 2;
  float sums[32];
  for (int i = 0; i < Layout::count; i++) {
    for (int r = 0; r < 2; r++) sums[Layout::index(r, i)] = logits[first + Layout::column(i)];
  }
  const cuda::HiddenPart part = cuda::part_of<Layout>(sums, 1, first, {true, target_logit, target}, terms);
  if (threadIdx.x == lane) *out = part;
}

cuda::HiddenPart device_part(const std::vector<float>& logits, float target_logit, uint32_t target,
                             double temperature) {
  cuda::Stream stream;
  cuda::DeviceBuffer<float> in;
  cuda::DeviceBuffer<cuda::HiddenPart> out;
  cuda::HiddenPart part;
  CHECK(stream.create().ok());
  CHECK(in.allocate(64, stream).ok() && out.allocate(1, stream).ok() && in.copy_in(logits.data(), 64, stream).ok());
  CHECK(cuda::launch(part_of_logits, dim3(1), dim3(32), 0, stream, in.data(), target_logit, target, 5u,
                     cuda::make_term_parameters(temperature), out.data()) == cudaSuccess);
  CHECK(out.copy_out(&part, 1, stream).ok() && stream.synchronize().ok());
  return part;
}

constexpr Way kWays[] = {{DType::f32, HiddenKernel::automatic},
                         {DType::f16, HiddenKernel::portable},
                         {DType::bf16, HiddenKernel::portable},
                         {DType::f16, HiddenKernel::hopper},
                         {DType::bf16, HiddenKernel::hopper}};

// Rows `from` of a case, in that order.
Case rows_of(const Case& c, const std::vector<size_t>& from) {
  Case part = c;
  part.rows = from.size();
  part.targets.clear();
  part.hidden.values.clear();
  part.hidden.bits.clear();
  const auto take = [&](auto& to, const auto& all, size_t row) {
    if (!all.empty()) to.insert(to.end(), all.begin() + row * c.width, all.begin() + (row + 1) * c.width);
  };
  for (size_t row : from) {
    take(part.hidden.values, c.hidden.values, row);
    take(part.hidden.bits, c.hidden.bits, row);
    part.targets.push_back(c.targets[row]);
  }
  return part;
}

}  // namespace

COVN_TEST(sizes_that_fit_no_tile) {
  for (const Way& way : kWays) {
    for (size_t width : {size_t{1}, size_t{7}, size_t{64}, size_t{77}, size_t{200}}) {
      const Case c = random_case(way.dtype, 1 + width % 5, width, 3 + 5 * width, 1.0, width);
      check_against_reference(c, score(c, with(way.kernel)), kBound);
    }
    const Case one = random_case(way.dtype, 1, 1, 1, 1.0, 1);
    check_against_reference(one, score(one, with(way.kernel)), kBound);
    const Case many = random_case(way.dtype, 131, 9, 520, 1.0, 2);
    check_against_reference(many, score(many, with(way.kernel)), kBound);
  }
}

COVN_TEST(rings_turn_under_any_schedule) {
  for (const Way& way : kWays) {
    // More steps than stages, more tiles than multiprocessors, and copies that come early (odd seeds) or late.
    const Case c = random_case(way.dtype, 260, 389, 700, 1.0, 13);
    const Result whole = score(c, with(way.kernel));
    const std::vector<size_t> some = {0, 127, 128, 259};
    Result few = score(rows_of(c, some), with(way.kernel));
    for (size_t i = 0; i < some.size(); i++) CHECK(same_row(few, i, whole, some[i]));
    check_against_reference(rows_of(c, some), few, 3e-6);
    for (uint64_t seed : {uint64_t{1}, uint64_t{2}, uint64_t{3}}) {
      emulator::set_seed(seed);
      CHECK(same(score(c, with(way.kernel)), whole));
    }
    emulator::set_seed(0);
  }
}

COVN_TEST(bias_soft_cap_and_temperature) {
  for (const Way& way : kWays) {
    Case c = random_case(way.dtype, 9, 65, 517, 1.0, 3);
    c.temperature = 0.7;
    c.softcap = 3.0;
    check_against_reference(c, score(c, with(way.kernel)), 3e-6);
    c.bias.assign(c.vocab, 0.25f);
    check_against_reference(c, score(c, with(way.kernel)), 3e-6);
    for (size_t j = 0; j < c.vocab; j += 3) c.bias[j] = -kInfinity;
    c.softcap = 0.0;
    check_against_reference(c, score(c, with(way.kernel)), 3e-6);
    // Whole tiles without a finite logit.
    for (size_t j = 0; j < 400; j++) c.bias[j] = -kInfinity;
    for (int32_t& t : c.targets) t = 401 + t % 100;
    check_against_reference(c, score(c, with(way.kernel)), 3e-6);
  }
}

COVN_TEST(parts_of_a_row) {
  Random random(14);
  std::vector<float> logits(64);
  for (float& x : logits) x = static_cast<float>(3.0 * random.normal());
  for (double temperature : {1.0, 0.3}) {
    for (uint32_t target : {0u, 13u, 63u, 64u, 0xffffffffu}) {
      const float at = target < 64 ? logits[target] : 0.5f;
      const cuda::HiddenPart part = device_part(logits, at, target, temperature);
      long double max = -kInfinity, sum = 0, weighted = 0;
      uint32_t greater = 0;
      for (float x : logits) max = std::fmax(max, static_cast<long double>(x));
      for (float x : logits) {
        const long double e = std::exp((x - max) / temperature);
        sum += e;
        weighted += e * (x - max);
        greater += x > at;
      }
      CHECK(part.max == max && part.greater == greater);
      CHECK_AT_MOST(std::fabs(part.sum / sum - 1), 1e-7);
      CHECK_AT_MOST(std::fabs(part.weighted - weighted), 1e-6);
    }
  }
  // The target itself never counts, whatever its logit is elsewhere.
  const float max = *std::max_element(logits.begin(), logits.end());
  const auto at = static_cast<uint32_t>(std::find(logits.begin(), logits.end(), max) - logits.begin());
  CHECK(device_part(logits, std::nextafter(max, 0.0f), at, 1.0).greater == 0);
  CHECK(device_part(logits, std::nextafter(max, 0.0f), at + 1, 1.0).greater == 1);
  // The first that is not finite is told.
  logits[20] = kInfinity, logits[21] = std::nanf("");
  CHECK(device_part(logits, 0.0f, 0, 1.0).max == kInfinity && std::isnan(device_part(logits, 0.0f, 0, 1.0).sum));
  logits[19] = std::nanf("");
  CHECK(std::isnan(device_part(logits, 0.0f, 0, 1.0).max));
  for (const uint32_t bits : {0x7fc00000u, 0x7fffffffu}) {  // the second is the device's own
    logits[19] = std::bit_cast<float>(bits), logits[20] = logits[21] = 0.0f;
    CHECK(std::isnan(device_part(logits, 0.0f, 0, 1.0).max));
  }
  logits.assign(64, -kInfinity);
  CHECK(device_part(logits, 0.0f, 0, 1.0).sum == 0.0 && device_part(logits, 0.0f, 0, 1.0).max == -kInfinity);
}

COVN_TEST(floats_have_the_logits_of_the_cpu_to_the_bit) {
  for (size_t width : {size_t{64}, size_t{256}, size_t{700}}) {
    const Case c = random_case(DType::f32, 40, width, 300, 2.0, width);
    Result cpu;
    std::unique_ptr<ScoreJob> job;
    CHECK(make_hidden_job(make_request(c, false, cpu), job).ok());
    CHECK(run_inline(*job).ok());
    const Result gpu = score(c);
    for (size_t row = 0; row < c.rows; row++) {
      CHECK(gpu.rank[row] == cpu.rank[row]);
      CHECK_AT_MOST(std::fabs(gpu.sequence[row] - cpu.sequence[row]), 1e-7);
      // logZ and the log-prob together are the target's logit, whose last place lies far above this bound.
      CHECK_AT_MOST(std::fabs((gpu.sequence[row] + gpu.log_z[row]) - (cpu.sequence[row] + cpu.log_z[row])), 1e-14);
    }
  }
}

COVN_TEST(log_probs_have_the_accuracy_of_the_contract) {
  // Width 1: a logit is one product, rounded once, so that what remains is the error of the terms and their sums.
  for (double deviation : {1.0, 5.0, 30.0}) {
    Case c = random_case(DType::f32, 256, 1, 4096, deviation, 16);
    for (float& h : c.hidden.values) h = 0.75f + std::fabs(h) / 8.0f;
    const Result r = score(c);
    CHECK(r.status.ok());
    double mean = 0.0, worst = 0.0, entropy = 0.0;
    for (size_t row = 0; row < c.rows; row++) {
      std::vector<float> logits(c.vocab);
      for (size_t j = 0; j < c.vocab; j++) logits[j] = c.hidden.values[row] * c.weight.values[j];
      const auto want = reference::score_row(logits.data(), c.vocab, c.targets[row], 1.0L);
      const double error = r.sequence[row] - want.token;
      mean += error / static_cast<double>(c.rows);
      worst = std::max(worst, std::fabs(error));
      entropy = std::max(entropy, std::fabs(static_cast<double>(r.entropy[row] - want.entropy)));
      CHECK(r.rank[row] == want.rank);
    }
    std::printf("    deviation %g: largest error %.2g, mean %.2g, entropy %.2g\n", deviation, worst, mean, entropy);
    CHECK_AT_MOST(worst, deviation > 5.0 ? 2e-6 : 1e-6);
    CHECK_AT_MOST(std::fabs(mean), 1e-8);
    CHECK_AT_MOST(entropy, 1e-6);
  }
}

COVN_TEST(huge_logits_keep_their_differences) {
  for (const Way& way : kWays) {
    Case c = random_case(way.dtype, 4, 1, 600, 1.0, 4);
    for (size_t row = 0; row < c.rows; row++) {
      c.hidden.values[row] = row % 2 ? -1024.0f : 1024.0f;
      if (way.dtype == DType::f16) c.hidden.bits[row] = narrow_toward_zero<Float16>(c.hidden.values[row]);
      if (way.dtype == DType::bf16) c.hidden.bits[row] = narrow_toward_zero<BFloat16>(c.hidden.values[row]);
    }
    check_against_reference(c, score(c, with(way.kernel)), 2e-6);
  }
}

COVN_TEST(equal_logits_share_a_rank) {
  for (const Way& way : kWays) {
    Case c = random_case(way.dtype, 6, 70, 800, 1.0, 5);
    // Every weight row is there twice, in different places of different tiles.
    for (size_t i = 0; i < 400 * c.width; i++) {
      c.weight.values[400 * c.width + i] = c.weight.values[i];
      if (way.dtype != DType::f32) c.weight.bits[400 * c.width + i] = c.weight.bits[i];
    }
    const Result first = score(c, with(way.kernel));
    for (int32_t& t : c.targets) t = (t + 400) % 800;
    CHECK(same(score(c, with(way.kernel)), first));
    for (int32_t rank : first.rank) CHECK(rank % 2 == 1);
  }
}

COVN_TEST(same_bits_for_any_batch_order_slices_and_schedule) {
  for (const Way& way : kWays) {
    const size_t vocab = way.dtype == DType::f32 ? 4500 : 8600;  // more than one group of tiles
    const Case c = random_case(way.dtype, 140, 33, vocab, 3.0, 6);
    const Result whole = score(c, with(way.kernel));
    check_against_reference(rows_of(c, {0, 139}), score(rows_of(c, {0, 139}), with(way.kernel)), 4e-6);
    const std::vector<size_t> from = {139, 3, 77};
    const Result part = score(rows_of(c, from), with(way.kernel));
    for (size_t i = 0; i < from.size(); i++) CHECK(same_row(part, i, whole, from[i]));
    // Weights that do not fit, panels of one and of two batches, and another order of everything.
    for (uint64_t seed : {uint64_t{1}, uint64_t{5}}) {
      HiddenOptions small = with(way.kernel);
      small.batch_rows = 128;
      small.stripe_tiles = 32;
      small.panel_batches = seed == 1 ? 1 : 2;
      small.device_bytes = seed == 1 ? 1 : size_t{8} << 20;
      emulator::set_seed(seed);
      CHECK(same(score(c, small), whole));
      emulator::set_seed(0);
    }
  }
}

COVN_TEST(streamed_weights_come_again_for_each_panel) {
  // Three stripes through two slots, for two panels.
  const Case c = random_case(DType::f32, 140, 5, 8300, 1.0, 15);
  const Result whole = score(c);
  for (uint64_t seed : {uint64_t{0}, uint64_t{2}, uint64_t{3}}) {
    HiddenOptions small;
    small.batch_rows = 128;
    small.stripe_tiles = 32;
    small.device_bytes = 1;
    emulator::set_seed(seed);
    CHECK(same(score(c, small), whole));
  }
  emulator::set_seed(0);
}

COVN_TEST(rows_not_scored_are_not_read) {
  Case c = random_case(DType::f32, 6, 9, 20, 1.0, 7);
  c.targets[1] = c.targets[4] = -1;
  for (size_t k = 0; k < c.width; k++) c.hidden.values[c.width + k] = std::nanf("");
  const Result r = score(c);
  CHECK(r.status.ok());
  CHECK(std::isnan(r.token[1]) && std::isnan(r.log_z[4]) && r.rank[4] == 0 && r.sequence[1] == 0.0);
  CHECK(std::isfinite(r.token[0]) && std::isfinite(r.token[5]));
  for (int32_t& t : c.targets) t = -1;
  CHECK(score(c).status.ok());
}

COVN_TEST(rows_that_are_not_finite_are_named_or_flagged) {
  for (const Way& way : kWays) {
    Case c = random_case(way.dtype, 150, 3, 700, 1.0, 8);
    const auto set = [&](Numbers& numbers, size_t at, float value) {
      numbers.values[at] = value;
      if (way.dtype == DType::f16) numbers.bits[at] = value != value ? 0x7e00 : narrow_toward_zero<Float16>(value);
      if (way.dtype == DType::bf16) numbers.bits[at] = value != value ? 0x7fc0 : narrow_toward_zero<BFloat16>(value);
    };
    set(c.weight, 650 * c.width, kInfinity);
    for (size_t row = 0; row < c.rows; row++) set(c.hidden, row * c.width, row == 3 || row == 141 ? 1.0f : -1.0f);
    set(c.hidden, 100 * c.width + 1, std::nanf(""));
    const Status status = score(c, with(way.kernel)).status;
    CHECK(status.code == Code::non_finite);
    CHECK(status.message.find("row 3 of hidden but received +inf") != std::string::npos);
    const Result flagged = score(c, with(way.kernel), true);
    CHECK(flagged.status.ok());
    CHECK((flagged.non_finite_rows == std::vector<int64_t>{3, 100, 141}));
    CHECK(std::isnan(flagged.sequence[3]) && std::isfinite(flagged.sequence[4]));
    // A NaN before the +inf, in the same tile and row.
    set(c.weight, 649 * c.width, std::nanf(""));
    CHECK(score(rows_of(c, {3}), with(way.kernel)).status.message.find("row 0 of hidden but received NaN") !=
          std::string::npos);
    Case none = random_case(way.dtype, 2, 3, 4, 1.0, 9);
    none.bias.assign(4, -kInfinity);
    CHECK(score(none, with(way.kernel)).status.message.find("-inf in every column") != std::string::npos);
  }
}

COVN_TEST(requests_are_refused_as_on_the_cpu) {
  const Case good = random_case(DType::f32, 3, 4, 5, 1.0, 10);
  const auto both = [&](auto change) {
    Status status[2];
    for (int device = 0; device < 2; device++) {
      Result r;
      HiddenRequest request = make_request(good, false, r);
      change(request);
      std::unique_ptr<ScoreJob> job;
      status[device] = device == 0 ? make_hidden_job(request, job) : cuda::make_hidden_job(request, job);
    }
    CHECK(!status[1].ok() && status[0].code == status[1].code && status[0].message == status[1].message);
  };
  std::vector<int32_t> targets = {0, 5, 1};
  both([](HiddenRequest& r) { r.width = 0; });
  both([](HiddenRequest& r) { r.vocab = 0; });
  both([](HiddenRequest& r) { r.hidden_count = 11; });
  both([](HiddenRequest& r) { r.weight_count = 19; });
  both([](HiddenRequest& r) { r.softcap = -1.0; });
  both([](HiddenRequest& r) { r.scoring.temperature = 0.0; });
  both([&](HiddenRequest& r) { r.scoring.targets = targets.data(); });
}

COVN_TEST(no_device_is_an_error) {
  emulator::set_device_count(0);
  CHECK(score(random_case(DType::bf16, 1, 2, 3, 1.0, 17)).status.code == Code::device);
  emulator::set_device_count(1);
}

COVN_TEST(every_failing_call_of_the_runtime_is_an_error_and_leaves_nothing) {
  const Case c = random_case(DType::bf16, 5, 16, 40, 1.0, 11);
  emulator::reset();
  const uint64_t before = emulator::calls();
  CHECK(score(c).status.ok());
  const uint64_t calls = emulator::calls() - before;
  int failed = 0;
  for (uint64_t call = 0; call < calls; call++) {
    emulator::reset();
    emulator::fail_after(call, cudaErrorMemoryAllocation);
    const Status status = score(c).status;
    CHECK(emulator::take_findings().empty());
    emulator::reset();
    failed += !status.ok();
    if (!status.ok()) CHECK(status.code == Code::out_of_memory);
  }
  std::printf("    %d of %d calls\n", failed, static_cast<int>(calls));
  CHECK(failed > static_cast<int>(calls) / 2);  // those that free and destroy may fail unnoticed
  CHECK(score(c).status.ok());
}

COVN_TEST(a_cancelled_job_says_so) {
  const Case c = random_case(DType::f32, 3, 8, 30, 1.0, 12);
  Result r;
  std::unique_ptr<ScoreJob> job;
  CHECK(cuda::make_hidden_job(make_request(c, false, r), job).ok());
  job->cancel();
  CHECK(run_inline(*job).code == Code::cancelled);
}

int main() { return run_all(); }
