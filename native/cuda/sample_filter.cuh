// Which tokens of a row a SampleFilter keeps: the least logit kept, by descending the digits of the logits' order.
// Counts and fixed-point masses are whole numbers, so that the order of additions changes nothing.
#pragma once

#include <limits>

#include "cuda/device/order_keys.hpp"
#include "cuda/sample_sums.cuh"

namespace covn::cuda {

constexpr int kFilterThreads = 256;  // as many as a digit has values
constexpr int kDigitBits = 8;

struct FilterTask {
  uint32_t top_k;  // 0: all
  double top_p;
  double log_min_p;  // -inf: all
};

// What a descent looks at.
template <class T>
struct FilteredRow {
  const T* logits;
  size_t vocab;
  DrawPlace place;
  const DrawConstants& constants;
  double scale;  // of masses: that of the whole row stays below 2^63

  __device__ __forceinline__ FilteredRow(const T* x, size_t n, float max, const DrawConstants& p)
      : logits(x), vocab(n), place(draw_place(max, p)), constants(p) {
    const double largest = draw_term(max, place, p);
    scale = exp2_double(static_cast<double>(__clzll(static_cast<long long>(n)) - 2)) / largest;
  }
  __device__ __forceinline__ unsigned long long mass(float x) const {
    return static_cast<unsigned long long>(static_cast<double>(draw_term(x, place, constants)) * scale);
  }
};

// The largest key such that the logits of keys from it on weigh at least the goal; what those above it weigh, and what
// they do with it.
struct Crossing {
  uint32_t key;
  unsigned long long above, with, goal;
};

// weigh(x): of a logit; goal(total): at most the total. Logits of keys below `least` weigh nothing. By a whole block.
template <class T, class Weigh, class Goal>
__device__ Crossing find_crossing(const FilteredRow<T>& row, uint32_t least, const Weigh& weigh, const Goal& goal) {
  __shared__ unsigned long long bins[kFilterThreads];
  __shared__ Crossing crossing;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) crossing = {0, 0, 0, 0};
#pragma unroll 1
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    bins[thread] = 0;
    __syncthreads();
    const uint32_t prefix = crossing.key;
    for (size_t i = threadIdx.x; i < row.vocab; i += kFilterThreads) {
      const float x = to_float(row.logits[i]);
      const uint32_t key = order_key(x);
      // The digits above are those chosen so far; of the first digit there are none.
      if (key < least || uint64_t{key ^ prefix} >> (shift + kDigitBits) != 0) continue;
      atomicAdd(&bins[key >> shift & (kFilterThreads - 1)], weigh(x));
    }
    __syncthreads();
    if (thread == 0) {
      if (shift == 32 - kDigitBits) {
        unsigned long long total = 0;
        for (int b = 0; b < kFilterThreads; b++) total += bins[b];
        crossing.goal = goal(total);
      }
      int b = kFilterThreads - 1;
      while (b > 0 && crossing.above + bins[b] < crossing.goal) crossing.above += bins[b--];
      crossing.key |= static_cast<uint32_t>(b) << shift;
      crossing.with = crossing.above + bins[b];
    }
    __syncthreads();
  }
  return crossing;
}

// The least key that passes min-p; whether rounding decides about one. By a whole block.
template <class T>
__device__ uint32_t min_p_key(const FilteredRow<T>& row, float max, double log_min_p, bool& undecided) {
  __shared__ uint32_t least;
  if (threadIdx.x == 0) least = order_key(max);
  __syncthreads();
  bool close = false;
  for (size_t i = threadIdx.x; i < row.vocab; i += kFilterThreads) {
    const float x = to_float(row.logits[i]);
    const double log_ratio = (static_cast<double>(x) - static_cast<double>(max)) / row.constants.temperature;
    if (x < max && fabs(log_ratio - log_min_p) <= 1e-12 - 1e-12 * log_min_p) close = true;
    if (log_ratio >= log_min_p) atomicMin(&least, order_key(x));
  }
  undecided = __syncthreads_or(close) != 0;
  return least;
}

// Sets `least` of every row, and `state` where rounding decides. A block a row.
template <class T>
__global__ void __launch_bounds__(kFilterThreads)
    find_least_kept(SampleRows<T> in, FilterTask filter, DrawConstants constants, DrawnRow* rows) {
  DrawnRow& drawn = rows[blockIdx.x];
  const float largest = drawn.max;
  if (drawn.state == DrawnState::bad) return;
  const FilteredRow<T> row(in.logits + size_t{blockIdx.x} * in.vocab, in.vocab, largest, constants);
  bool undecided = false;
  uint32_t least = order_key(-3.402823466e38f);  // -inf is never kept
  if (filter.log_min_p > -std::numeric_limits<double>::infinity()) {
    least = min_p_key(row, largest, filter.log_min_p, undecided);
  }
  if (filter.top_k > 0) {
    least = find_crossing(
                row, least, [](float) { return 1ull; },
                [&](unsigned long long total) { return min(total, static_cast<unsigned long long>(filter.top_k)); })
                .key;
  }
  if (filter.top_p < 1.0) {
    const Crossing found = find_crossing(
        row, least, [&](float x) { return row.mass(x); },
        [&](unsigned long long total) {
          // At least the largest is kept.
          return max(1ull, static_cast<unsigned long long>(filter.top_p * static_cast<double>(total)));
        });
    // Masses are cut off to whole numbers, and exact to 5e-7 here and on the CPU.
    const double goal = static_cast<double>(found.goal), margin = 2e-6 * goal + static_cast<double>(in.vocab);
    const bool sooner = found.above > 0 && static_cast<double>(found.above) > goal - margin;
    undecided = undecided || sooner || static_cast<double>(found.with) < goal + margin;
    least = found.key;
  }
  __syncthreads();  // everyone has read the row
  if (threadIdx.x == 0) {
    drawn.least = key_value(least);
    if (undecided) drawn.state = DrawnState::undecided;
  }
}

}  // namespace covn::cuda
