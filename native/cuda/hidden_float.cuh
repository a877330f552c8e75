// scoreHidden for float: plain fused multiply-adds, in the order of the CPU's kernels (slices of 256 products, each one
// chain, added in order), so that a logit has the bits it has there. A tile of 128 rows by 128 entries a block, 8 x 8
// of them a thread.
#pragma once

#include "cuda/hidden_portable.cuh"

namespace covn::cuda {

struct FloatTile {
  static constexpr uint32_t kEntries = 128, kDepth = 8, kThreads = 256, kSlice = 256;
  static constexpr uint32_t kStride = kTileRows + 4;  // so that four neighbours' stores lie in different banks

  struct Layout {
    static constexpr int rows = 8, lanes = 16, count = 8;
    static constexpr int column(int i) { return i / 4 * 64 + i % 4; }
    static constexpr int index(int row, int i) { return row * 8 + i; }
  };
};

// Four elements of a row, or zeros.
__device__ __forceinline__ float4 load_four(const HiddenMatrix<float>& matrix, uint64_t row, uint64_t column) {
  if (row >= matrix.rows || column >= matrix.pitch) return {0.0f, 0.0f, 0.0f, 0.0f};
  return __ldg(reinterpret_cast<const float4*>(matrix.data + row * matrix.pitch + column));
}

using FloatStage = float[FloatTile::kDepth][FloatTile::kStride];

__device__ __forceinline__ void store_turned(FloatStage& stage, uint32_t row, uint32_t column, float4 four) {
  stage[column][row] = four.x;
  stage[column + 1][row] = four.y;
  stage[column + 2][row] = four.z;
  stage[column + 3][row] = four.w;
}

// Rows or entries 4 i .. 4 i + 3 and 64 + 4 i .. of one column.
__device__ __forceinline__ void read_eight(float (&to)[8], const float* column, uint32_t i) {
  const float4 low = *reinterpret_cast<const float4*>(column + 4 * i);
  const float4 high = *reinterpret_cast<const float4*>(column + 64 + 4 * i);
  to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
  to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

__device__ __forceinline__ void multiply_stage(float (&chains)[64], const FloatStage& hidden,
                                               const FloatStage& weight) {
#pragma unroll
  for (uint32_t k = 0; k < FloatTile::kDepth; k++) {
    float a[8], b[8];
    read_eight(a, hidden[k], threadIdx.x / 16);
    read_eight(b, weight[k], threadIdx.x % 16);
#pragma unroll
    for (int r = 0; r < 8; r++) {
#pragma unroll
      for (int i = 0; i < 8; i++) chains[r * 8 + i] = fmaf(b[i], a[r], chains[r * 8 + i]);
    }
  }
}

// sums of a tile: the products of each slice in one chain, the chains in order.
__device__ __forceinline__ void sum_tile(float (&sums)[64], FloatStage (&stages)[2][2], const HiddenUnit& unit,
                                         const HiddenMatrix<float>& hidden, const HiddenMatrix<float>& weight) {
  const uint32_t row = threadIdx.x / 2, part = threadIdx.x % 2 * 4;
  const uint64_t hidden_row = uint64_t{unit.first_row} + row, weight_row = uint64_t{unit.first_entry} + row;
  const uint32_t steps = static_cast<uint32_t>((hidden.pitch + FloatTile::kDepth - 1) / FloatTile::kDepth);
  float4 next_hidden = load_four(hidden, hidden_row, part), next_weight = load_four(weight, weight_row, part);
  float chains[64] = {};
  for (uint32_t step = 0; step < steps; step++) {
    FloatStage(&stage)[2] = stages[step % 2];
    store_turned(stage[0], row, part, next_hidden);
    store_turned(stage[1], row, part, next_weight);
    // The stage of the step before was read before this barrier, and is written after it.
    __syncthreads();
    const uint64_t column = (uint64_t{step} + 1) * FloatTile::kDepth + part;
    next_hidden = load_four(hidden, hidden_row, column);
    next_weight = load_four(weight, weight_row, column);
    multiply_stage(chains, stage[0], stage[1]);
    if ((step + 1) % (FloatTile::kSlice / FloatTile::kDepth) != 0 && step + 1 != steps) continue;
#pragma unroll
    for (int i = 0; i < 64; i++) {
      sums[i] += chains[i];
      chains[i] = 0.0f;
    }
  }
}

template <bool Diagonal>
__global__ __launch_bounds__(FloatTile::kThreads, 1) void hidden_float(HiddenMatrix<float> hidden,
                                                                       HiddenMatrix<float> weight, HiddenTiles t) {
  using Layout = FloatTile::Layout;
  __shared__ __align__(16) FloatStage stages[2][2];
  const HiddenUnit unit = unit_at<Diagonal>(blockIdx.x, t, FloatTile::kEntries);
  float sums[64] = {};
  sum_tile(sums, stages, unit, hidden, weight);
  const uint32_t first = unit.first_entry + threadIdx.x % 16 * 4;
  shape_logits<Layout>(sums, first, unit.first_entry + FloatTile::kEntries <= t.entries, t);
#pragma unroll
  for (int r = 0; r < Layout::rows; r++) {
    const uint32_t row = unit.first_row + r / 4 * 64 + threadIdx.x / 16 * 4 + r % 4;
    if (Diagonal) {
      store_diagonal<Layout>(sums, r, row, first, t);
      continue;
    }
    const RowTarget target = target_of(row, t);
    const HiddenPart part = part_of<Layout>(sums, r, first, target, t.terms);
    if (target.inside && threadIdx.x % 16 == 0) t.parts[uint64_t{unit.tile} * t.rows + row] = part;
  }
}

}  // namespace covn::cuda
