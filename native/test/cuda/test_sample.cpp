// sampleLogits on the emulated device: the CPU's tokens, the scores' log-probs, and proofs that hold in long double.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "covn/cuda.hpp"
#include "cuda/emulator/control.hpp"
#include "cuda/memory.hpp"
#include "cuda/sample_logits.hpp"
#include "cuda/score_logits.hpp"
#include "cuda/stream.hpp"
#include "test/sampling.hpp"
#include "test/cuda/device_memory.hpp"

using namespace covn;
using namespace covn::test;

namespace {

template <class T>
Samples draw_on_device(const SampleBatch<T>& batch) {
  Samples out;
  std::unique_ptr<Job> job;
  out.status = cuda::make_sample_job(request_of(batch, Target::scalar, out), job);
  if (out.status.ok()) out.status = run_inline(*job);
  return out;
}

// Whether log-probs are bit for bit what the device's scores of the tokens are.
template <class T>
bool are_scores(const SampleBatch<T>& batch, const Samples& out) {
  std::vector<float> scores(batch.rows());
  double sequence = 0.0;
  bool same = true;
  for (size_t i = 0; i < batch.samples; i += 1 + batch.samples / 10) {
    std::vector<int32_t> targets;
    for (size_t row = 0; row < batch.rows(); row++) targets.push_back(out.tokens[row * batch.samples + i]);
    LogitsRequest request;
    request.logits = batch.logits.data();
    request.logit_count = batch.logits.size();
    request.dtype = kDType<T>;
    request.vocab = batch.vocab;
    request.scoring.targets = targets.data();
    request.scoring.rows = batch.rows();
    request.scoring.offsets = {0, static_cast<int64_t>(batch.rows())};
    request.scoring.sequence = &sequence;
    request.scoring.token = scores.data();
    std::unique_ptr<ScoreJob> job;
    same = same && cuda::make_score_job(request, job).ok() && run_inline(*job).ok();
    for (size_t row = 0; row < batch.rows(); row++) {
      same = same && scores[row] == out.log_prob[row * batch.samples + i];
    }
  }
  return same;
}

// Whether sampled log-probs are the reference's of the tokens.
template <class T>
bool are_filtered(const SampleBatch<T>& batch, const Samples& out) {
  const SampleFilter& f = batch.filter;
  for (size_t row = 0; row < batch.rows(); row++) {
    const std::vector<float> x = batch.wide(row);
    const auto want = reference::sampled_distribution(x.data(), x.size(), f.temperature, f.top_k, f.top_p, f.min_p);
    if (want.margin < kBoundary) continue;
    for (size_t at = row * batch.samples; at < (row + 1) * batch.samples; at++) {
      const auto token = static_cast<size_t>(out.tokens[at]);
      const double log_prob = static_cast<double>(want.log_prob[token]);
      if (!(std::fabs(out.sampled_log_prob[at] - log_prob) <= 2e-6 + 0x1p-23 * std::fabs(log_prob))) return false;
    }
  }
  return true;
}

template <class T>
void check_batch(const SampleBatch<T>& batch) {
  const Samples device = draw_on_device(batch), cpu = draw(batch, best_target());
  CHECK(device.status.ok() && cpu.status.ok());
  CHECK(device.tokens == cpu.tokens);
  CHECK(are_scores(batch, device));
  CHECK(are_filtered(batch, device));
}

// What the kernels alone give, on data that lies on the device.
template <class T>
struct DeviceDraws {
  std::vector<int32_t> tokens;
  std::vector<uint8_t> open;
};
template <class T>
DeviceDraws<T> draw_kernels_alone(const SampleBatch<T>& batch) {
  using namespace covn::cuda;
  const size_t rows = batch.rows(), draws = rows * batch.samples, parts = rows * row_cut<T>(batch.vocab).parts;
  Stream stream;
  CHECK(stream.create().ok());
  DeviceBuffer<T> logits;
  DeviceBuffer<uint32_t> words;
  DeviceBuffer<RowPart> row_parts;
  DeviceBuffer<double> prefix;
  DeviceBuffer<DrawnRow> drawn;
  DeviceBuffer<int32_t> tokens;
  DeviceBuffer<uint8_t> open;
  CHECK(logits.allocate(batch.logits.size() + 16, stream).ok() && words.allocate(3 * rows, stream).ok() &&
        row_parts.allocate(parts, stream).ok() && prefix.allocate(parts, stream).ok() &&
        drawn.allocate(rows, stream).ok() && tokens.allocate(draws, stream).ok() && open.allocate(draws, stream).ok());
  CHECK(logits.copy_in(batch.logits.data(), batch.logits.size(), stream).ok() &&
        words.copy_in(batch.sequences.data(), rows, stream).ok() &&
        words.copy_in(batch.positions.data(), rows, stream, rows).ok() &&
        words.copy_in(batch.firsts.data(), rows, stream, 2 * rows).ok());
  const SampleRows<T> in{logits.data(), rows, batch.vocab, words.data(), words.data() + rows, words.data() + 2 * rows};
  CHECK(enqueue_sample(in, {batch.filter, batch.seed, 0, batch.samples}, {row_parts.data(), prefix.data()},
                       {drawn.data(), tokens.data(), open.data(), nullptr, nullptr}, stream) == cudaSuccess);
  DeviceDraws<T> out{std::vector<int32_t>(draws), std::vector<uint8_t>(draws)};
  CHECK(tokens.copy_out(out.tokens.data(), draws, stream).ok() && open.copy_out(out.open.data(), draws, stream).ok());
  CHECK(stream.synchronize().ok());
  return out;
}

}  // namespace

template <class T>
void check_shapes() {
  uint64_t seed = 1;
  for (const size_t vocab : {1, 7, 32, 513, 1000, 1025, 5003, 20000}) {
    for (const double deviation : {0.0, 2.0, 30.0}) {
      for (const size_t samples : {1, 5, 300}) {
        check_batch(random_batch<T>(vocab > 5000 ? 2 : 5, vocab, samples, deviation, seed++, 3.0));
      }
    }
  }
}

COVN_TEST(tokens_are_the_cpus_and_log_probs_the_scores) {
  check_shapes<float>();
  check_shapes<Float16>();
  check_shapes<BFloat16>();
  CHECK(nothing_left());
}

COVN_TEST(filters_keep_what_the_cpus_keep) {
  uint64_t seed = 100;
  for (const SampleFilter& filter :
       {SampleFilter{0.4, 0, 1.0, 0.0}, SampleFilter{2.5, 0, 1.0, 0.0}, SampleFilter{1.0, 1, 1.0, 0.0},
        SampleFilter{1.0, 40, 1.0, 0.0}, SampleFilter{1.0, 0, 0.9, 0.0}, SampleFilter{1.0, 0, 1e-9, 0.0},
        SampleFilter{1.3, 0, 1.0, 0.05}, SampleFilter{1.0, 0, 1.0, 1.0}, SampleFilter{0.8, 50, 0.95, 0.001},
        SampleFilter{1.0, 1000000, 0.999, 1e-5}}) {
    for (const size_t vocab : {9, 1000, 5003}) {
      for (const double deviation : {0.0, 3.0, 12.0}) {
        auto floats = random_batch<float>(3, vocab, 20, deviation, seed++);
        auto halves = random_batch<BFloat16>(3, vocab, 20, deviation, seed++);  // with many equal logits
        floats.filter = halves.filter = filter;
        check_batch(floats);
        check_batch(halves);
      }
    }
  }
}

COVN_TEST(rows_of_extremes) {
  for (const float scale : {1e-30f, 1e4f, 3e38f}) {
    auto batch = random_batch<float>(4, 1500, 30, 0.3, 7);
    for (size_t i = 0; i < batch.logits.size(); i++) {
      float& x = batch.logits[i];
      x = std::clamp(x, -1.0f, 1.0f) * scale;
      if (i % 5 == 0) x = -INFINITY;
    }
    check_batch(batch);
  }
  // Octaves that no float tells apart, with ties.
  for (const float top : {5e9f, 1e10f, -1e10f, 1e20f}) {
    auto batch = random_batch<BFloat16>(2, 2500, 300, 1.0, 8);
    for (BFloat16& x : batch.logits) x = narrow<BFloat16>(to_float(x) > 1.0f ? top : top - std::fabs(top) / 64);
    check_batch(batch);
  }
  for (const double temperature : {1e-6, 3e-6}) {
    for (const float top : {60000.0f, 10000.0f, -60000.0f}) {
      auto batch = random_batch<Float16>(2, 2500, 300, 1.0, 9);
      for (Float16& x : batch.logits) x = narrow<Float16>(to_float(x) > 1.0f ? top : top - 64.0f);
      batch.filter.temperature = temperature;
      check_batch(batch);
    }
  }
  // One token, and zeros of both signs.
  SampleBatch<float> certain{std::vector<float>(3000, -INFINITY), 3000, 40, {1}, {2}, {3}};
  certain.logits[2999] = -1e30f;
  const Samples out = draw_on_device(certain);
  CHECK(out.status.ok() && std::count(out.tokens.begin(), out.tokens.end(), 2999) == 40);
  CHECK(out.log_prob == std::vector<float>(40, 0.0f) && out.sampled_log_prob == out.log_prob);
  SampleBatch<float> zeros{{0.0f, -0.0f, -1.0f, 0.0f}, 4, 200, {1}, {2}, {3}};
  zeros.filter.top_k = 1;
  check_batch(zeros);
}

// Of draws that are proved the token is the exact one; the others are as many as uniform_margin says, or fewer.
COVN_TEST(proofs_hold_in_long_double) {
  size_t open = 0, all = 0;
  long double expected_open = 0;
  for (const size_t vocab : {40, 1500, 9000}) {
    for (const double deviation : {0.0, 1.0, 6.0}) {
      const auto batch = random_batch<float>(2, vocab, 20000, deviation, 50 + vocab);
      const auto out = draw_kernels_alone(batch);
      for (size_t row = 0; row < batch.rows(); row++) {
        const std::vector<float> x = batch.wide(row);
        const auto want = reference::sampled_distribution(x.data(), x.size(), 1.0, 0, 1.0, 0.0);
        size_t wrong = 0;
        for (size_t i = 0; i < batch.samples; i++) {
          const size_t at = row * batch.samples + i;
          const auto sample = static_cast<uint32_t>(batch.firsts[row] + i);
          const double u = reference::sample_uniform(batch.seed, batch.sequences[row], batch.positions[row], sample);
          open += out.open[at];
          wrong += out.open[at] == 0 && !reference::inverts(want, static_cast<size_t>(out.tokens[at]), u, 0.0L);
        }
        CHECK(wrong == 0);
        all += batch.samples;
        // Around each end of a token lie twice its margin.
        for (const long double c : want.cumulative) {
          expected_open += 2 * batch.samples * (5e-6L * std::fmin(c, 1 - c) + 0x1p-42L);
        }
      }
    }
  }
  // Five standard deviations of a count: a false alarm in 3e6 runs, of a seed that is fixed.
  CHECK(open > 0 && open < static_cast<double>(expected_open + 5 * std::sqrt(expected_open)));
  std::printf("    %zu of %zu draws are left to the CPU\n", open, all);
}

// Where rounding does decide, the CPU's token is given.
COVN_TEST(what_is_not_proved_is_the_cpus) {
  size_t differing = 0, proved = 0;
  for (const double deviation : {0.5, 2.0}) {
    const auto batch = random_batch<float>(1, 30000, 200000, deviation, 60);
    const auto alone = draw_kernels_alone(batch);
    const Samples device = draw_on_device(batch), cpu = draw(batch, best_target());
    CHECK(device.status.ok() && device.tokens == cpu.tokens);
    for (size_t i = 0; i < batch.samples; i++) {
      if (alone.tokens[i] == cpu.tokens[i]) continue;
      differing++;
      proved += alone.open[i] == 0;
    }
  }
  std::printf("    %zu tokens differ before that\n", differing);
  CHECK(differing > 0 && proved == 0);
}

// 262,144 tokens of e^-20.5 beside one of 1 have 3.28e-4 of all: 32.8 draws of 1e5, 18 to 53 of them in 99.9 of 100
// runs.
COVN_TEST(tails_are_drawn) {
  SampleBatch<float> batch{std::vector<float>(262145, -20.5f), 262145, 100000, {5}, {6}, {0}};
  batch.logits[100000] = 0.0f;
  const Samples out = draw_on_device(batch);
  CHECK(out.status.ok());
  const auto hits = batch.samples - std::count(out.tokens.begin(), out.tokens.end(), 100000);
  CHECK(hits >= 18 && hits <= 53);
  CHECK(out.tokens == draw(batch, best_target()).tokens);
}

// Too many groups for a block's memory.
COVN_TEST(the_longest_rows) { check_batch(random_batch<BFloat16>(1, 500001, 150, 4.0, 9)); }

COVN_TEST(neither_batches_nor_memory_nor_schedules_change_a_bit) {
  const auto batch = random_batch<Float16>(6, 3001, 70, 3.0, 11);
  const Samples want = draw_on_device(batch);
  for (const uint64_t seed : {1, 7}) {
    for (const size_t slot : {size_t{1} << 22, size_t{12000}}) {
      const DeviceMemory memory(slot);
      cuda::emulator::set_seed(seed);
      CHECK(draw_on_device(batch) == want);
    }
  }
  cuda::emulator::set_seed(0);
  // Rows alone, in two parts of their draws.
  for (size_t row = 0; row < batch.rows(); row++) {
    for (const size_t first : {size_t{0}, size_t{3}}) {
      SampleBatch<Float16> one = batch;
      one.logits.assign(batch.logits.begin() + static_cast<ptrdiff_t>(row * batch.vocab),
                        batch.logits.begin() + static_cast<ptrdiff_t>((row + 1) * batch.vocab));
      one.sequences = {batch.sequences[row]};
      one.positions = {batch.positions[row]};
      one.firsts = {batch.firsts[row] + static_cast<uint32_t>(first)};
      one.samples = first == 0 ? 3 : batch.samples - 3;
      const Samples out = draw_on_device(one);
      const auto at = static_cast<ptrdiff_t>(row * batch.samples + first);
      CHECK(out.status.ok() && std::equal(out.tokens.begin(), out.tokens.end(), want.tokens.begin() + at) &&
            std::equal(out.log_prob.begin(), out.log_prob.end(), want.log_prob.begin() + at));
    }
  }
  CHECK(nothing_left());
}

COVN_TEST(the_lowest_wrong_row_is_named) {
  auto batch = random_batch<float>(9, 700, 3, 1.0, 12);
  batch.logits[3 * 700 + 5] = NAN;
  batch.logits[2 * 700 + 699] = INFINITY;
  for (const size_t slot : {size_t{1} << 20, size_t{3000}}) {
    const DeviceMemory memory(slot);
    const Samples out = draw_on_device(batch);
    CHECK(out.status.code == Code::non_finite && out.status.message.find("row 2 of logits") != std::string::npos);
    CHECK(out.status.message == draw(batch, best_target()).status.message);
  }
  auto nothing = random_batch<float>(2, 2000, 3, 1.0, 13);
  std::fill_n(nothing.logits.begin() + 2000, 2000, -INFINITY);
  nothing.filter.top_p = 0.5;
  CHECK(draw_on_device(nothing).status.message == draw(nothing, best_target()).status.message);
  CHECK(nothing_left());
}

COVN_TEST(failures_of_the_device_are_errors_that_leave_nothing) {
  auto batch = random_batch<float>(6, 2000, 9, 1.0, 14);
  batch.filter = {0.7, 20, 1.0, 0.0};
  const DeviceMemory memory(30000);
  const Samples want = draw_on_device(batch);
  CHECK(want.status.ok());
  cuda::emulator::reset();
  const uint64_t before = cuda::emulator::calls();
  CHECK(draw_on_device(batch) == want);
  const uint64_t calls = cuda::emulator::calls() - before;
  for (uint64_t n = 0; n < calls; n++) {
    cuda::emulator::reset();
    cuda::emulator::fail_after(n, n % 2 == 0 ? cudaErrorMemoryAllocation : cudaErrorInvalidValue);
    const Status status = draw_on_device(batch).status;
    CHECK(status.ok() || status.code == Code::out_of_memory || status.code == Code::device);
    cuda::emulator::fail_after(~uint64_t{0}, cudaSuccess);
    CHECK(nothing_left());
  }
  cuda::emulator::reset();
  CHECK(draw_on_device(batch) == want);
  Samples out;
  std::unique_ptr<Job> job;
  CHECK(cuda::make_sample_job(request_of(batch, Target::scalar, out), job).ok());
  CHECK(job->run_one_chunk());
  job->cancel();
  CHECK(job->settle().code == Code::cancelled);
  job.reset();
  CHECK(nothing_left());
  batch.filter.top_p = 0.0;
  CHECK(draw_on_device(batch).status.code == Code::range);
}

int main() { return run_all(); }
