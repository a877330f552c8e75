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
    const size_t first = blocks.first_row(block);
    blocks.set(block, sum_block(values + first, blocks.end_row(block) - first));
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
