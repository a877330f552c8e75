// Two models' logits in one read: the sums of which log ratio, KL and Hellinger distance are made. README.md beside
// this says why in three steps.
#pragma once

#include "cuda/pair_terms.cuh"
#include "cuda/score_logits.cuh"
#include "kernels/pair_sums.hpp"

namespace covn::cuda {

// A thread holds 16 pairs, a block a part of at most 4096. Parts, and which pairs a thread gets, follow from V alone.
constexpr int kThreadPairs = 16;
constexpr size_t kPairPart = 4096;
constexpr unsigned kPairThreads = kPairPart / kThreadPairs, kPairWarps = kPairThreads / 32;
template <class T>
constexpr int kPairPacks = kThreadPairs / kPackLogits<T>;

struct PairCut {
  size_t parts, length;
  unsigned threads;
};
constexpr PairCut cut_pairs(size_t vocab) {
  constexpr size_t kWarpPairs = 32 * kThreadPairs;
  const size_t parts = (vocab + kPairPart - 1) / kPairPart;
  const size_t length = ((vocab + parts - 1) / parts + kWarpPairs - 1) / kWarpPairs * kWarpPairs;
  return {(vocab + length - 1) / length, length, static_cast<unsigned>(length / kThreadPairs)};
}

// Rows of both models, [rows, vocab] each; readable up to the end of the last 16 bytes, counted from address 0, that
// hold a logit.
struct PairInput {
  const void *reference, *model;
  size_t rows, vocab;
};

// At most 32 squares of either model are this share, 2^-5, of the part's sum, or larger: they are added in double.
constexpr float kHeavyShare = 0x1p-5f;
constexpr unsigned kMaxHeavy = 64;

struct HeavyPair {
  float a, b;
};

struct PairShared {
  float maxima[kPairWarps][2], squares[kPairWarps][2];
  double totals[kPairWarps][4];
  HeavyPair heavy[kPairWarps][kMaxHeavy];
  unsigned heavy_count[kPairWarps];
  bool unsupported[kPairWarps];
};

// NaN where there is one.
template <class T, int kCount>
__device__ __forceinline__ float largest_or_nan(const Tile<T, kCount>& tile) {
  if constexpr (sizeof(T) == 4) {
    float largest = __uint_as_float(0xff800000u);
    tile.each_word([&](int, uint32_t word) { largest = ptx::max_nan(largest, __uint_as_float(word)); });
    return largest;
  } else {
    return tile.largest();
  }
}

// f(i, a, b) for the pairs of the first `packs` packs.
template <class T, class F>
__device__ __forceinline__ void each_pair(const Tile<T, kPairPacks<T>>& a, const Tile<T, kPairPacks<T>>& b, int packs,
                                          F f) {
#pragma unroll
  for (int p = 0; p < kPairPacks<T>; p++) {
    if (p >= packs) break;
    const uint32_t x[4] = {a.packs[p].x, a.packs[p].y, a.packs[p].z, a.packs[p].w};
    const uint32_t y[4] = {b.packs[p].x, b.packs[p].y, b.packs[p].z, b.packs[p].w};
#pragma unroll
    for (int w = 0; w < 4; w++) {
      if constexpr (sizeof(T) == 4) {
        f(4 * p + w, __uint_as_float(x[w]), __uint_as_float(y[w]));
      } else {
        f(8 * p + 2 * w, ptx::Pair<T>::low(x[w]), ptx::Pair<T>::low(y[w]));
        f(8 * p + 2 * w + 1, ptx::Pair<T>::high(x[w]), ptx::Pair<T>::high(y[w]));
      }
    }
  }
}

// Over the block, for two numbers of each thread.
template <class Combine>
__device__ __forceinline__ void block_pair(float (&slots)[kPairWarps][2], float& x, float& y, Combine combine) {
  if (threadIdx.x % 32 == 0) slots[threadIdx.x / 32][0] = x, slots[threadIdx.x / 32][1] = y;
  __syncthreads();
  x = slots[0][0], y = slots[0][1];
  for (unsigned w = 1; w < blockDim.x / 32; w++) {
    x = combine(x, slots[w][0]);
    y = combine(y, slots[w][1]);
  }
}

// Over the warp; the four sums come to lanes 0, 8, 16 and 24. Each half of the lanes adds up what the other half sends,
// by one tree for all, so that equal numbers have equal sums.
__device__ __forceinline__ double warp_totals(const PairTotals& t) {
  const bool upper = threadIdx.x & 16, second = threadIdx.x & 8;
  double first = upper ? t.affinity : t.reference, other = upper ? t.weighted : t.model;
  first += __shfl_xor_sync(kAllLanes, upper ? t.reference : t.affinity, 16);
  other += __shfl_xor_sync(kAllLanes, upper ? t.model : t.weighted, 16);
  double sum = second ? other : first;
  sum += __shfl_xor_sync(kAllLanes, second ? first : other, 8);
#pragma unroll
  for (int step = 4; step > 0; step /= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
  return sum;
}

// What a block does for a part; it stays the same for its threads.
template <class T>
struct PairPart {
  const T *a, *b;
  size_t length;
  PairConstants constants;
  float reference_origin = 0.0f, model_origin = 0.0f;

  // The place in the part of a thread's i-th pair.
  static __device__ __forceinline__ size_t place(int i) {
    const size_t pack = static_cast<size_t>(i / kPackLogits<T>) * blockDim.x + threadIdx.x;
    return pack * kPackLogits<T> + static_cast<size_t>(i % kPackLogits<T>);
  }
  __device__ __forceinline__ PairTerm term(float x, float y) const {
    return pair_term(x, y, reference_origin, model_origin, constants);
  }
};

// A thread's terms, and their sums but for heavy pairs.
struct ThreadPairs {
  PairTerm terms[kThreadPairs];
  uint32_t heavy = 0;  // a bit each
  bool unsupported = false;
  float reference = 0.0f, model = 0.0f, affinity = 0.0f, weighted = 0.0f;

  template <int kRun>
  __device__ __forceinline__ void add(int pairs, float reference_limit, float model_limit) {
#pragma unroll
    for (int run = 0; run < kThreadPairs; run += kRun) {
      if (run >= pairs) break;
      float a = 0.0f, b = 0.0f, ab = 0.0f, w = 0.0f;
#pragma unroll
      for (int i = run; i < run + kRun; i++) {
        const PairTerm t = terms[i];
        const float square = t.u * t.u;
        if (square > reference_limit || t.v * t.v > model_limit) {
          heavy |= 1u << i;
        } else {
          a = __fmaf_rn(t.u, t.u, a);
          b = __fmaf_rn(t.v, t.v, b);
          ab = __fmaf_rn(t.u, t.v, ab);
          w = __fmaf_rn(square, t.difference, w);
        }
      }
      reference += a;
      model += b;
      affinity += ab;
      weighted += w;
    }
  }

  // The weighted sum again, where a logit of -inf has spoiled it: those are kept out and noted.
  template <class T>
  __device__ __forceinline__ void add_without_infinity(const PairPart<T>& part, int pairs) {
    weighted = 0.0f;
#pragma unroll
    for (int i = 0; i < kThreadPairs; i++) {
      if (i >= pairs) break;
      const size_t at = part.place(i);
      if (at >= part.length || heavy >> i & 1) continue;
      constexpr float kNone = -std::numeric_limits<float>::infinity();
      if (to_float(part.b[at]) > kNone) {
        weighted = __fmaf_rn(terms[i].u * terms[i].u, terms[i].difference, weighted);
      } else if (to_float(part.a[at]) > kNone) {
        unsupported = true;
      }
    }
  }
  __device__ __forceinline__ bool is_finite() const {
    return reference - reference == 0.0f && model - model == 0.0f && affinity - affinity == 0.0f &&
           weighted - weighted == 0.0f;
  }
};

// Puts the heavy pairs of a warp into its list, in the order of its lanes.
template <class T>
__device__ __forceinline__ void list_heavy(const PairPart<T>& part, uint32_t heavy, PairShared& shared) {
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  unsigned end = 0;
  if (__any_sync(kAllLanes, heavy != 0)) {
    end = static_cast<unsigned>(__popc(heavy));
    unsigned at = end;
#pragma unroll
    for (unsigned step = 1; step < 32; step *= 2) {
      const unsigned before = __shfl_up_sync(kAllLanes, at, step);
      if (lane >= step) at += before;
    }
    end = at;
    at -= static_cast<unsigned>(__popc(heavy));
    for (; heavy != 0 && at < kMaxHeavy; heavy &= heavy - 1, at++) {
      const size_t place = part.place(__ffs(static_cast<int>(heavy)) - 1);
      shared.heavy[warp][at] = {to_float(part.a[place]), to_float(part.b[place])};
    }
  }
  if (lane == 31) shared.heavy_count[warp] = min(end, kMaxHeavy);
}

// By the first warp, after a barrier: everything that the block's warps have left.
template <class T>
__device__ __forceinline__ void finish_part(const PairPart<T>& part, PairShared& shared, float reference_max,
                                            float model_max, PairState* result) {
  const unsigned warps = blockDim.x / 32, lane = threadIdx.x;
  PairTotals totals;
  bool unsupported = lane < warps && shared.unsupported[lane];
  unsigned heavy = 0;
  for (unsigned w = 0; w < warps; w++) heavy += shared.heavy_count[w];
  for (unsigned i = lane; i < heavy; i += 32) {
    unsigned warp = 0, at = i;
    while (at >= shared.heavy_count[warp]) at -= shared.heavy_count[warp++];
    const HeavyPair pair = shared.heavy[warp][at];
    add_precisely(pair.a, pair.b, part.reference_origin, part.model_origin, part.constants, totals, unsupported);
  }
  double sum = heavy > 0 ? warp_totals(totals) : 0.0;
  unsupported = __any_sync(kAllLanes, unsupported);
  for (unsigned w = 0; w < warps; w++) sum += shared.totals[w][lane / 8];
  totals.reference = __shfl_sync(kAllLanes, sum, 0);
  totals.model = __shfl_sync(kAllLanes, sum, 8);
  totals.affinity = __shfl_sync(kAllLanes, sum, 16);
  totals.weighted = __shfl_sync(kAllLanes, sum, 24);
  if (lane != 0) return;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const bool finite = reference_max < kInfinity && model_max < kInfinity;  // neither NaN
  const bool both = reference_max > -kInfinity && model_max > -kInfinity;
  // NaN and +inf make their own row's sum NaN.
  if (!(reference_max < kInfinity)) totals.reference = std::numeric_limits<double>::quiet_NaN();
  if (!(model_max < kInfinity)) totals.model = std::numeric_limits<double>::quiet_NaN();
  if (!finite || !both) totals.affinity = totals.weighted = 0.0;
  *result = {part.reference_origin, part.model_origin, totals.reference, totals.model,
             totals.affinity,       totals.weighted,   unsupported};
}

template <class T>
__device__ __forceinline__ void leave_totals(const PairTotals& totals, bool unsupported, PairShared& shared) {
  const double sum = warp_totals(totals);
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  if (lane % 8 == 0) shared.totals[warp][lane / 8] = sum;
  unsupported = __any_sync(kAllLanes, unsupported);
  if (lane == 0) shared.unsupported[warp] = unsupported;
}

// All pairs in double, for what no float holds.
template <class T>
__device__ __forceinline__ void score_part_precisely(const PairPart<T>& part, PairShared& shared) {
  PairTotals totals;
  bool unsupported = false;
#pragma unroll 1
  for (int i = 0; i < kThreadPairs; i++) {
    const size_t at = part.place(i);
    if (at >= part.length) break;
    add_precisely(to_float(part.a[at]), to_float(part.b[at]), part.reference_origin, part.model_origin, part.constants,
                  totals, unsupported);
  }
  leave_totals<T>(totals, unsupported, shared);
  if (threadIdx.x % 32 == 0) shared.heavy_count[threadIdx.x / 32] = 0;
  __syncthreads();
}

template <bool kAligned, class T>
__device__ __forceinline__ void score_pair_part(PairPart<T> part, PairShared& shared, PairState* result) {
  constexpr int kPacksHere = kPairPacks<T>;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const int packs = static_cast<int>(
      min((part.length + blockDim.x * kPackLogits<T> - 1) / (blockDim.x * kPackLogits<T>), size_t{kPacksHere}));
  Tile<T, kPacksHere> a, b;
  {
    const LaneTiles<T, kAligned, kPacksHere> rows_a(part.a, part.length, static_cast<int>(blockDim.x),
                                                    static_cast<int>(threadIdx.x));
    const LaneTiles<T, kAligned, kPacksHere> rows_b(part.b, part.length, static_cast<int>(blockDim.x),
                                                    static_cast<int>(threadIdx.x));
    rows_a.load(a, 0);
    rows_b.load(b, 0);
    rows_a.finish(a, 0);
    rows_b.finish(b, 0);
  }

  float reference_max = warp_max(largest_or_nan(a)), model_max = warp_max(largest_or_nan(b));
  block_pair(shared.maxima, reference_max, model_max, [](float x, float y) { return ptx::max_nan(x, y); });
  part.reference_origin = fabsf(reference_max) < kInfinity ? reference_max : 0.0f;
  part.model_origin = fabsf(model_max) < kInfinity ? model_max : 0.0f;

  ThreadPairs mine;
  float reference = 0.0f, model = 0.0f;
  each_pair<T>(a, b, packs, [&](int i, float x, float y) {
    const PairTerm t = mine.terms[i] = part.term(x, y);
    reference = __fmaf_rn(t.u, t.u, reference);
    model = __fmaf_rn(t.v, t.v, model);
  });
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    reference += __shfl_xor_sync(kAllLanes, reference, step);
    model += __shfl_xor_sync(kAllLanes, model, step);
  }
  block_pair(shared.squares, reference, model, [](float x, float y) { return x + y; });

  const int pairs = packs * kPackLogits<T>;
  mine.add<4>(pairs, reference * kHeavyShare, model * kHeavyShare);
  if (!(mine.weighted - mine.weighted == 0.0f)) mine.add_without_infinity(part, pairs);
  list_heavy(part, mine.heavy, shared);
  leave_totals<T>({mine.reference, mine.model, mine.affinity, mine.weighted}, mine.unsupported, shared);
  if (__syncthreads_or(!mine.is_finite())) score_part_precisely(part, shared);
  if (threadIdx.x < 32) finish_part(part, shared, reference_max, model_max, result);
}

// results [rows, cut.parts]: parts first .. first + count of every row, by a block each of cut.threads.
template <class T>
__global__ void __launch_bounds__(kPairThreads, 2)
    score_pair_parts(PairInput in, PairCut cut, size_t first, size_t count, PairConstants constants,
                     PairState* results) {
  __shared__ PairShared shared;
  const size_t row = blockIdx.x / count, part = first + blockIdx.x % count;
  const size_t begin = part * cut.length, length = min(cut.length, in.vocab - begin);
  const T* a = static_cast<const T*>(in.reference) + (row * in.vocab + begin);
  const T* b = static_cast<const T*>(in.model) + (row * in.vocab + begin);
  PairState* result = results + (row * cut.parts + part);
  const PairPart<T> work{a, b, length, constants};
  if (is_aligned(a) && is_aligned(b)) {
    score_pair_part<true>(work, shared, result);
  } else {
    score_pair_part<false>(work, shared, result);
  }
}

}  // namespace covn::cuda
