// The parts of rows as one, in an order that follows from the vocabulary alone: 32 tiles at a time by the lanes of a
// warp, in pairs, and those sums one after another.
#pragma once

#include "cuda/hidden_tiles.cuh"

namespace covn::cuda {

constexpr uint32_t kMergedTiles = 32, kMergeThreads = 256;

// One part of those of all lanes, the same in each; of lane l those of lanes below come first.
__device__ __forceinline__ HiddenPart merge_lanes(HiddenPart part, const TermParameters& terms) {
  float max = part.max;
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, mask));
  // A part that holds a NaN or +inf says so by its sum: the first such is the row's.
  const uint32_t bad = __ballot_sync(kAllLanes, part.sum != part.sum);
  if (bad != 0) {
    const int first = __ffs(static_cast<int>(bad)) - 1;
    return {NAN, NAN, __shfl_sync(kAllLanes, part.max, first), 0};
  }
  part = moved(part, max, terms);
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) {
    part.sum += __shfl_xor_sync(kAllLanes, part.sum, mask);
    part.weighted += __shfl_xor_sync(kAllLanes, part.weighted, mask);
    part.greater += __shfl_xor_sync(kAllLanes, part.greater, mask);
  }
  return part;
}

// Adds the parts [tiles, rows] of a stripe to totals [rows], or sets these; a warp a row. Stripes begin at multiples of
// 32 tiles.
template <bool First>
__global__ __launch_bounds__(kMergeThreads) void hidden_merge(const HiddenPart* parts, uint32_t tiles, uint32_t rows,
                                                              TermParameters terms, HiddenPart* totals) {
  const uint32_t row = blockIdx.x * (kMergeThreads / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= rows) return;
  HiddenPart total;
  if (!First) total = totals[row];
  for (uint32_t start = 0; start < tiles; start += kMergedTiles) {
    HiddenPart part;
    if (start + lane < tiles) part = parts[uint64_t{start + lane} * rows + row];
    add_part(total, merge_lanes(part, terms), terms);
  }
  if (lane == 0) totals[row] = total;
}

}  // namespace covn::cuda
