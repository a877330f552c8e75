// Instructions of single threads that CUDA C++ has no name for, or only in headers that this code does without. Each
// has its emulated twin.
#pragma once

#include <cstdint>

#include "core/number_formats.hpp"
#include "cuda/runtime.hpp"

#ifdef COVN_CUDA_EMULATED
#include <cmath>
#endif

namespace covn::cuda::ptx {

// The larger number; NaN if either is.
__device__ __forceinline__ float max_nan(float a, float b) {
#ifdef COVN_CUDA_EMULATED
  return a != a || b != b ? __int_as_float(0x7fffffff) : a < b ? b : a;
#else
  float r;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(r) : "f"(a), "f"(b));
  return r;
#endif
}

// 2^x by the special function unit: relative error below 2^-22, results below 2^-126 are 0. The twin rounds correctly,
// which no device does.
__device__ __forceinline__ float exp2_approximate(float x) {
#ifdef COVN_CUDA_EMULATED
  const auto y = static_cast<float>(std::exp2(static_cast<double>(x)));
  return y < 0x1p-126f ? 0.0f : y;
#else
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
#endif
}

// 16 bytes that are read once: they are not kept in L1, and L2 fetches the rest of their 128.
__device__ __forceinline__ uint4 load_once(const uint4* address) {
#ifdef COVN_CUDA_EMULATED
  return *address;
#else
  uint4 r;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "l"(address));
  return r;
#endif
}

// Two 16-bit logits in a word: their values, their maximum (NaN where one is NaN), and how many are above others.
template <class T>
struct Pair;

namespace emulated {

template <class T>
float value(uint32_t word, int half) {
  return to_float(T{static_cast<uint16_t>(word >> 16 * half)});
}
template <class T>
uint32_t max_nan2(uint32_t a, uint32_t b) {
  uint32_t r = 0;
  for (int half = 0; half < 2; half++) {
    const float x = value<T>(a, half), y = value<T>(b, half);
    const uint32_t from = x != x || (y == y && !(x < y)) ? a : b;
    r |= from & (0xffffu << 16 * half);
  }
  return r;
}

}  // namespace emulated

template <>
struct Pair<Float16> {
  static constexpr uint32_t kNegativeInfinities = 0xfc00fc00u;
  static __device__ __forceinline__ float low(uint32_t word) {
#ifdef COVN_CUDA_EMULATED
    return emulated::value<Float16>(word, 0);
#else
    float r;
    asm("{ .reg .f16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, l; }" : "=f"(r) : "r"(word));
    return r;
#endif
  }
  static __device__ __forceinline__ float high(uint32_t word) {
#ifdef COVN_CUDA_EMULATED
    return emulated::value<Float16>(word, 1);
#else
    float r;
    asm("{ .reg .f16 l, h; mov.b32 {l, h}, %1; cvt.f32.f16 %0, h; }" : "=f"(r) : "r"(word));
    return r;
#endif
  }
  static __device__ __forceinline__ uint32_t max(uint32_t a, uint32_t b) {
#ifdef COVN_CUDA_EMULATED
    return emulated::max_nan2<Float16>(a, b);
#else
    uint32_t r;
    asm("max.NaN.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
#endif
  }
};

template <>
struct Pair<BFloat16> {
  static constexpr uint32_t kNegativeInfinities = 0xff80ff80u;
  static __device__ __forceinline__ float low(uint32_t word) { return __uint_as_float(word << 16); }
  static __device__ __forceinline__ float high(uint32_t word) { return __uint_as_float(word & 0xffff0000u); }
  static __device__ __forceinline__ uint32_t max(uint32_t a, uint32_t b) {
#ifdef COVN_CUDA_EMULATED
    return emulated::max_nan2<BFloat16>(a, b);
#else
    uint32_t r;
    asm("max.NaN.bf16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
    return r;
#endif
  }
};

// Counts logits above a given one: two at a time as 16-bit floats, which hold whole numbers up to 256 (bf16) and 2048
// (f16) each; so no more than 512 words. Processors before sm_90 compare bfloat16s one by one.
template <class T>
class CountAbove {
 public:
  explicit __device__ __forceinline__ CountAbove(float bound, uint32_t bound_bits)
      : bound_(bound), bounds_(bound_bits | bound_bits << 16) {}

  __device__ __forceinline__ void add(uint32_t word) {
#if defined(COVN_CUDA_EMULATED)
    count_ += (Pair<T>::low(word) > bound_) + (Pair<T>::high(word) > bound_);
#elif __CUDA_ARCH__ >= 900
    uint32_t above;
    if constexpr (kHalf) {
      asm("set.gt.f16x2.f16x2 %0, %1, %2;" : "=r"(above) : "r"(word), "r"(bounds_));
      asm("add.rn.f16x2 %0, %0, %1;" : "+r"(count_) : "r"(above));
    } else {
      asm("set.gt.bf16x2.bf16x2 %0, %1, %2;" : "=r"(above) : "r"(word), "r"(bounds_));
      asm("add.rn.bf16x2 %0, %0, %1;" : "+r"(count_) : "r"(above));
    }
#else
    if constexpr (kHalf) {
      uint32_t above;
      asm("set.gt.f16x2.f16x2 %0, %1, %2;" : "=r"(above) : "r"(word), "r"(bounds_));
      asm("add.rn.f16x2 %0, %0, %1;" : "+r"(count_) : "r"(above));
    } else {
      count_ += (Pair<T>::low(word) > bound_) + (Pair<T>::high(word) > bound_);
    }
#endif
  }

  __device__ __forceinline__ int count() const {
#if defined(COVN_CUDA_EMULATED)
    return static_cast<int>(count_);
#else
#if __CUDA_ARCH__ < 900
    if constexpr (!kHalf) return static_cast<int>(count_);
#endif
    return static_cast<int>(Pair<T>::low(count_) + Pair<T>::high(count_));
#endif
  }

 private:
  static constexpr bool kHalf = Pair<T>::kNegativeInfinities == 0xfc00fc00u;
  float bound_;
  uint32_t bounds_;
  uint32_t count_ = 0;
};

}  // namespace covn::cuda::ptx
