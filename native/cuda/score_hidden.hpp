// scoreHidden for those who call the backend from C++: on data that lies in device memory already, and the job with
// what it takes from the device set by the caller.
#pragma once

#include "covn/hidden.hpp"
#include "cuda/device/hidden_terms.hpp"
#include "cuda/hidden_options.hpp"
#include "cuda/runtime.hpp"

namespace covn::cuda {

Status make_hidden_job(HiddenRequest request, const HiddenOptions& options, std::unique_ptr<ScoreJob>& job);

// All pointers are the device's, aligned to 16 bytes, as each row is: width is a multiple of 8, of floats 4.
struct HiddenRows {
  DType dtype;
  const void *hidden, *weight;  // [rows, width], [vocab, width]
  size_t rows, width, vocab;
  const float* bias;  // [vocab], or null
  double softcap, temperature;
  const int32_t* targets;  // [rows], in [0, vocab)
};

// Bytes that the kernels need beside inputs and outputs.
size_t hidden_workspace(const HiddenRows& in);

// Enqueues totals [rows] and the logits of targets [rows] on the stream, in the job's stripes and batches. With these
//   token = (target_logit - max)/T - log sum
// in nats; finish_hidden_row, on the host, is what the job makes of them.
Status enqueue_hidden(const HiddenRows& in, void* workspace, HiddenTotal* totals, float* target_logits,
                      cudaStream_t stream);

struct HiddenScore {
  double token, log_sum, entropy;  // log_sum: log sum_j exp((x_j - max)/T)
};
HiddenScore finish_hidden_row(const HiddenTotal& total, float target_logit, double temperature);

}  // namespace covn::cuda
