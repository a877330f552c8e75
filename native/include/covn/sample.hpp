// Tokens drawn from rows of logits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/cpu.hpp"
#include "core/number_formats.hpp"
#include "covn/job.hpp"

namespace covn {

// Which distribution is drawn from: of the logits divided by the temperature, those tokens are kept that pass, in this
// order, min-p, top-k and top-p (the order of vLLM's sampler). Each keeps or drops tokens of equal logits together.
struct SampleFilter {
  double temperature = 1.0;  // in [1e-6, 1e6]
  size_t top_k = 0;          // the tokens whose logit is no less than the k-th largest; 0: all
  double top_p = 1.0;  // in (0, 1]: the tokens such that those above have together a share below top_p of what is left
  double min_p = 0.0;  // in [0, 1]: the tokens with at least min_p times the probability of the most probable one

  bool keeps_all() const { return top_k == 0 && top_p >= 1.0 && min_p <= 0.0; }
};

// All pointers stay valid and their contents unchanged until the job has settled.
struct SampleRequest {
  const void* logits = nullptr;  // [rows, vocab], row-major, of type `dtype`
  size_t logit_count = 0;
  DType dtype = DType::f32;
  size_t vocab = 0;
  size_t rows = 0;
  size_t samples = 0;  // N, drawn from each row
  SampleFilter filter;
  // Sample i of row r is drawn by the counter {sequences[r], positions[r], first_samples[r] + i, stream}.
  uint64_t seed = 0;
  const uint32_t* sequences = nullptr;      // [rows]
  const uint32_t* positions = nullptr;      // [rows]
  const uint32_t* first_samples = nullptr;  // [rows]; first_samples[r] + samples at most 2^32
  // [samples], or null: draw i is then that of sample first_samples[r] + listed[i], which is below 2^32.
  const uint32_t* listed = nullptr;
  Target target = Target::scalar;
  // Outputs [rows, samples]; null where not wanted, except `tokens`.
  int32_t* tokens = nullptr;
  float* log_prob = nullptr;          // nats, under the logits as they are: bit for bit what make_score_job gives
  float* sampled_log_prob = nullptr;  // nats, under the distribution drawn from
};

// Checks the request (shape, range, device) and makes its job, which fails with Code::non_finite, naming the lowest
// row, where a logit is NaN or +inf or all are -inf.
//
// Draws invert the distribution function in the order of token ids, at uniforms of 52 bits; a token's probability is
// exact to 5e-7 of itself, however small. A sample depends on its row's logits, the filter and its counter alone, not
// on N, the batch or the threads; on instruction sets only where the uniform lies within some 1e-6 of the boundary
// between two tokens.
Status make_sample_job(const SampleRequest& request, std::unique_ptr<Job>& job);

}  // namespace covn
