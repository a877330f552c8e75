// Coverage tail counts of log ratios that lie in device memory already.
#pragma once

#include "cuda/tail_counts.cuh"

namespace covn::cuda {

// Adds to in.sums on the stream; all pointers are the device's. `multiprocessors`: of the device.
cudaError_t enqueue_tail_counts(const TailInput& in, int multiprocessors, cudaStream_t stream);

}  // namespace covn::cuda
