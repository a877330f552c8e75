// Log-probs from logits: the kernels. README.md beside this says what they cost.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/score_logits.hpp"
#include "cuda/score_terms.cuh"

namespace covn::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kWarpLanes = 32;

// Of this thread's warp in the grid.
__device__ __forceinline__ size_t warp_number() {
  return size_t{blockIdx.x} * (blockDim.x / kWarpLanes) + threadIdx.x / kWarpLanes;
}

template <class T>
constexpr int kTileLogits = kWarpLanes* kPacks* kPackLogits<T>;  // of a warp: 512 (f32) or 1024

// A row that is not longer than a tile is read by as few lanes as hold it.
template <class T>
constexpr bool is_short_row(size_t vocab) {
  return vocab <= static_cast<size_t>(kTileLogits<T>);
}
template <class T>
constexpr int lanes_of_row(size_t vocab) {
  int lanes = 1;
  while (static_cast<size_t>(lanes * kPacks * kPackLogits<T>) < vocab) lanes *= 2;
  return lanes;
}

// A longer row is cut into parts of whole tiles, about equal and at most kPartLogits, whose number depends on V alone:
// every warp reads one, whatever the number of rows and warps.
constexpr size_t kPartLogits = 4096;
template <class T>
constexpr RowCut cut_row(size_t vocab) {
  const size_t tile = kTileLogits<T>, parts = (vocab + kPartLogits - 1) / kPartLogits;
  const size_t length = ((vocab + parts - 1) / parts + tile - 1) / tile * tile;
  return {(vocab + length - 1) / length, length};
}

// Rows in device memory. What lies there has to be readable up to the end of the last 16 bytes, counted from address 0,
// that hold a logit.
struct ScoreInput {
  const void* logits;           // [rows, vocab]; of which only the parts asked for are read
  const int32_t* targets;       // [rows], -1: not read, and no output; null: all are read, and none has a target
  const uint32_t* target_bits;  // [rows]: the targets' logits in their own format; null: they are read from `logits`
  size_t rows, vocab;
};

// A lane's share of a row, or of a part of one, in tiles of `lanes` lanes: which logits it gets follows from their
// places in the row alone, wherever in memory that begins.
template <class T, bool kAligned, int kCount = kPacks>
class LaneTiles {
 public:
  __device__ __forceinline__ LaneTiles(const T* row, size_t length, int lanes, int lane)
      : length_(length), lanes_(lanes), lane_(lane) {
    const auto address = reinterpret_cast<uintptr_t>(row);
    shift_ = kAligned ? 0 : static_cast<unsigned>(address % 16);
    packs_ = reinterpret_cast<const uint4*>(address - shift_) + lane;
    end_ = reinterpret_cast<const uint4*>(address + length * sizeof(T));
  }

  // Whether every logit of a tile is there.
  __device__ __forceinline__ bool whole(size_t tile) const {
    return (tile + 1) * static_cast<size_t>(lanes_ * kCount * kPackLogits<T>) <= length_;
  }
  // Where the row is not aligned, packs are the first 16 of the bytes that hold them.
  __device__ __forceinline__ void load(Tile<T, kCount>& tile, size_t index) const {
    const uint4* at = packs_ + index * static_cast<size_t>(kCount * lanes_);
    if (whole(index)) {
#pragma unroll
      for (int p = 0; p < kCount; p++) tile.packs[p] = read(at + p * lanes_);
    } else {
#pragma unroll
      for (int p = 0; p < kCount; p++) {
        tile.packs[p] = logits_from(index, p) > 0 ? read(at + p * lanes_) : make_uint4(0, 0, 0, 0);
      }
    }
  }
  // The tile, from what load() gave; -inf for logits that are not there.
  __device__ __forceinline__ void finish(Tile<T, kCount>& tile, size_t index) const {
    if constexpr (!kAligned) {
      const uint4* next = packs_ + index * static_cast<size_t>(kCount * lanes_) + 1;  // another lane has loaded it
#pragma unroll
      for (int p = 0; p < kCount; p++) {
        const uint4* at = next + p * lanes_;
        tile.packs[p] = realign(tile.packs[p], at < end_ ? __ldg(at) : make_uint4(0, 0, 0, 0));
      }
    }
    if (whole(index)) return;
#pragma unroll
    for (int p = 0; p < kCount; p++) {
      const int64_t count = logits_from(index, p);
      uint4& pack = tile.packs[p];
      if (count < kPackLogits<T>) {
        pack = {masked(pack.x, 0, count), masked(pack.y, 1, count), masked(pack.z, 2, count), masked(pack.w, 3, count)};
      }
    }
  }

 private:
  static __device__ __forceinline__ uint4 read(const uint4* at) { return kAligned ? ptx::load_once(at) : __ldg(at); }
  // How many logits there are from a pack on.
  __device__ __forceinline__ int64_t logits_from(size_t tile, int p) const {
    const size_t pack = (tile * kCount + p) * static_cast<size_t>(lanes_) + static_cast<size_t>(lane_);
    return static_cast<int64_t>(length_) - static_cast<int64_t>(pack * kPackLogits<T>);
  }
  __device__ __forceinline__ uint4 realign(uint4 a, uint4 b) const {
    const unsigned bits = shift_ % 4 * 8;
    switch (shift_ / 4) {
      case 0: return shifted(a.x, a.y, a.z, a.w, b.x, bits);
      case 1: return shifted(a.y, a.z, a.w, b.x, b.y, bits);
      case 2: return shifted(a.z, a.w, b.x, b.y, b.z, bits);
      default: return shifted(a.w, b.x, b.y, b.z, b.w, bits);
    }
  }
  static __device__ __forceinline__ uint4 shifted(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e,
                                                  unsigned bits) {
    return {__funnelshift_r(a, b, bits), __funnelshift_r(b, c, bits), __funnelshift_r(c, d, bits),
            __funnelshift_r(d, e, bits)};
  }
  static __device__ __forceinline__ uint32_t masked(uint32_t word, int index, int64_t count) {
    if constexpr (sizeof(T) == 4) {
      return index < count ? word : 0xff800000u;
    } else {
      constexpr uint32_t kNone = ptx::Pair<T>::kNegativeInfinities;
      if (2 * index + 1 < count) return word;
      return 2 * index < count ? (word & 0xffffu) | (kNone & 0xffff0000u) : kNone;
    }
  }

  size_t length_;
  int lanes_, lane_;
  unsigned shift_;
  const uint4* packs_;
  const uint4* end_;
};

// Without targets a row's first logit stands for one, and what depends on it means nothing.
__device__ __forceinline__ int32_t target_of(const ScoreInput& in, size_t row) {
  return in.targets == nullptr ? 0 : in.targets[row];
}

template <class T>
__device__ __forceinline__ bool is_aligned(const T* row) {
  return reinterpret_cast<uintptr_t>(row) % 16 == 0;
}

// The target's logit in its own format.
template <class T>
__device__ __forceinline__ uint32_t target_bits(const ScoreInput& in, size_t row, int32_t target) {
  if (in.target_bits != nullptr) return in.target_bits[row];
  const T logit = static_cast<const T*>(in.logits)[row * in.vocab + target];
  if constexpr (sizeof(T) == 4) {
    return __float_as_uint(logit);
  } else {
    return logit.bits;
  }
}
template <class T>
__device__ __forceinline__ float logit_of(uint32_t bits) {
  if constexpr (sizeof(T) == 4) {
    return __uint_as_float(bits);
  } else {
    return to_float(T{static_cast<uint16_t>(bits)});
  }
}

// The largest over the warp; NaN may be lost.
__device__ __forceinline__ float warp_max(float x) {
  // Floats as integers of the same order.
  int i = __float_as_int(x);
  i ^= (i >> 31) & 0x7fffffff;
  i = __reduce_max_sync(kAllLanes, i);
  return __int_as_float(i ^ ((i >> 31) & 0x7fffffff));
}

// Both sums over the warp, in lane 0: one half of it adds up the one, the other half the other.
__device__ __forceinline__ void warp_sums(double& sum, double& weighted) {
  const bool upper = threadIdx.x & 16;
  double mine = upper ? weighted : sum;
  mine += __shfl_xor_sync(kAllLanes, upper ? sum : weighted, 16);
#pragma unroll
  for (int step = 8; step > 0; step /= 2) mine += __shfl_xor_sync(kAllLanes, mine, step);
  sum = mine;
  weighted = __shfl_sync(kAllLanes, mine, 16);
}

// Everything of one part, read by one warp; lane 0 has the result. The next tile is on its way while one is gone
// through.
template <bool kAligned, class T>
__device__ __forceinline__ RowPart score_part(const T* logits, size_t length, Above<T>& above,
                                              const TermConstants& constants) {
  const LaneTiles<T, kAligned> tiles(logits, length, kWarpLanes, static_cast<int>(threadIdx.x % kWarpLanes));
  const size_t count = (length + kTileLogits<T> - 1) / kTileLogits<T>;
  Tile<T> loaded, tile;
  tiles.load(loaded, 0);
  Place<T> place;
  LaneSums<T> sums;
  float largest = __uint_as_float(0xff800000u), limit = 0.0f;
#pragma unroll 1
  for (size_t t = 0; t < count; t++) {
    tile = loaded;
    tiles.finish(tile, t);
    if (t + 1 < count) tiles.load(loaded, t + 1);
    const float tile_largest = tile.largest();
    largest = fmaxf(largest, tile_largest);
    // All lanes keep one place: the sums of a lane whose logits are low cost nothing then.
    if (t == 0 || __any_sync(kAllLanes, tile_largest > limit)) {
      Place<T> moved;
      moved.set(warp_max(largest), constants);
      if (t > 0) sums.move(place, moved, constants);
      place = moved;
      limit = place.logit() + constants.margin;
    }
    above.add(tile);
    sums.add(tile, place, tiles.whole(t), constants);
  }
  double sum = sums.sum.value(), weighted = sums.weighted.value();
  warp_sums(sum, weighted);
  const int greater = __reduce_add_sync(kAllLanes, above.count());
  return part_of<T>(sum, weighted, warp_max(largest), greater, place, constants);
}

// Blocks that a multiprocessor is to hold at least; more would not leave registers enough.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
constexpr int kPartBlocks = 2;
#else
constexpr int kPartBlocks = 3;
#endif

// results [rows, cut.parts]: parts first .. first + count of every row, by a warp each.
template <class T>
__global__ void __launch_bounds__(256, kPartBlocks)
    score_parts(ScoreInput in, RowCut cut, size_t first, size_t count, TermConstants constants, RowPart* results) {
  const size_t unit = warp_number();
  if (unit >= in.rows * count) return;
  const size_t row = unit / count, part = first + unit % count;
  const int32_t target = target_of(in, row);
  if (target < 0) return;
  const uint32_t bits = target_bits<T>(in, row, target);
  Above<T> above(logit_of<T>(bits), bits);
  const size_t begin = part * cut.length, length = begin + cut.length < in.vocab ? cut.length : in.vocab - begin;
  const T* logits = static_cast<const T*>(in.logits) + (row * in.vocab + begin);
  const RowPart result = is_aligned(logits) ? score_part<true>(logits, length, above, constants)
                                            : score_part<false>(logits, length, above, constants);
  if (threadIdx.x % kWarpLanes == 0) results[row * cut.parts + part] = result;
}

__device__ __forceinline__ RowPart shuffle_part(const RowPart& part, int step) {
  return {__shfl_xor_sync(kAllLanes, part.sum, step), __shfl_xor_sync(kAllLanes, part.weighted, step),
          __shfl_xor_sync(kAllLanes, part.max, step), __shfl_xor_sync(kAllLanes, part.greater, step)};
}

// The parts [count] of a row as one, by a warp: a lane merges every 32nd part in order, then lanes in pairs.
__device__ __forceinline__ RowPart merged_parts(const RowPart* parts, size_t count, double rate) {
  RowPart merged = empty_part();
  for (size_t part = threadIdx.x % kWarpLanes; part < count; part += kWarpLanes) {
    merged = merge_parts(merged, parts[part], rate);
  }
#pragma unroll 1
  for (int step = 1; step < kWarpLanes; step *= 2) merged = merge_parts(merged, shuffle_part(merged, step), rate);
  return merged;
}

// scores [rows] from parts [rows, count], by a warp each.
template <class T>
__global__ void __launch_bounds__(256)
    merge_row_parts(ScoreInput in, const RowPart* parts, size_t count, TermConstants constants, RowScore* scores) {
  const size_t row = warp_number();
  if (row >= in.rows) return;
  const int32_t target = target_of(in, row);
  if (target < 0) return;
  const RowPart merged = merged_parts(parts + row * count, count, constants.finish.rate);
  if (threadIdx.x % kWarpLanes == 0) {
    scores[row] = finish_row(merged, logit_of<T>(target_bits<T>(in, row, target)), constants.finish);
  }
}

// A row of one tile.
template <class T>
__device__ __forceinline__ void load_row(Tile<T>& tile, const T* row, size_t length, int lanes, int lane) {
  if (is_aligned(row)) {
    const LaneTiles<T, true> tiles(row, length, lanes, lane);
    tiles.load(tile, 0);
    tiles.finish(tile, 0);
  } else {
    const LaneTiles<T, false> tiles(row, length, lanes, lane);
    tiles.load(tile, 0);
    tiles.finish(tile, 0);
  }
}

// What a short row comes to: its score, or what scores are made of.
__device__ __forceinline__ void write_row(const RowPart& part, float target, const RowFinish& finish, RowScore* out) {
  *out = finish_row(part, target, finish);
}
__device__ __forceinline__ void write_row(const RowPart& part, float, const RowFinish&, RowPart* out) { *out = part; }

// Short rows: `lanes` to a row, 32 / lanes rows at once, `turns` times; every lane then finishes one of the rows.
// results [rows]. A warp has rows of its own, 32 / lanes * turns of them; turns <= lanes.
template <class T, class Result>
__global__ void __launch_bounds__(256, 4)
    score_short_rows(ScoreInput in, int lanes, int turns, TermConstants constants, Result* results) {
  const int lane = static_cast<int>(threadIdx.x % kWarpLanes), mine = lane % lanes, group = lane / lanes;
  const int together = kWarpLanes / lanes;
  const size_t warp = warp_number();
  const size_t first = warp * static_cast<size_t>(together * turns);
  if (first >= in.rows) return;
  const auto target_at = [&](size_t row) { return row < in.rows ? target_of(in, row) : -1; };
  const bool whole = in.vocab == static_cast<size_t>(lanes * kPacks * kPackLogits<T>);
  RowPart kept = empty_part();  // as the sums are, not yet relative to the largest
  uint32_t kept_bits = 0;
  for (int turn = 0; turn < turns; turn++) {
    const size_t row = first + static_cast<size_t>(turn * together + group);
    const int32_t target = target_at(row);
    const bool scored = target >= 0;
    const uint32_t bits = scored ? target_bits<T>(in, row, target) : 0;
    // A row that is not there or not scored is one without logits.
    Tile<T> tile;
    load_row(tile, static_cast<const T*>(in.logits) + (scored ? row * in.vocab : 0), scored ? in.vocab : 0, lanes,
             mine);
    Above<T> above(logit_of<T>(bits), bits);
    above.add(tile);
    int greater = above.count();
    float largest = tile.largest();
    for (int step = 1; step < lanes; step *= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
      greater += __shfl_xor_sync(kAllLanes, greater, step);
    }
    Place<T> place;
    place.set(largest, constants);
    float sum, weighted;
    tile.sums(place, whole, constants, sum, weighted);
    double sum_all = sum, weighted_all = weighted;
    for (int step = 1; step < lanes; step *= 2) {
      sum_all += __shfl_xor_sync(kAllLanes, sum_all, step);
      weighted_all += __shfl_xor_sync(kAllLanes, weighted_all, step);
    }
    if (mine == turn) kept = {sum_all, weighted_all, largest, greater}, kept_bits = bits;
  }
  const size_t row = first + static_cast<size_t>(mine * together + group);
  if (mine >= turns || target_at(row) < 0) return;
  Place<T> place;
  place.set(kept.max, constants);
  const RowPart part = part_of<T>(kept.sum, kept.weighted, kept.max, kept.greater, place, constants);
  write_row(part, logit_of<T>(kept_bits), constants.finish, results + row);
}

}  // namespace covn::cuda
