// Pairwise coverage counts of log-probs that lie in device memory already.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/runtime.hpp"

namespace covn::cuda {

// Adds to counts [thresholds, models, models] on the stream, as PairwiseJob has them, those of `responses` columns of
// log_probs [models, stride]; all pointers are the device's, thresholds [threshold_count].
//
// `bad` is lowered to the least block * models + model of a block of `check_block` responses and a model that together
// hold a NaN or +inf; `first` is the number of responses that come before these in the whole input.
cudaError_t enqueue_pair_counts(const double* log_probs, size_t stride, size_t models, size_t responses,
                                const double* thresholds, size_t threshold_count, uint64_t* counts, uint64_t* bad,
                                size_t first, size_t check_block, cudaStream_t stream);

}  // namespace covn::cuda
