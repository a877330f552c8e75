// How token log-probs are summed over responses: in double, in blocks of a fixed number of rows counted from the
// response's first, merged in order. A block depends on nothing but its response, so the bits do not change with
// threads or batch; the error for a million tokens is about 1e-9 nats.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace covn {

constexpr size_t kMaxSumBlock = 1024;

// The sum of a block's values. Eight sums side by side, since one addition waits for the one before.
template <class T>
double sum_block(const T* values, size_t count) {
  double sums[8] = {};
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t k = 0; k < 8; k++) sums[k] += values[i + k];
  }
  for (size_t k = 0; i < count; i++, k++) sums[k] += values[i];
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// Rows cut into the blocks of their responses, and the blocks into chunks of work.
class SumBlocks {
 public:
  // A chunk gets whole blocks of together at most `chunk_rows` rows, which a block does not exceed.
  SumBlocks(const std::vector<int64_t>& offsets, size_t block_rows, size_t chunk_rows) {
    response_blocks_.reserve(offsets.size());
    response_blocks_.push_back(0);
    size_t chunk_start = 0;
    for (size_t i = 0; i + 1 < offsets.size(); i++) {
      const auto end = static_cast<size_t>(offsets[i + 1]);
      for (auto row = static_cast<size_t>(offsets[i]); row < end; row = ends_.back()) {
        const size_t stop = std::min(end, row + block_rows);
        if (ends_.empty() || stop - chunk_start > chunk_rows) {
          chunk_blocks_.push_back(ends_.size());
          chunk_start = row;
        }
        ends_.push_back(stop);
      }
      response_blocks_.push_back(ends_.size());
    }
    sums_.resize(ends_.size());
  }

  size_t chunk_count() const { return chunk_blocks_.size(); }
  size_t first_block(size_t chunk) const { return chunk < chunk_blocks_.size() ? chunk_blocks_[chunk] : ends_.size(); }
  size_t first_row(size_t block) const { return block == 0 ? 0 : ends_[block - 1]; }
  size_t end_row(size_t block) const { return ends_[block]; }
  void set(size_t block, double sum) { sums_[block] = sum; }

  // After every block was set.
  void sum_responses(double* sequence) const {
    for (size_t i = 0; i + 1 < response_blocks_.size(); i++) {
      double total = 0.0;
      for (size_t block = response_blocks_[i]; block < response_blocks_[i + 1]; block++) total += sums_[block];
      sequence[i] = total;
    }
  }

 private:
  std::vector<size_t> ends_;             // [blocks]: the row after each block's last
  std::vector<size_t> response_blocks_;  // [responses + 1]
  std::vector<size_t> chunk_blocks_;     // [chunks]: the first block of each
  std::vector<double> sums_;             // [blocks]
};

}  // namespace covn
