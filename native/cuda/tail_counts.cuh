// Coverage tail counts: log ratios at or above thresholds, and the weights of those. One read; counts and fixed-point
// sums are whole numbers, so the order in which threads add them changes nothing.
#pragma once

#include <cstdint>

#include "cuda/device/fixed_point.hpp"
#include "cuda/device/host_device.hpp"
#include "cuda/runtime.hpp"

namespace covn::cuda {

constexpr unsigned kTailThreads = 256;
constexpr unsigned kTailGroup = 8;  // thresholds that a block counts at once
constexpr unsigned kTailLoads = 4;  // log ratios of a thread on their way

struct TailSums {
  unsigned long long count, low, high;
};

struct TailInput {
  const double* log_ratios;  // [count]
  const double* weights;     // [count], or null
  size_t count;
  const double* thresholds;  // [threshold_count]
  uint32_t threshold_count;
  int unit;                 // of the fixed-point weights
  TailSums* sums;           // [threshold_count], added to
  unsigned long long* bad;  // lowered to `first` and the index of a log ratio that is NaN or -inf
  size_t first;
};

__device__ __forceinline__ void add_to(TailSums* sums, uint32_t count, const Fixed128& weight) {
  if (count == 0) return;
  atomicAdd(&sums->count, static_cast<unsigned long long>(count));
  const unsigned long long old = atomicAdd(&sums->low, static_cast<unsigned long long>(weight.low));
  const uint64_t carry = old + weight.low < old;
  if (weight.high + carry != 0) atomicAdd(&sums->high, static_cast<unsigned long long>(weight.high + carry));
}

// Grid: any number of blocks that share the log ratios, groups of thresholds.
template <bool kWeighted>
__global__ void __launch_bounds__(kTailThreads, kWeighted ? 2 : 4) count_tails_kernel(TailInput in) {
  const uint32_t first_threshold = blockIdx.y * kTailGroup;
  double thresholds[kTailGroup];
  uint32_t counts[kTailGroup] = {};
  Fixed128 weights[kWeighted ? kTailGroup : 1] = {};
#pragma unroll
  for (uint32_t k = 0; k < kTailGroup; k++) {
    // None reaches NaN.
    thresholds[k] = first_threshold + k < in.threshold_count ? in.thresholds[first_threshold + k]
                                                             : __longlong_as_double(0x7ff8000000000000ll);
  }

  const size_t stride = size_t{gridDim.x} * kTailThreads;
  for (size_t start = size_t{blockIdx.x} * kTailThreads + threadIdx.x; start < in.count; start += stride * kTailLoads) {
    double values[kTailLoads], loaded[kTailLoads];
#pragma unroll
    for (unsigned i = 0; i < kTailLoads; i++) {
      const size_t at = start + i * stride;
      values[i] = at < in.count ? __ldcs(in.log_ratios + at) : __longlong_as_double(0x7ff8000000000000ll);
      loaded[i] = kWeighted && at < in.count ? __ldcs(in.weights + at) : 0.0;
    }
#pragma unroll
    for (unsigned i = 0; i < kTailLoads; i++) {
      const size_t at = start + i * stride;
      if (at < in.count && !(values[i] >= -1.7976931348623157e308)) {
        atomicMin(in.bad, static_cast<unsigned long long>(in.first + at));
      }
      const Fixed128 weight = kWeighted ? to_fixed(loaded[i], in.unit) : Fixed128{0, 0};
#pragma unroll
      for (uint32_t k = 0; k < kTailGroup; k++) {
        if (!(values[i] >= thresholds[k])) continue;
        counts[k]++;
        if (kWeighted) weights[kWeighted ? k : 0] = add(weights[kWeighted ? k : 0], weight);
      }
    }
  }

  __shared__ uint32_t warp_counts[kTailThreads / 32][kTailGroup];
  __shared__ Fixed128 warp_weights[kTailThreads / 32][kTailGroup];
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
#pragma unroll
  for (uint32_t k = 0; k < kTailGroup; k++) {
    const uint32_t count = __reduce_add_sync(~0u, counts[k]);
    Fixed128 weight = {0, 0};
    if (kWeighted) {
      weight = weights[kWeighted ? k : 0];
#pragma unroll 1
      for (int step = 16; step > 0; step /= 2) {
        weight = add(weight, {__shfl_xor_sync(~0u, weight.low, step), __shfl_xor_sync(~0u, weight.high, step)});
      }
    }
    if (lane == 0) {
      warp_counts[warp][k] = count;
      warp_weights[warp][k] = weight;
    }
  }
  __syncthreads();
  const uint32_t k = threadIdx.x;
  if (k >= kTailGroup || first_threshold + k >= in.threshold_count) return;
  uint32_t count = 0;
  Fixed128 weight = {0, 0};
  for (unsigned w = 0; w < kTailThreads / 32; w++) {
    count += warp_counts[w][k];
    weight = add(weight, warp_weights[w][k]);
  }
  add_to(in.sums + first_threshold + k, count, weight);
}

}  // namespace covn::cuda
