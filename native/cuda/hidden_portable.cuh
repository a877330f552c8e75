// scoreHidden for half and bfloat16 from sm_80 on: a tile of 128 rows by 256 entries a block, summed by mma.sync in the
// registers of 8 warps (64 x 64 each), fed through a ring of stages in shared memory that cp.async fills.
#pragma once

#include "cuda/hidden_tiles.cuh"

namespace covn::cuda {

// Rows of 16-bit numbers on the device.
template <class T>
struct HiddenMatrix {
  const T* data;   // [rows, pitch], each row 16-byte aligned, zeros from the width to the pitch
  uint64_t pitch;  // elements, a multiple of 8
  uint32_t rows;
};

struct PortableTile {
  static constexpr uint32_t kEntries = 256, kDepth = 32, kStages = 4, kThreads = 256;
  static constexpr uint32_t kRowBytes = kDepth * 2;
  static constexpr uint32_t kHiddenBytes = kTileRows * kRowBytes, kStageBytes = kHiddenBytes + kEntries * kRowBytes;
  static constexpr uint32_t kSharedBytes = kStages * kStageBytes;
  using Layout = FragmentLayout<64>;

  // Rows of 64 bytes, four chunks each: eight rows' chunks of one column lie in all banks.
  __device__ static uint32_t place(uint32_t row, uint32_t chunk) {
    return row * kRowBytes + ((chunk ^ (row / 2 % 4)) * 16);
  }
};

// Asks for one stage: 128 rows and 256 weights of 32 elements, in chunks of 16 bytes.
template <class T>
__device__ __forceinline__ void load_stage(uint32_t stage, const HiddenUnit& unit, uint32_t step,
                                           const HiddenMatrix<T>& hidden, const HiddenMatrix<T>& weight) {
  constexpr uint32_t kChunks = PortableTile::kRowBytes / 16, kRowsApart = PortableTile::kThreads / kChunks;
  const uint32_t chunk = threadIdx.x % kChunks, first = threadIdx.x / kChunks;
  const uint64_t column = uint64_t{step} * PortableTile::kDepth + chunk * 8;
  const bool inside = column < hidden.pitch;
#pragma unroll
  for (uint32_t row = first; row < kTileRows + first; row += kRowsApart) {
    const bool valid = inside && unit.first_row + row < hidden.rows;
    const T* from = hidden.data + (valid ? (uint64_t{unit.first_row} + row) * hidden.pitch + column : 0);
    ptx::copy_async_16(stage + PortableTile::place(row, chunk), from, valid);
  }
#pragma unroll
  for (uint32_t row = first; row < PortableTile::kEntries + first; row += kRowsApart) {
    const bool valid = inside && unit.first_entry + row < weight.rows;
    const T* from = weight.data + (valid ? (uint64_t{unit.first_entry} + row) * weight.pitch + column : 0);
    ptx::copy_async_16(stage + PortableTile::kHiddenBytes + PortableTile::place(row, chunk), from, valid);
  }
}

// sums [4][8 blocks of columns][4] += a warp's rows by its entries, of one stage.
template <class T>
__device__ __forceinline__ void multiply_stage(float (&sums)[4][32], uint32_t hidden, uint32_t weight) {
#pragma unroll
  for (uint32_t part = 0; part < PortableTile::kDepth / 16; part++) {
    uint32_t a[4][4];
    // The chunks of the second half of a stage are those of the first, two further: one bit of the address.
#pragma unroll
    for (int m = 0; m < 4; m++) {
      ptx::load_matrices(a[m], (hidden + m * 16 * PortableTile::kRowBytes) ^ (part * 32));
    }
#pragma unroll
    for (int n = 0; n < 8; n += 2) {
      uint32_t b[4];
      ptx::load_matrices(b, (weight + n * 8 * PortableTile::kRowBytes) ^ (part * 32));
#pragma unroll
      for (int m = 0; m < 4; m++) {
        ptx::multiply_add<T>(reinterpret_cast<float(&)[4]>(sums[m][4 * n]), a[m], b[0], b[1]);
        ptx::multiply_add<T>(reinterpret_cast<float(&)[4]>(sums[m][4 * n + 4]), a[m], b[2], b[3]);
      }
    }
  }
}

// The parts of four warps, side by side, as one. `parts` [4, 128] in shared memory.
__device__ __forceinline__ void merge_warps(const HiddenPart* parts, const HiddenUnit& unit, const HiddenTiles& t) {
  const uint32_t row = threadIdx.x;
  if (row >= kTileRows || unit.first_row + row >= t.rows) return;
  HiddenPart total = parts[row];
  for (int i = 1; i < 4; i++) add_part(total, parts[i * kTileRows + row], t.terms);
  t.parts[uint64_t{unit.tile} * t.rows + unit.first_row + row] = total;
}

// What becomes of a warp's 64 x 64 logits.
template <bool Diagonal>
__device__ __forceinline__ void finish_warp(float (&sums)[4][32], const HiddenUnit& unit, const HiddenTiles& t,
                                            HiddenPart* parts) {
  using Layout = PortableTile::Layout;
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t first = unit.first_entry + warp % 4 * 64 + lane % 4 * 2;
  const bool whole = unit.first_entry + PortableTile::kEntries <= t.entries;
#pragma unroll
  for (int m = 0; m < 4; m++) {
    shape_logits<Layout>(sums[m], first, whole, t);
#pragma unroll
    for (int r = 0; r < Layout::rows; r++) {
      const uint32_t row = warp / 4 * 64 + m * 16 + r * 8 + lane / 4, row_index = unit.first_row + row;
      if (Diagonal) {
        store_diagonal<Layout>(sums[m], r, row_index, first, t);
        continue;
      }
      const RowTarget target = target_of(row_index, t);
      const HiddenPart part = part_of<Layout>(sums[m], r, first, target, t.terms);
      if (lane % 4 == 0) parts[warp % 4 * kTileRows + row] = part;
    }
  }
}

template <class T, bool Diagonal>
__global__ __launch_bounds__(PortableTile::kThreads, 1) void hidden_portable(HiddenMatrix<T> hidden,
                                                                             HiddenMatrix<T> weight, HiddenTiles t) {
  COVN_DYNAMIC_SHARED(uint4, shared);
  const uint32_t base = ptx::shared_address(shared);
  const HiddenUnit unit = unit_at<Diagonal>(blockIdx.x, t, PortableTile::kEntries);
  const uint32_t warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t steps = static_cast<uint32_t>((hidden.pitch + PortableTile::kDepth - 1) / PortableTile::kDepth);
  // Where a lane reads its rows' addresses: of a, matrices are ordered down and then right; of b, right and then down.
  const uint32_t row_a = warp / 4 * 64 + lane % 16, row_b = warp % 4 * 64 + lane / 16 * 8 + lane % 8;
  const uint32_t hidden_at = PortableTile::place(row_a, lane / 16);
  const uint32_t weight_at = PortableTile::kHiddenBytes + PortableTile::place(row_b, lane / 8 % 2);

  float sums[4][32] = {};
  for (uint32_t step = 0; step < PortableTile::kStages - 1; step++) {
    if (step < steps) load_stage(base + step * PortableTile::kStageBytes, unit, step, hidden, weight);
    ptx::commit_copies();
  }
  for (uint32_t step = 0; step < steps; step++) {
    ptx::wait_copies<PortableTile::kStages - 2>();
    // All copies of this step are there, and the stage of the one before is free.
    __syncthreads();
    const uint32_t next = step + PortableTile::kStages - 1;
    if (next < steps) {
      load_stage(base + next % PortableTile::kStages * PortableTile::kStageBytes, unit, next, hidden, weight);
    }
    ptx::commit_copies();
    const uint32_t stage = base + step % PortableTile::kStages * PortableTile::kStageBytes;
    multiply_stage<T>(sums, stage + hidden_at, stage + weight_at);
  }
  ptx::wait_copies<0>();
  __syncthreads();
  HiddenPart* parts = reinterpret_cast<HiddenPart*>(shared);
  finish_warp<Diagonal>(sums, unit, t, parts);
  if (Diagonal) return;
  __syncthreads();
  merge_warps(parts, unit, t);
}

}  // namespace covn::cuda
