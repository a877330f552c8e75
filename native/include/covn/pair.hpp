// Two models compared on the same tokens, from the logits of both.
#pragma once

#include <memory>

#include "covn/logprob.hpp"

namespace covn {

struct PairRequest {
  const void* reference = nullptr;  // [rows, vocab], row-major, of type `dtype`
  const void* model = nullptr;      // as `reference`
  size_t reference_count = 0, model_count = 0;
  DType dtype = DType::f32;
  size_t vocab = 0;
  TokenRows tokens;
  // Outputs, nats but for Hellinger's, which lies in [0, 1] a token. Sums over a response's tokens, of unrounded
  // values:
  double* log_ratio = nullptr;  // [responses]: log p_reference(target) - log p_model(target)
  double* kl = nullptr;         // [responses], >= 0: KL(reference || model) of the token distributions
  double* hellinger = nullptr;  // [responses], >= 0: 1/2 sum_j (sqrt p_j - sqrt q_j)^2
  // The same of each token; null where not wanted. NaN where not scored.
  float* token_log_ratio = nullptr;  // [rows]
  float* token_kl = nullptr;         // [rows]
  float* token_hellinger = nullptr;  // [rows]
};

// Checks the request (shape, range, device) and makes its job; `job` is set only when the status is ok.
//
// Accuracy: a token's KL and squared Hellinger distance are within 1e-6 of exact arithmetic for logits of standard
// deviation up to 5 and 2e-6 up to 30, its log ratio too; all three are exactly 0 for equal logits. KL is +inf where
// the model gives 0 (a logit of -inf) to what the reference does not. A log ratio is NaN where both give the target 0.
// The same request gives the same bits whatever the number of threads, and a row's outputs depend on that row alone.
Status make_pair_job(PairRequest request, std::unique_ptr<ScoreJob>& job);

}  // namespace covn
