// Log-probabilities of target tokens from a language model's last hidden states and the weights of its head, without a
// matrix of logits.
#pragma once

#include "covn/logprob.hpp"

namespace covn {

// The logits of row r are x_j = sum_k hidden[r, k] weight[j, k] + bias[j], and with a soft-cap c then c tanh(x_j / c).
struct HiddenRequest {
  const void* hidden = nullptr;  // [rows, width], row-major, of type `dtype`
  size_t hidden_count = 0;
  const void* weight = nullptr;  // [vocab, width], row-major, of type `dtype`
  size_t weight_count = 0;
  DType dtype = DType::f32;
  size_t width = 0;             // D, at least 1
  size_t vocab = 0;             // in [1, 2^31 - 1]
  const float* bias = nullptr;  // [vocab], or null; -inf leaves a token out
  double softcap = 0.0;         // in [1e-6, 1e6], or 0: none
  TokenScoring scoring;
};

// Checks the request (shape, range, targets, device) and makes its job; `job` is set only when the status is ok.
//
// Products are summed in float: slices of 256 elements (512 where the processor multiplies pairs of bfloat16s), each
// one chain, added in order. What follows is as accurate as make_score_job. The same request gives the same bits
// whatever the number of threads, and a row's outputs depend on that row alone. Besides its outputs the job keeps some
// 24 bytes a row, and at most about 20 MB for each of the blocks of up to 512 rows that are in flight (two, as a rule).
Status make_hidden_job(HiddenRequest request, std::unique_ptr<ScoreJob>& job);

}  // namespace covn
