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

// What a score is made of, for others who need more of a row than its score. Rows are cut into parts of `length`
// logits, the last of which may be shorter; short rows are one part.
struct RowCut {
  size_t parts, length;
};
template <class T>
RowCut row_cut(size_t vocab);
// How parts are merged, and finished.
template <class T>
RowFinish row_finish(double temperature);
// Enqueues parts [rows, row_cut(vocab).parts] of all rows; `greater` of them means nothing.
template <class T>
cudaError_t enqueue_row_parts(const T* logits, size_t rows, size_t vocab, double temperature, RowPart* parts,
                              cudaStream_t stream);

}  // namespace covn::cuda
