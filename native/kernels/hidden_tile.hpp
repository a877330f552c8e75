// What the kernels of scoreHidden are given: a tile of logits, some vocabulary entries by some rows, and where its two
// factors lie.
//
// Rows of hidden states lie side by side in panels, `panel_rows` together, so that a vector holds one slot of several
// rows. A slot is 32 bits of a row: a float, or a pair of bfloat16s where the kernel multiplies those.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/number_formats.hpp"

namespace covn {

// Vocabulary entries of a tile. A panel's slice, which stays in the first-level cache, is read once for all of them.
constexpr size_t kTileVocab = 384;
// Slots that are multiplied at a time. A logit is the sum of its slices in order, each one chain of fused operations:
// its bits do not depend on the tile, the panel or the lane that it is in, and its rounding error stays below that of
// one long chain.
constexpr size_t kSlice = 256;
// Between weight rows in the second-level cache; not a power of two, which would put them all in the same few sets.
constexpr size_t kStagedStride = kSlice + 16;

struct LogitTile {
  const void* const* weights;  // [count]: weight rows, of `width` elements each
  const void* const* next;     // [count], or null: rows that will be wanted after these
  size_t count;                // in [1, kTileVocab]
  size_t width;
  const float* panels;  // [panel_count, slots, panel_rows]
  size_t panel_count;
  float* staged;  // [kTileVocab, kStagedStride]: the kernel's own
  float* logits;  // [panel_count, kTileVocab, panel_rows]
};

// What becomes of the products: bias first, then cap * tanh(x / cap).
struct LogitShape {
  const float* bias;  // [count] of the tile, or null
  double softcap;     // 0: none
};

// The kernels of one storage format on one target.
struct HiddenKernels {
  size_t panel_rows;
  size_t slot_elements;  // 1 or 2
  // Adds a slice's products to the tile's logits; slice 0 overwrites them. Slices come in order.
  void (*multiply)(const LogitTile& tile, size_t slice);
  // After the last slice.
  void (*shape)(const LogitTile& tile, const LogitShape& shape);
};

constexpr size_t kMaxPanelRows = 32;

constexpr float pair_slot(BFloat16 first, BFloat16 second) {
  return std::bit_cast<float>(first.bits | uint32_t{second.bits} << 16);
}

constexpr size_t slots_of(size_t width, size_t slot_elements) { return (width + slot_elements - 1) / slot_elements; }

}  // namespace covn
