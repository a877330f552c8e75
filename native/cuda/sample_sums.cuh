// Drawing from rows of logits: sums of a row's terms, from which tokens are found. README.md beside this says how.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/device/draw_terms.hpp"
#include "cuda/sample_logits.hpp"
#include "cuda/score_logits.cuh"

namespace covn::cuda {

// A row is searched from above: its parts, which are those of scores, the groups of a part, a group's logits.
constexpr int kGroupLogits = 32;
constexpr int kRoundLogits = kWarpLanes * kGroupLogits;  // of a warp: a group a lane
constexpr size_t kMaxPartGroups = kPartLogits / kGroupLogits;

// Groups of a part, with those that fill its last round.
constexpr size_t part_groups(size_t length) { return (length + kRoundLogits - 1) / kRoundLogits * kWarpLanes; }

// The terms of a row, 0 for what is not kept.
struct KeptTerms {
  DrawPlace place;
  float least;
  const DrawConstants& constants;

  __device__ __forceinline__ KeptTerms(const DrawnRow& row, const DrawConstants& p)
      : place(draw_place(row.max, p)), least(row.least), constants(p) {}
  __device__ __forceinline__ float operator()(float x) const {
    return x >= least ? draw_term(x, place, constants) : 0.0f;
  }
};

// Sums over the warp of 2 kStep numbers a lane: each step halves the numbers that a lane has, and doubles the lanes
// that they are sums of. Lane g ends with that of v[g].
template <int kStep>
__device__ __forceinline__ void transpose_sums(float (&v)[kWarpLanes], int lane) {
  const bool upper = (lane & kStep) != 0;
#pragma unroll
  for (int i = 0; i < kStep; i++) {
    const float kept = upper ? v[i + kStep] : v[i], given = upper ? v[i] : v[i + kStep];
    v[i] = kept + __shfl_xor_sync(kAllLanes, given, kStep);
  }
  if constexpr (kStep > 1) transpose_sums<kStep / 2>(v, lane);
}

// Sums of up to 32 groups, from the first n logits: lane g gets that of group g.
template <class T>
__device__ __forceinline__ float group_sums(const T* logits, size_t n, const KeptTerms& terms, int lane) {
  float v[kWarpLanes];
#pragma unroll
  for (int g = 0; g < kWarpLanes; g++) {
    const size_t at = static_cast<size_t>(g * kGroupLogits + lane);
    v[g] = at < n ? terms(to_float(logits[at])) : 0.0f;
  }
  transpose_sums<kWarpLanes / 2>(v, lane);
  return v[0];
}

// The sums of x over the lanes up to and with each.
__device__ __forceinline__ double inclusive_sums(double x, int lane) {
#pragma unroll
  for (int step = 1; step < kWarpLanes; step *= 2) {
    const double below = __shfl_up_sync(kAllLanes, x, step);
    if (lane >= step) x += below;
  }
  return x;
}

// The sum of a part's terms, by a warp; and in prefix [part_groups(length)], unless null, those of its groups up to and
// with each.
template <class T>
__device__ __forceinline__ double sum_part(const T* logits, size_t length, const KeptTerms& terms, double* prefix) {
  const int lane = static_cast<int>(threadIdx.x % kWarpLanes);
  double total = 0.0;
#pragma unroll 1
  for (size_t at = 0; at < length; at += kRoundLogits) {
    const double sums = total + inclusive_sums(group_sums(logits + at, length - at, terms, lane), lane);
    if (prefix != nullptr) prefix[at / kGroupLogits + lane] = sums;
    total = __shfl_sync(kAllLanes, sums, kWarpLanes - 1);
  }
  return total;
}

// prefix [count] of what `part(i)` gives, by a warp; its last.
template <class Part>
__device__ __forceinline__ double write_prefix(size_t count, double* prefix, const Part& part) {
  const int lane = static_cast<int>(threadIdx.x % kWarpLanes);
  double total = 0.0;
#pragma unroll 1
  for (size_t first = 0; first < count; first += kWarpLanes) {
    const size_t at = first + static_cast<size_t>(lane);
    const double sums = total + inclusive_sums(at < count ? part(at) : 0.0, lane);
    if (at < count) prefix[at] = sums;
    total = __shfl_sync(kAllLanes, sums, kWarpLanes - 1);
  }
  return total;
}

// Rows whose parts have been summed at temperature 1: their log-probs.
__global__ void __launch_bounds__(256)
    finish_unit_rows(size_t rows, size_t count, const RowPart* parts, RowFinish finish, DrawnRow* out) {
  const size_t row = warp_number();
  if (row >= rows) return;
  const RowPart merged = merged_parts(parts + row * count, count, finish.rate);
  if (threadIdx.x % kWarpLanes == 0) out[row].unit_log_sum = row_log_sum(merged, mean_below(merged), finish);
}

// Rows whose parts have been summed at the temperature that is drawn at; at temperature 1 (`unit`) they have their
// log-probs too.
__global__ void __launch_bounds__(256)
    finish_drawn_rows(size_t rows, size_t count, const RowPart* parts, RowFinish finish, double octaves, bool unit,
                      double* prefix, DrawnRow* out) {
  const size_t row = warp_number();
  if (row >= rows) return;
  const RowPart* const own = parts + row * count;
  const RowPart merged = merged_parts(own, count, finish.rate);
  // Relative to the largest, by the temperature itself: the rate that terms were formed with is a float.
  const double total = write_prefix(count, prefix + row * count, [&](size_t i) {
    return own[i].sum == 0.0 ? 0.0 : own[i].sum * exp2_double(octaves * (static_cast<double>(own[i].max) - merged.max));
  });
  if (threadIdx.x % kWarpLanes != 0) return;
  DrawnRow& drawn = out[row];
  drawn.max = merged.max;
  drawn.least = -3.402823466e38f;
  drawn.total = total;
  drawn.state = is_row(merged) ? DrawnState::sound : DrawnState::bad;
  drawn.log_sum = row_log_sum(merged, mean_below(merged), finish);
  if (unit) drawn.unit_log_sum = drawn.log_sum;
}

// sums [rows, cut.parts] of what a filter has left, by a warp each.
template <class T>
__global__ void __launch_bounds__(256)
    sum_kept_parts(SampleRows<T> in, RowCut cut, const DrawnRow* rows, DrawConstants constants, double* sums) {
  const size_t unit = warp_number();
  if (unit >= in.rows * cut.parts) return;
  const size_t row = unit / cut.parts, begin = unit % cut.parts * cut.length;
  const DrawnRow drawn = rows[row];
  if (drawn.state == DrawnState::bad) return;
  const KeptTerms terms(drawn, constants);
  const double sum = sum_part(in.logits + row * in.vocab + begin, min(cut.length, in.vocab - begin), terms, nullptr);
  if (threadIdx.x % kWarpLanes == 0) sums[unit] = sum;
}

// Makes the sums of a row's parts their prefix, in place.
__global__ void __launch_bounds__(256)
    finish_kept_rows(size_t rows, size_t count, DrawConstants constants, double* sums, DrawnRow* out) {
  const size_t row = warp_number();
  if (row >= rows || out[row].state == DrawnState::bad) return;
  double* const own = sums + row * count;
  const double total = write_prefix(count, own, [&](size_t i) { return own[i]; });
  if (threadIdx.x % kWarpLanes != 0) return;
  DrawnRow& drawn = out[row];
  drawn.total = total;
  // Beside the largest's own term as it was formed, so that what is certain has log-prob 0.
  const double largest = draw_term(drawn.max, draw_place(drawn.max, constants), constants);
  drawn.log_sum = total > largest ? log_double(total / largest) : 0.0;
}

}  // namespace covn::cuda
