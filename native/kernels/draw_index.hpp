// The memory of a DrawIndex, and its cells.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>

#include "kernels/sample_table.hpp"

namespace covn {

// Keeps its memory between rows.
class DrawIndexMemory {
 public:
  DrawIndexMemory(size_t vocab, size_t samples)
      : groups_((vocab + kGroupLogits - 1) / kGroupLogits),
        cell_count_(std::bit_ceil(std::clamp(samples, groups_, kMaxCells))),
        named_cells_(std::max(kNamed, kNamed * cell_count_ / samples)),
        bounds_(new double[groups_ + kMaxLanes]),
        cells_(new int32_t[cell_count_ + 2 * kCellStep]()) {}

  // Whether an index of so many tokens is worth its making.
  static bool pays(size_t vocab, size_t samples) {
    return vocab <= kMaxVocab && samples >= kFewest && samples >= vocab / 64;
  }

  // Whether what the groups of a piece add to is near enough to the piece's sum, of a row of this total, for the index
  // to prove tokens: the groups' terms are formed another way than those of a score.
  static bool holds(double sum, double piece, double total) {
    return std::abs(sum - piece) <= kPieceMargin * piece + kTotalMargin * total;
  }

  // Still to be filled. `total`: what the terms add to.
  DrawIndex start_row(double total) const {
    return {groups_, cell_count_, static_cast<int32_t>(named_cells_), total, bounds_.get(), cells_.get()};
  }

 private:
  static constexpr size_t kFewest = 64;
  static constexpr size_t kMaxVocab = size_t{1} << 20, kMaxCells = size_t{1} << 16;
  static constexpr size_t kNamed = 8;  // cells and draws that a group is to have before its tokens are named
  // Part of the margins of kernels/draw_index.inl.hpp.
  static constexpr double kPieceMargin = 0x1p-20, kTotalMargin = 0x1p-43;

  const size_t groups_, cell_count_, named_cells_;
  const std::unique_ptr<double[]> bounds_;
  const std::unique_ptr<int32_t[]> cells_;
};

}  // namespace covn
