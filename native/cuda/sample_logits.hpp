// sampleLogits on rows that lie in device memory already.
#pragma once

#include <cstddef>
#include <cstdint>

#include "covn/sample.hpp"
#include "cuda/device/row_score.hpp"
#include "cuda/runtime.hpp"

namespace covn::cuda {

// All pointers are the device's. Logits are readable up to the end of the last 16 bytes, counted from address 0, that
// hold one.
template <class T>
struct SampleRows {
  const T* logits;  // [rows, vocab]
  size_t rows, vocab;
  const uint32_t *sequences, *positions, *first_samples;  // [rows]
};

// Draws first .. first + count of every row, of the distribution that the filter leaves.
struct SampleDraws {
  SampleFilter filter;
  uint64_t seed;
  size_t first, count;
};

// What a row is drawn by.
enum class DrawnState : uint32_t {
  sound,
  undecided,  // rounding decides what the filter keeps: no draw of the row is proved
  bad,        // not a row of logits: tokens are -1
};
struct DrawnRow {
  double unit_log_sum;  // log sum_j exp(x_j - max), as scoreLogits has it
  double log_sum;       // the same of what is drawn from
  double total;         // of the prefix of the row's parts
  float max, least;     // logits; those below `least` are not drawn
  DrawnState state;
};

struct SampleWorkspace {
  RowPart* parts;  // [rows, row_cut(vocab).parts]
  double* prefix;  // likewise: the sums of a row's parts up to and with each
};

// [rows, count], but for `rows` [rows]. Null where not wanted: log_prob, sampled_log_prob.
struct SampleOutputs {
  DrawnRow* rows;
  int32_t* tokens;
  // 1 where rounding, here or in another kernel, could have given a neighbour of the token (uniform_margin): at
  // most 5e-6 / p of the draws of a token of probability p.
  uint8_t* open;
  float* log_prob;  // nats
  float* sampled_log_prob;
};

// Enqueues the draws on the stream. rows * count and rows * parts are below 2^33.
template <class T>
cudaError_t enqueue_sample(const SampleRows<T>& in, const SampleDraws& draws, const SampleWorkspace& workspace,
                           const SampleOutputs& out, cudaStream_t stream);

}  // namespace covn::cuda
