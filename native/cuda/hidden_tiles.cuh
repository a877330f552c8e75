// What the kernels of scoreHidden have in common: the order of their tiles, and what becomes of a tile's logits while
// they lie in the registers of the threads that summed them.
#pragma once

#include "cuda/device/hidden_terms.hpp"
#include "cuda/ptx_matrix.cuh"
#include "cuda/ptx_scalar.cuh"

namespace covn::cuda {

// Tiles beside one another that are read at about the same time: 132 blocks then read 16 or 17 times 128 rows and
// 8 times 256 weights, 34 MB at a width of 4096, which stay in the second-level cache of an H100 (50 MB).
constexpr uint32_t kTilesTogether = 8;

// A launch: rows of hidden states by a stripe of the vocabulary.
struct HiddenTiles {
  uint32_t rows, entries;
  uint32_t first_entry;  // of the vocabulary
  const float* bias;     // [entries], or null
  SoftCap cap;
  TermParameters terms;
  const int32_t* targets;      // [rows], of the vocabulary
  const float* target_logits;  // [rows]
  HiddenPart* parts;           // [tiles, rows]
  float* diagonal;             // [rows]: the logit of row r and entry r, which is all that is then wanted
};

struct HiddenUnit {
  uint32_t tile, first_row, first_entry;
};

// Units in order: all rows by the first few tiles, all rows by the next few.
template <bool Diagonal>
__device__ __forceinline__ HiddenUnit unit_at(uint32_t index, const HiddenTiles& t, uint32_t tile_entries) {
  if (Diagonal) return {0, index * kTileRows, index * kTileRows};
  const uint32_t row_tiles = (t.rows + kTileRows - 1) / kTileRows;
  const uint32_t tiles = (t.entries + tile_entries - 1) / tile_entries;
  const uint32_t group = index / (kTilesTogether * row_tiles), rest = index - group * kTilesTogether * row_tiles;
  const uint32_t first = group * kTilesTogether;
  const uint32_t width = tiles - first < kTilesTogether ? tiles - first : kTilesTogether;
  const uint32_t tile = first + rest % width;
  return {tile, rest / width * kTileRows, tile * tile_entries};
}

template <bool Diagonal>
COVN_HD inline uint32_t unit_count(const HiddenTiles& t, uint32_t tile_entries) {
  const uint32_t row_tiles = (t.rows + kTileRows - 1) / kTileRows;
  return Diagonal ? row_tiles : row_tiles * ((t.entries + tile_entries - 1) / tile_entries);
}

// Where a thread's sums lie: `count` columns of each of `rows` rows, shared with `lanes` - 1 neighbours.
// Of products of 16 or 64 rows (mma.sync, wgmma): pairs of columns, 8 apart, of rows g and g + 8.
template <int Columns>
struct FragmentLayout {
  static constexpr int rows = 2, lanes = 4, count = Columns / 4;
  static constexpr int column(int i) { return 8 * (i / 2) + i % 2; }
  static constexpr int index(int row, int i) { return 4 * (i / 2) + 2 * row + i % 2; }
};

// A row's target, by which its rank is counted; the entry is counted from the stripe's first, modulo 2^32.
struct RowTarget {
  bool inside;  // there is such a row
  float logit;
  uint32_t entry;
};

__device__ __forceinline__ RowTarget target_of(uint32_t row, const HiddenTiles& t) {
  if (row >= t.rows) return {false, 0.0f, 0};
  return {true, __ldg(t.target_logits + row), static_cast<uint32_t>(__ldg(t.targets + row)) - t.first_entry};
}

// Bias, soft-cap, and -inf in place of entries past the last. `first`: the thread's first column.
template <class Layout, int Size>
__device__ __forceinline__ void shape_logits(float (&sums)[Size], uint32_t first, bool whole, const HiddenTiles& t) {
  if (t.bias != nullptr || !whole) {
#pragma unroll
    for (int i = 0; i < Layout::count; i++) {
      const uint32_t column = first + Layout::column(i);
      const float bias = t.bias != nullptr && column < t.entries ? __ldg(t.bias + column) : 0.0f;
#pragma unroll
      for (int r = 0; r < Layout::rows; r++) sums[Layout::index(r, i)] += bias;
    }
  }
  if (t.cap.cap != 0.0f) {
    // A part at a time, in the same registers: unrolled over all, the code would be long and its registers spilled.
    constexpr int kPart = 8;
#pragma unroll 1
    for (int part = 0; part < Size / kPart; part++) {
      float capped[kPart];
#pragma unroll
      for (int i = 0; i < kPart; i++) capped[i] = soft_cap(sums[i], t.cap);
#pragma unroll
      for (int i = 0; i < Size - kPart; i++) sums[i] = sums[i + kPart];
#pragma unroll
      for (int i = 0; i < kPart; i++) sums[Size - kPart + i] = capped[i];
    }
  }
  if (!whole) {
#pragma unroll
    for (int i = 0; i < Layout::count; i++) {
      if (first + Layout::column(i) < t.entries) continue;
#pragma unroll
      for (int r = 0; r < Layout::rows; r++) sums[Layout::index(r, i)] = -INFINITY;
    }
  }
}

constexpr uint32_t kAllLanes = 0xffffffffu;

// The first NaN or +inf of a row, as one is wanted for the message; called by whole warps.
template <class Layout, int Size>
__device__ __forceinline__ float first_not_finite(const float (&sums)[Size], int row, uint32_t lane_column) {
  uint32_t key = 0xffffffffu;  // twice the column, and 1 for a NaN
#pragma unroll
  for (int i = Layout::count - 1; i >= 0; i--) {
    const float x = sums[Layout::index(row, i)];
    if (!(x < INFINITY)) key = 2 * (lane_column + Layout::column(i)) + (x != x ? 1 : 0);
  }
#pragma unroll
  for (int mask = Layout::lanes / 2; mask > 0; mask /= 2) {
    const uint32_t other = __shfl_xor_sync(kAllLanes, key, mask);
    key = other < key ? other : key;
  }
  return key % 2 != 0 ? NAN : INFINITY;
}

// What the columns of a row that `lanes` neighbours hold add to it; each of them gets it. Called by whole warps.
// `lane_column`: the thread's first column, counted as the target's entry is.
template <class Layout, int Size>
__device__ __forceinline__ HiddenPart part_of(const float (&sums)[Size], int row, uint32_t lane_column,
                                              const RowTarget& target, const TermParameters& terms) {
  constexpr int kRun = 8;  // terms that are added in float before their sum is widened
  static_assert(Layout::count % kRun == 0);
  HiddenPart part;
#pragma unroll
  for (int i = 0; i < Layout::count; i++) part.max = ptx::max_nan(part.max, sums[Layout::index(row, i)]);
#pragma unroll
  for (int mask = Layout::lanes / 2; mask > 0; mask /= 2) {
    part.max = ptx::max_nan(part.max, __shfl_xor_sync(kAllLanes, part.max, mask));
  }
  const float origin = fabsf(part.max) < INFINITY ? part.max : 0.0f;
  const uint32_t own = target.entry - lane_column;
#pragma unroll
  for (int start = 0; start < Layout::count; start += kRun) {
    float e[kRun], weighted = 0.0f;
#pragma unroll
    for (int k = 0; k < kRun; k++) {
      const int i = start + k;
      const float x = sums[Layout::index(row, i)];
      const float d = ptx::max_nan(x - origin, terms.floor);
      e[k] = term_of(d, terms);
      weighted = fmaf(e[k], d, weighted);
      // Not its own: the target's logit was summed in the same order, but in another place of a tile.
      part.greater += x > target.logit && own != static_cast<uint32_t>(Layout::column(i));
    }
    // In pairs: a small term that met a large sum would vanish, and always downwards.
#pragma unroll
    for (int apart = 1; apart < kRun; apart *= 2) {
#pragma unroll
      for (int k = 0; k < kRun; k += 2 * apart) e[k] += e[k + apart];
    }
    part.sum += e[0];
    part.weighted += weighted;
  }
#pragma unroll
  for (int mask = Layout::lanes / 2; mask > 0; mask /= 2) {
    part.sum += __shfl_xor_sync(kAllLanes, part.sum, mask);
    part.weighted += __shfl_xor_sync(kAllLanes, part.weighted, mask);
    part.greater += __shfl_xor_sync(kAllLanes, part.greater, mask);
  }
  // By the maximum, which is NaN if any logit is: a term's exponent is set in whole numbers, which a NaN does not
  // outlast.
  const bool bad = !(part.max < INFINITY);
  if (__any_sync(kAllLanes, bad)) {
    const float found = first_not_finite<Layout>(sums, row, lane_column);
    if (bad) part = {NAN, NAN, found, 0};
  }
  // Nothing but -inf: what was summed are terms at the floor.
  if (part.max == -INFINITY && !bad) part = {0.0, 0.0, part.max, 0};
  return part;
}

// The logit of row r and entry r, from the thread that has it.
template <class Layout, int Size>
__device__ __forceinline__ void store_diagonal(const float (&sums)[Size], int row, uint32_t row_index, uint32_t first,
                                               const HiddenTiles& t) {
#pragma unroll
  for (int i = 0; i < Layout::count; i++) {
    if (first + Layout::column(i) == row_index && row_index < t.rows) {
      t.diagonal[row_index] = sums[Layout::index(row, i)];
    }
  }
}

}  // namespace covn::cuda
