// Best-of-N on the emulated device: what the CPU gives, to the bit but for sums of doubles.
#include <chrono>
#include <cmath>
#include <future>
#include <string>
#include <vector>

#include "covn/cuda.hpp"
#include "covn/learn.hpp"
#include "cuda/best_of_n.hpp"
#include "cuda/emulator/control.hpp"
#include "test/bests.hpp"
#include "test/cuda/device_memory.hpp"

using namespace covn;
using namespace covn::test;

namespace {

Outcome on_device(BestOfNRequest request, bool with_all) {
  Outcome out;
  attach(request, out, with_all);
  std::unique_ptr<Job> job;
  out.status = cuda::make_best_of_n_job(std::move(request), job);
  if (out.status.ok()) out.status = run_inline(*job);
  return out;
}

bool near(double a, double b, double magnitude) {
  return std::isfinite(b) ? std::fabs(a - b) <= 1e-12 * magnitude : a == b || (std::isnan(a) && std::isnan(b));
}

bool agrees(const BestOfNRequest& request, bool with_all) {
  const Outcome device = on_device(request, with_all), cpu = best_of_n(request, with_all);
  bool equal = device.status.ok() && cpu.status.ok();
  for (auto field : {&Outcome::successes, &Outcome::best, &Outcome::kept_rewards, &Outcome::kept_samples,
                     &Outcome::kept_log_probs, &Outcome::rewards, &Outcome::log_probs}) {
    equal = equal && (device.*field).size() == (cpu.*field).size() &&
            same((device.*field).data(), (cpu.*field).data(), (cpu.*field).size());
  }
  for (size_t p = 0; equal && p < request.prompts.size(); p++) {
    const double* const found = device.sums.data() + p * kSums;
    const double* const want = cpu.sums.data() + p * kSums;
    const double n = static_cast<double>(request.samples);
    // Squared distances are off by what rewards of their size are.
    const double spread = std::fabs(want[1]) + 1e-3 * want[0] * want[0] / n;
    equal = near(found[0], want[0], std::fabs(want[0]) + n) && near(found[1], want[1], spread) &&
            near(found[2], want[2], std::fabs(want[2])) && found[3] == want[3] && found[4] == want[4];
  }
  return equal;
}

void check(const Setting& setting, const std::vector<uint32_t>& prompts, uint64_t samples, size_t keep, bool with_all) {
  const bool right = agrees(request_of(setting, prompts, samples, keep), with_all);
  if (!right) std::printf("    %s, N %llu, keep %zu\n", setting.name, static_cast<unsigned long long>(samples), keep);
  CHECK(right);
}

}  // namespace

COVN_TEST(rewards_of_every_kind_are_the_cpus) {
  for (const Setting& setting : settings()) {
    for (uint64_t samples : {1, 2, 31, 32, 33, 1023, 1024, 1025}) {
      for (size_t keep : {0, 1, 7}) check(setting, {0, 5, 2, 2}, samples, keep, keep == 7);
    }
    check(setting, {3, 1}, 9000, 1, true);
    check(setting, {4}, 40'000, 1, false);
  }
  CHECK(nothing_left());
}

COVN_TEST(many_are_kept) {
  const std::vector<Setting> all = settings();
  check(all[0], {2}, 20'000, 1000, false);
  check(all.back(), {2, 3}, 20'000, 5000, false);  // few values: most of what is kept ties
  check(all[1], {1, 1}, 50, 200, false);           // more than there are
}

COVN_TEST(lengths_that_cut_responses_off) {
  Setting setting = settings()[0];
  for (const size_t length : {1, 2, 3, 4, 5, 39, 100}) {
    BestOfNRequest request = request_of(setting, {0, 1, 2}, 300, 1);
    request.max_length = length;
    CHECK(agrees(request, true));
  }
  CHECK(cuda::rollout_part_samples(uint64_t{1} << 31, 64) == 8192);
  CHECK(cuda::rollout_part_samples(1000, 64) == 256 && cuda::rollout_part_samples(100, 64) == 100);
  CHECK(cuda::rollout_part_samples(1000, kMaxResponseLength) == 32);
}

// Thresholds that 32 bits of a draw leave open: with w tokens of equal chances but for a little, about w of 2^32 words
// near each do, so rows of many tokens.
COVN_TEST(words_that_do_not_decide) {
  TabularRows rows;
  constexpr size_t kVocab = 600'000;
  Random random(5);
  rows.vocab = kVocab;
  double sum = 0.0;
  for (size_t t = 0; t < kVocab; t++) sum += rows.log_probs.emplace_back(random.uniform() + 0.5);
  for (double& p : rows.log_probs) p = std::log(p / sum);
  rows.next.assign(kVocab, 0);
  rows.starts = {0};
  BestOfNRequest request;
  CHECK(make_tabular_model(rows, const_cast<std::shared_ptr<const TabularModel>&>(request.model)).ok());
  request.prompts = {0};
  request.samples = 2000;
  request.seed = 3;
  request.max_length = 40;
  request.sizes = {2000};
  request.keep = 1;
  request.target = best_target();
  // 80,000 draws, of which 2 w / 2^32 each: some 22; a table too large for shared memory.
  CHECK(agrees(request, true));
}

COVN_TEST(linear_models) {
  LinearFeatures features;
  features.dimension = 3;
  TabularRows machine = drawn_machine();
  machine.log_probs.clear();
  Random random(8);
  for (size_t i = 0; i < machine.next.size() * 3; i++) features.dense.push_back(random.normal());
  BestOfNRequest request = request_of(settings()[0], {0, 3}, 3000, 1);
  std::shared_ptr<const TabularModel> model;
  CHECK(make_linear_model(machine, features, {0.4, -1.0, 0.7}, model).ok());
  request.model = model;
  CHECK(agrees(request, true));
}

COVN_TEST(zeros_of_both_signs_are_one) {
  Setting setting = settings().back();
  setting.reward.automaton.values = {-0.0, 0.0, -0.0, 0.0, -1.0, -0.0};
  for (const uint64_t samples : {1, 40, 3000}) check(setting, {0, 1, 2}, samples, 3, true);
}

COVN_TEST(everything_that_is_kept_comes_in_any_slices) {
  for (const size_t slot : {size_t{9000}, size_t{40'000}, size_t{1} << 22}) {
    const DeviceMemory memory(slot + 200'000);
    for (const size_t index : {size_t{0}, size_t{3}, size_t{7}}) {
      check(settings()[index], {4, 0, 1}, 2000, 30, true);
      check(settings()[index], {4, 0, 1, 2, 3, 5}, 5, 2, false);
    }
  }
}

COVN_TEST(neither_memory_nor_multiprocessors_nor_schedules_change_a_bit) {
  for (const size_t index : {size_t{0}, size_t{5}}) {
    const BestOfNRequest request = request_of(settings()[index], {0, 1, 2, 3, 4, 5}, 3000, 1);
    const Outcome want = on_device(request, false);
    for (const uint64_t seed : {0, 1, 7}) {
      for (const size_t slot : {size_t{1} << 22, size_t{1500}}) {
        for (const int multiprocessors : {1, 4}) {
          const DeviceMemory memory(slot + 200'000);
          cuda::emulator::set_seed(seed);
          cuda::emulator::set_multiprocessors(multiprocessors);
          const Outcome out = on_device(request, false);
          for (size_t p = 0; p < 6; p++) CHECK(same_prompt(out, p, 6, want, p, 6));
        }
      }
    }
    cuda::emulator::set_seed(0);
    cuda::emulator::set_multiprocessors(4);
    BestOfNRequest other = request;
    other.prompts = {5, 2};
    const Outcome out = on_device(other, true);
    CHECK(same_prompt(out, 0, 2, want, 5, 6) && same_prompt(out, 1, 2, want, 2, 6));
  }
  CHECK(nothing_left());
}

COVN_TEST(failures_are_errors_that_leave_nothing) {
  const BestOfNRequest request = request_of(settings()[4], {0, 1}, 2500, 2);
  const Outcome want = on_device(request, true);
  cuda::emulator::reset();
  const uint64_t before = cuda::emulator::calls();
  CHECK(same_prompt(on_device(request, true), 1, 2, want, 1, 2));
  const uint64_t calls = cuda::emulator::calls() - before;
  for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
    for (uint64_t n = 0; n < calls; n++) {
      cuda::emulator::fail_after(n, error);
      const Status status = on_device(request, true).status;
      CHECK(status.ok() || status.code == (error == cudaErrorMemoryAllocation ? Code::out_of_memory : Code::device));
      CHECK(error != cudaErrorMemoryAllocation || cuda::emulator::take_findings().empty());
      cuda::emulator::reset();
      const auto usage = cuda::emulator::usage();
      CHECK(usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0 && usage.events == 0);
    }
  }
  Outcome out;
  BestOfNRequest cancelled = request;
  attach(cancelled, out, true);
  std::unique_ptr<Job> job;
  CHECK(cuda::make_best_of_n_job(cancelled, job).ok() && job->run_one_chunk());
  job->cancel();
  CHECK(job->settle().code == Code::cancelled);
  job.reset();
  CHECK(nothing_left());
  BestOfNRequest wrong = request;
  wrong.sizes = {7};
  CHECK(on_device(wrong, false).status.message == best_of_n(wrong, false).status.message);
  wrong = request;
  wrong.max_length = 0;
  CHECK(on_device(wrong, false).status.message == best_of_n(wrong, false).status.message);
}

// A part of responses that never end takes minutes here.
COVN_TEST(a_long_part_ends_when_it_is_cancelled) {
  TabularRows endless;
  endless.vocab = 2;
  endless.log_probs = {std::log(0.5), std::log(0.5)};
  endless.next = {0, 0};
  endless.starts = {0};
  Setting setting = settings()[0];
  setting.drawn = endless;
  BestOfNRequest request = request_of(setting, {0}, uint64_t{1} << 31, 1);
  request.max_length = kMaxResponseLength;
  Outcome out;
  attach(request, out, false);
  std::unique_ptr<Job> made;
  CHECK(cuda::make_best_of_n_job(request, made).ok());
  const std::shared_ptr<Job> job = std::move(made);
  ThreadPool pool(2);
  std::promise<Status> done;
  auto outcome = done.get_future();
  pool.submit(job, 0, [&done](Status status) { done.set_value(std::move(status)); });
  CHECK(outcome.wait_for(std::chrono::milliseconds(200)) == std::future_status::timeout);
  pool.cancel(*job);
  CHECK(outcome.wait_for(std::chrono::seconds(20)) == std::future_status::ready);
  CHECK(outcome.get().code == Code::cancelled);
  CHECK(nothing_left());
}

int main() { return run_all(); }
