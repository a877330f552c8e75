// Log-probabilities of target tokens from logits, and their sums over responses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cpu.hpp"
#include "core/number_formats.hpp"
#include "covn/job.hpp"

namespace covn {

// Which tokens are scored, and how. All pointers of a request stay valid and their contents unchanged until its job has
// settled.
struct TokenRows {
  const int32_t* targets = nullptr;  // [rows], in [-1, vocab); -1: the row is not read and not scored
  size_t rows = 0;
  std::vector<int64_t> offsets;  // [responses + 1], from 0 to rows, never falling
  double temperature = 1.0;      // logits are divided by it; in [1e-6, 1e6]
  bool propagate_non_finite = false;
  Target target = Target::scalar;
};

struct TokenScoring : TokenRows {
  // Outputs; a null one is not wanted, except `sequence`.
  double* sequence = nullptr;  // [responses], nats: sums of the unrounded token log-probs
  float* token = nullptr;      // [rows], nats; NaN where not scored
  double* log_z = nullptr;     // [rows], nats: log sum_j exp(x_j / T); NaN where not scored
  float* entropy = nullptr;    // [rows], nats, in [0, log vocab]; NaN where not scored
  int32_t* rank = nullptr;     // [rows], 1 + #{j : x_j > x_target}; 0 where not scored
};

struct LogitsRequest {
  const void* logits = nullptr;  // [rows, vocab], row-major, of type `dtype`
  size_t logit_count = 0;
  DType dtype = DType::f32;
  size_t vocab = 0;
  TokenScoring scoring;
};

class ScoreJob : public Job {
 public:
  // Rows with a NaN, a +inf or nothing but -inf, ascending; filled where propagate_non_finite is set.
  virtual const std::vector<int64_t>& non_finite_rows() const = 0;
};

// Checks the request (shape, range, device) and makes its job; `job` is set only when the status is ok.
//
// Accuracy: a token's absolute error against exact arithmetic is at most 1e-6 nats for logits of standard deviation up
// to 5 and 2e-6 up to 30, before the rounding of `token` to float; the mean signed error is below 1e-8 nats.
// The same request gives the same bits whatever the number of threads, and a row's outputs depend on that row alone.
Status make_score_job(LogitsRequest request, std::unique_ptr<ScoreJob>& job);

// out[i] = sum of values[offsets[i] .. offsets[i+1]), in double, in blocks of fixed size merged in order. The sum of no
// tokens is 0; NaN gives NaN.
Status sum_tokens(const float* values, size_t count, const std::vector<int64_t>& offsets, double* out);
Status sum_tokens(const double* values, size_t count, const std::vector<int64_t>& offsets, double* out);

}  // namespace covn
