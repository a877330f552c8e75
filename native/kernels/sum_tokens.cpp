#include "core/validation.hpp"
#include "covn/logprob.hpp"
#include "kernels/sum_blocks.hpp"

namespace covn {

namespace {

template <class T>
Status sum_all(const T* values, size_t count, const std::vector<int64_t>& offsets, double* out) {
  if (Status status = check_offsets(offsets, count); !status.ok()) return status;
  SumBlocks blocks(offsets, kMaxSumBlock, count);
  for (size_t block = 0; block < blocks.first_block(blocks.chunk_count()); block++) {
    double sum = 0.0;
    for (size_t row = blocks.first_row(block); row < blocks.end_row(block); row++) sum += values[row];
    blocks.set(block, sum);
  }
  blocks.sum_responses(out);
  return {};
}

}  // namespace

Status sum_tokens(const float* values, size_t count, const std::vector<int64_t>& offsets, double* out) {
  return sum_all(values, count, offsets, out);
}
Status sum_tokens(const double* values, size_t count, const std::vector<int64_t>& offsets, double* out) {
  return sum_all(values, count, offsets, out);
}

}  // namespace covn
