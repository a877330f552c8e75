// scoreHidden for half and bfloat16 on Hopper (sm_90a): tiles of 128 rows by 256 entries. Blocks stay for the whole
// launch. One warp of each asks the copy engine for boxes of both factors, four stages ahead at most; two warpgroups
// multiply them, 64 rows each, and finish their logits in registers while the copies of the next tile come in.
#pragma once

#include "cuda/hidden_tiles.cuh"
#include "cuda/ptx_hopper.cuh"

namespace covn::cuda {

struct HopperTile {
  static constexpr uint32_t kEntries = 256, kDepth = kBoxWidth, kStages = 4, kThreads = 384;
  static constexpr uint32_t kHiddenBytes = kTileRows * kDepth * 2, kWeightBytes = kEntries * kDepth * 2;
  static constexpr uint32_t kStageBytes = kHiddenBytes + kWeightBytes;
  static constexpr uint32_t kConsumerWarps = 8;
  // The swizzle is counted in addresses, so stages start at multiples of its 1024 bytes.
  static constexpr uint32_t kAlignment = 1024;
  static constexpr uint32_t kSharedBytes = kAlignment + kStages * kStageBytes + 2 * kStages * 8;
  using Layout = FragmentLayout<256>;
};

struct HopperRing {
  unsigned char* stages;   // [kStages, kStageBytes]
  uint64_t *full, *empty;  // [kStages]: both factors are there; all consumers have read them

  // Which stage comes next, and in which of its phases.
  uint32_t stage = 0, phase = 0;

  __device__ __forceinline__ void advance() {
    stage++;
    if (stage == HopperTile::kStages) {
      stage = 0;
      phase ^= 1;
    }
  }
  __device__ __forceinline__ unsigned char* at() const { return stages + stage * HopperTile::kStageBytes; }
};

// One thread asks for the factors of all units of this block.
template <bool Diagonal>
__device__ __forceinline__ void produce(HopperRing ring, const TensorMap& hidden, const TensorMap& weight,
                                        uint32_t steps, const HiddenTiles& t) {
  const uint32_t units = unit_count<Diagonal>(t, HopperTile::kEntries);
  for (uint32_t index = blockIdx.x; index < units; index += gridDim.x) {
    const HiddenUnit unit = unit_at<Diagonal>(index, t, HopperTile::kEntries);
    for (uint32_t step = 0; step < steps; step++) {
      // A stage that was never filled counts as read: its phase "before the first" has ended.
      ptx::wait_barrier(&ring.empty[ring.stage], ring.phase ^ 1);
      uint64_t* full = &ring.full[ring.stage];
      ptx::arrive_and_expect(full, HopperTile::kStageBytes);
      const auto column = static_cast<int32_t>(step * HopperTile::kDepth);
      ptx::copy_box(ring.at(), &hidden, column, static_cast<int32_t>(unit.first_row), full);
      ptx::copy_box(ring.at() + HopperTile::kHiddenBytes, &weight, column, static_cast<int32_t>(unit.first_entry),
                    full);
      ring.advance();
    }
  }
}

// Says that this warp has read a stage.
__device__ __forceinline__ void release(uint64_t* empty) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) ptx::arrive(empty);
}

// sums = a warpgroup's 64 rows by a tile's entries.
template <class T>
__device__ __forceinline__ void sum_unit(float (&sums)[128], HopperRing& ring, uint32_t steps, uint32_t group) {
  uint64_t* read = nullptr;  // by products that may still be under way
  for (uint32_t step = 0; step < steps; step++) {
    ptx::wait_barrier(&ring.full[ring.stage], ring.phase);
    const uint32_t stage = ptx::shared_address(ring.at());
    const uint32_t hidden = stage + group * (HopperTile::kHiddenBytes / 2), weight = stage + HopperTile::kHiddenBytes;
    ptx::fence_products();
#pragma unroll
    for (uint32_t k = 0; k < HopperTile::kDepth; k += 16) {
      ptx::multiply_async<T>(sums, ptx::describe_factor(hidden + 2 * k), ptx::describe_factor(weight + 2 * k),
                             step > 0 || k > 0);
    }
    ptx::commit_products();
    ptx::wait_products<1>();
    if (read != nullptr) release(read);
    read = &ring.empty[ring.stage];
    ring.advance();
  }
  ptx::wait_products<0>();
  ptx::take_sums(sums);
  release(read);
}

// What becomes of a warpgroup's 64 x 256 logits.
template <bool Diagonal>
__device__ __forceinline__ void finish_unit(float (&sums)[128], const HiddenUnit& unit, uint32_t group,
                                            const HiddenTiles& t) {
  using Layout = HopperTile::Layout;
  const uint32_t lane = threadIdx.x % 32, first = unit.first_entry + lane % 4 * 2;
  shape_logits<Layout>(sums, first, unit.first_entry + HopperTile::kEntries <= t.entries, t);
#pragma unroll
  for (int r = 0; r < Layout::rows; r++) {
    const uint32_t row = unit.first_row + group * 64 + threadIdx.x % 128 / 32 * 16 + r * 8 + lane / 4;
    if (Diagonal) {
      store_diagonal<Layout>(sums, r, row, first, t);
      continue;
    }
    const RowTarget target = target_of(row, t);
    const HiddenPart part = part_of<Layout>(sums, r, first, target, t.terms);
    if (target.inside && lane % 4 == 0) t.parts[uint64_t{unit.tile} * t.rows + row] = part;
  }
}

template <class T, bool Diagonal>
__device__ __forceinline__ void consume(HopperRing ring, uint32_t steps, uint32_t group, const HiddenTiles& t) {
  const uint32_t units = unit_count<Diagonal>(t, HopperTile::kEntries);
  for (uint32_t index = blockIdx.x; index < units; index += gridDim.x) {
    float sums[128];
    sum_unit<T>(sums, ring, steps, group);
    finish_unit<Diagonal>(sums, unit_at<Diagonal>(index, t, HopperTile::kEntries), group, t);
  }
}

// `steps`: of 64 elements of the width, at least 1.
template <class T, bool Diagonal>
__global__ __launch_bounds__(HopperTile::kThreads, 1) void hidden_hopper(const __grid_constant__ TensorMap hidden,
                                                                         const __grid_constant__ TensorMap weight,
                                                                         uint32_t steps, HiddenTiles t) {
  // Other architectures get a kernel that fails: the host never launches it there, but a build for sm_90 in place of
  // sm_90a would give wrong results.
#if defined(COVN_CUDA_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
  COVN_DYNAMIC_SHARED(unsigned char, shared);
  const uint32_t misaligned = ptx::shared_address(shared) % HopperTile::kAlignment;
  HopperRing ring;
  ring.stages = shared + (misaligned == 0 ? 0 : HopperTile::kAlignment - misaligned);
  ring.full = reinterpret_cast<uint64_t*>(ring.stages + HopperTile::kStages * HopperTile::kStageBytes);
  ring.empty = ring.full + HopperTile::kStages;
  if (threadIdx.x == 0) {
    for (uint32_t i = 0; i < HopperTile::kStages; i++) {
      ptx::init_barrier(&ring.full[i], 1);
      ptx::init_barrier(&ring.empty[i], HopperTile::kConsumerWarps);
    }
    ptx::fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    ptx::give_registers<40>();
    if (threadIdx.x == 0) produce<Diagonal>(ring, hidden, weight, steps, t);
  } else {
    ptx::take_registers<232>();
    consume<T, Diagonal>(ring, steps, threadIdx.x / 128 - 1, t);
  }
#else
  __trap();
#endif
}

}  // namespace covn::cuda
