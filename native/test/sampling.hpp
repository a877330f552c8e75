// Samples drawn from rows of logits by a job, for the tests.
#pragma once

#include <cmath>
#include <type_traits>
#include <vector>

#include "covn/sample.hpp"
#include "reference/sample.hpp"
#include "test/check.hpp"
#include "test/pool.hpp"

namespace covn::test {

template <class T>
constexpr DType kDType = std::is_same_v<T, float>     ? DType::f32
                         : std::is_same_v<T, Float16> ? DType::f16
                                                      : DType::bf16;

template <class T>
T narrow(float value) {
  if constexpr (std::is_same_v<T, float>) {
    return value;
  } else {
    return {narrow_toward_zero<T>(value)};
  }
}

inline std::vector<Target> available_targets() {
  std::vector<Target> available;
  for (Target target : kTargets) {
    if (target_support(target).available) available.push_back(target);
  }
  return available;
}

template <class T>
struct SampleBatch {
  std::vector<T> logits;
  size_t vocab;
  size_t samples;
  std::vector<uint32_t> sequences, positions, firsts;
  SampleFilter filter = {};
  uint64_t seed = 0x299f31d0a4093822;

  size_t rows() const { return sequences.size(); }
  std::vector<float> wide(size_t row) const {
    std::vector<float> x;
    for (size_t i = 0; i < vocab; i++) x.push_back(to_float(logits[row * vocab + i]));
    return x;
  }
};

// Normal logits around `mean`; sequences and positions anywhere.
template <class T>
SampleBatch<T> random_batch(size_t rows, size_t vocab, size_t samples, double deviation, uint64_t seed,
                            double mean = 0.0) {
  Random random(seed);
  SampleBatch<T> batch{std::vector<T>(rows * vocab), vocab, samples, {}, {}, {}};
  for (T& x : batch.logits) x = narrow<T>(static_cast<float>(mean + deviation * random.normal()));
  for (size_t row = 0; row < rows; row++) {
    batch.sequences.push_back(static_cast<uint32_t>(random.bits()));
    batch.positions.push_back(static_cast<uint32_t>(random.bits()));
    batch.firsts.push_back(static_cast<uint32_t>(random.bits() % 1000));
  }
  return batch;
}

struct Samples {
  Status status;
  std::vector<int32_t> tokens;
  std::vector<float> log_prob, sampled_log_prob;

  bool operator==(const Samples& other) const {
    return status.ok() && other.status.ok() && tokens == other.tokens && log_prob == other.log_prob &&
           sampled_log_prob == other.sampled_log_prob;
  }
};

// Space for the outputs of a batch, and its request.
template <class T>
SampleRequest request_of(const SampleBatch<T>& batch, Target target, Samples& out) {
  const size_t draws = batch.rows() * batch.samples;
  out.tokens.assign(draws, -7);
  out.log_prob.assign(draws, 0.0f);
  out.sampled_log_prob.assign(draws, 0.0f);
  SampleRequest request;
  request.logits = batch.logits.data();
  request.logit_count = batch.logits.size();
  request.dtype = kDType<T>;
  request.vocab = batch.vocab;
  request.rows = batch.rows();
  request.samples = batch.samples;
  request.filter = batch.filter;
  request.seed = batch.seed;
  request.sequences = batch.sequences.data();
  request.positions = batch.positions.data();
  request.first_samples = batch.firsts.data();
  request.target = target;
  request.tokens = out.tokens.data();
  request.log_prob = out.log_prob.data();
  request.sampled_log_prob = out.sampled_log_prob.data();
  return request;
}

inline Status run_samples(const SampleRequest& request, ThreadPool* pool = nullptr, unsigned threads = 0) {
  std::unique_ptr<Job> job;
  if (Status status = make_sample_job(request, job); !status.ok()) return status;
  return pool != nullptr ? run_on_pool(*pool, std::move(job), threads) : run_inline(*job);
}

// Without a pool: on this thread.
template <class T>
Samples draw(const SampleBatch<T>& batch, Target target, ThreadPool* pool = nullptr, unsigned threads = 0) {
  Samples out;
  const SampleRequest request = request_of(batch, target, out);
  out.status = run_samples(request, pool, threads);
  return out;
}

// Draws where the uniform is no nearer than this share to a boundary are the reference's.
constexpr long double kBoundary = 2e-6L;

// Rows left out because rounding may decide what a filter keeps, and others.
inline size_t close_rows = 0, checked_rows = 0;

// How many draws, and log-probs under what was drawn from, are not the reference's, on all targets.
template <class T>
size_t count_wrong(const SampleBatch<T>& batch) {
  std::vector<Samples> outs;
  for (Target target : available_targets()) {
    outs.push_back(draw(batch, target));
    if (!outs.back().status.ok()) return batch.rows();
  }
  size_t wrong = 0;
  for (size_t row = 0; row < batch.rows(); row++) {
    const std::vector<float> x = batch.wide(row);
    const SampleFilter& f = batch.filter;
    const auto want = reference::sampled_distribution(x.data(), x.size(), f.temperature, f.top_k, f.top_p, f.min_p);
    if (want.margin < kBoundary) {
      close_rows++;
      continue;
    }
    checked_rows++;
    for (size_t i = 0; i < batch.samples; i++) {
      const auto sample = static_cast<uint32_t>(batch.firsts[row] + i);
      const double u = reference::sample_uniform(batch.seed, batch.sequences[row], batch.positions[row], sample);
      for (const Samples& out : outs) {
        const size_t at = row * batch.samples + i;
        const auto token = static_cast<size_t>(out.tokens[at]);
        const bool right = token < x.size() && reference::inverts(want, token, u, kBoundary);
        const double log_prob = right ? static_cast<double>(want.log_prob[token]) : 0.0;
        wrong += !right || !(std::fabs(out.sampled_log_prob[at] - log_prob) <= 2e-6 + 0x1p-23 * std::fabs(log_prob));
      }
    }
  }
  return wrong;
}

}  // namespace covn::test
