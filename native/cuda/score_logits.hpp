// scoreLogits on rows that lie in device memory already.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/number_formats.hpp"
#include "cuda/device/row_score.hpp"
#include "cuda/runtime.hpp"

namespace covn::cuda {

// What the kernels need beside inputs and outputs, in RowParts: one for each part of a long row, none for short ones.
size_t score_workspace(DType dtype, size_t rows, size_t vocab);

// Enqueues scores [rows] of logits [rows, vocab] on the stream; all pointers are the device's. Logits are readable up
// to the end of the last 16 bytes, counted from address 0, that hold one. A target is in [-1, vocab); the score of one
// that is -1 is not written, and its row not read.
cudaError_t enqueue_score(DType dtype, const void* logits, size_t rows, size_t vocab, const int32_t* targets,
                          double temperature, RowPart* workspace, RowScore* scores, cudaStream_t stream);

}  // namespace covn::cuda
