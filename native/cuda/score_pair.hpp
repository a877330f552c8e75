// scorePair on rows that lie in device memory already.
#pragma once

#include <cstddef>

#include "core/number_formats.hpp"
#include "cuda/runtime.hpp"
#include "kernels/pair_sums.hpp"

namespace covn::cuda {

// How many parts a row is cut into.
size_t pair_parts(size_t vocab);

// Enqueues the sums of both models' logits [rows, vocab] on the stream, parts [rows, pair_parts(vocab)]; all pointers
// are the device's. merge_pair_parts gives a row's state from its parts on the host. Logits are readable up to the end
// of the last 16 bytes, counted from address 0, that hold one.
cudaError_t enqueue_pair(DType dtype, const void* reference, const void* model, size_t rows, size_t vocab,
                         double temperature, PairState* parts, cudaStream_t stream);

PairState merge_pair_parts(const PairState* parts, size_t count, double temperature);

}  // namespace covn::cuda
