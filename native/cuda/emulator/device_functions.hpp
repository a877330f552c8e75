// The built-in functions of device code, each by what the CUDA programming guide says of it.
#pragma once

#include <bit>
#include <climits>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/emulator/block.hpp"

#define COVN_HERE ::covn::cuda::emulator::Place place = ::covn::cuda::emulator::Place::current()

// Barriers of a block and of a warp.
inline void __syncthreads(COVN_HERE) { covn::cuda::emulator::barrier_sync(0, 0, 0, place); }
inline int __syncthreads_or(int predicate, COVN_HERE) {
  return covn::cuda::emulator::barrier_sync(0, 0, predicate, place).any;
}
inline int __syncthreads_and(int predicate, COVN_HERE) {
  return covn::cuda::emulator::barrier_sync(0, 0, predicate, place).all;
}
inline int __syncthreads_count(int predicate, COVN_HERE) {
  return covn::cuda::emulator::barrier_sync(0, 0, predicate, place).count;
}
inline void __syncwarp(unsigned mask = 0xffffffffu, COVN_HERE) {
  covn::cuda::emulator::warp_collective(covn::cuda::emulator::WarpOperation::sync, mask, 0, 0, 32, place);
}
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline void __nanosleep(unsigned) { covn::cuda::emulator::yield(); }
[[noreturn]] inline void __trap() { covn::cuda::emulator::stop("a trap"); }

// Shuffles.
#define COVN_SHUFFLE(name, operation, parameter)                                                                   \
  template <class T>                                                                                               \
  T name(unsigned mask, T value, int parameter, int width = 32, COVN_HERE) {                                       \
    using namespace covn::cuda::emulator;                                                                          \
    return from_word<T>(warp_collective(WarpOperation::operation, mask, to_word(value), parameter, width, place)); \
  }
COVN_SHUFFLE(__shfl_sync, shuffle, lane)
COVN_SHUFFLE(__shfl_up_sync, shuffle_up, delta)
COVN_SHUFFLE(__shfl_down_sync, shuffle_down, delta)
COVN_SHUFFLE(__shfl_xor_sync, shuffle_xor, lane_mask)
#undef COVN_SHUFFLE

// Votes, matches and reductions.
inline unsigned __ballot_sync(unsigned mask, int predicate, COVN_HERE) {
  using namespace covn::cuda::emulator;
  return static_cast<unsigned>(warp_collective(WarpOperation::ballot, mask, predicate != 0, 0, 32, place));
}
inline int __any_sync(unsigned mask, int predicate, COVN_HERE) { return __ballot_sync(mask, predicate, place) != 0; }
inline int __all_sync(unsigned mask, int predicate, COVN_HERE) {
  return __ballot_sync(mask, predicate == 0, place) == 0;
}
template <class T>
unsigned __match_any_sync(unsigned mask, T value, COVN_HERE) {
  using namespace covn::cuda::emulator;
  return static_cast<unsigned>(warp_collective(WarpOperation::match, mask, to_word(value), 0, 32, place));
}
#define COVN_REDUCE(name, operation)                                                                    \
  inline unsigned name(unsigned mask, unsigned value, COVN_HERE) {                                      \
    using namespace covn::cuda::emulator;                                                               \
    return static_cast<unsigned>(warp_collective(WarpOperation::operation, mask, value, 0, 32, place)); \
  }
COVN_REDUCE(__reduce_add_sync, add)
COVN_REDUCE(__reduce_min_sync, min)
COVN_REDUCE(__reduce_max_sync, max)
COVN_REDUCE(__reduce_and_sync, bit_and)
COVN_REDUCE(__reduce_or_sync, bit_or)
COVN_REDUCE(__reduce_xor_sync, bit_xor)
#undef COVN_REDUCE
inline int __reduce_add_sync(unsigned mask, int value, COVN_HERE) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(value), place));
}
// Unsigned order, shifted by half the range, is that of signed numbers.
inline int __reduce_min_sync(unsigned mask, int value, COVN_HERE) {
  return static_cast<int>(__reduce_min_sync(mask, static_cast<unsigned>(value) ^ 0x80000000u, place) ^ 0x80000000u);
}
inline int __reduce_max_sync(unsigned mask, int value, COVN_HERE) {
  return static_cast<int>(__reduce_max_sync(mask, static_cast<unsigned>(value) ^ 0x80000000u, place) ^ 0x80000000u);
}

// Atomics: threads switch only at rendezvous, so a plain read and write is one.
template <class T>
T covn_atomic(T* address, T value) {
  T old = *address;
  *address = value;
  return old;
}
#define COVN_ATOMIC(name, type, expression)          \
  inline type name(type* address, type value) {      \
    const type old = *address;                       \
    return covn_atomic(address, (type)(expression)); \
  }
#define COVN_INTEGER_ATOMICS(type)                                 \
  COVN_ATOMIC(atomicAdd, type, old + value)                        \
  COVN_ATOMIC(atomicExch, type, (void(old), value))                \
  COVN_ATOMIC(atomicMin, type, value < old ? value : old)          \
  COVN_ATOMIC(atomicMax, type, value > old ? value : old)          \
  COVN_ATOMIC(atomicAnd, type, old& value)                         \
  COVN_ATOMIC(atomicOr, type, old | value)                         \
  COVN_ATOMIC(atomicXor, type, old ^ value)                        \
  inline type atomicCAS(type* address, type compare, type value) { \
    const type old = *address;                                     \
    return covn_atomic(address, old == compare ? value : old);     \
  }
COVN_INTEGER_ATOMICS(int)
COVN_INTEGER_ATOMICS(unsigned)
COVN_INTEGER_ATOMICS(unsigned long long)
COVN_ATOMIC(atomicAdd, float, old + value)
COVN_ATOMIC(atomicAdd, double, old + value)
COVN_ATOMIC(atomicSub, int, old - value)
COVN_ATOMIC(atomicSub, unsigned, old - value)
COVN_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
COVN_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)
#undef COVN_INTEGER_ATOMICS
#undef COVN_ATOMIC

// Loads and stores with hints to the caches.
#define COVN_LOAD(name)      \
  template <class T>         \
  T name(const T* address) { \
    return *address;         \
  }
COVN_LOAD(__ldg)
COVN_LOAD(__ldcs)
COVN_LOAD(__ldcg)
COVN_LOAD(__ldca)
COVN_LOAD(__ldlu)
COVN_LOAD(__ldcv)
#undef COVN_LOAD
template <class T>
void __stcs(T* address, T value) {
  *address = value;
}
template <class T>
void __stcg(T* address, T value) {
  *address = value;
}

// Bits.
inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1; }
inline int __ffsll(long long x) { return x == 0 ? 0 : std::countr_zero(static_cast<unsigned long long>(x)) + 1; }
inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; i++) r |= (x >> i & 1u) << (31 - i);
  return r;
}
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(uint64_t{a} * b >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(((uint64_t{high} << 32 | low) << (shift & 31)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((uint64_t{high} << 32 | low) >> (shift & 31));
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned r = 0;
  for (int i = 0; i < 4; i++) {
    const unsigned pick = selector >> 4 * i & 0xf;
    unsigned byte = static_cast<unsigned>(bytes >> 8 * (pick & 7)) & 0xff;
    if (pick & 8) byte = byte & 0x80 ? 0xff : 0;
    r |= byte << 8 * i;
  }
  return r;
}
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

// Arithmetic that rounds to nearest.
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __double2float_rn(double x) { return static_cast<float>(x); }
inline double __hiloint2double(int high, int low) {
  return std::bit_cast<double>(static_cast<uint64_t>(static_cast<unsigned>(high)) << 32 | static_cast<unsigned>(low));
}
inline int __double2hiint(double x) { return static_cast<int>(std::bit_cast<uint64_t>(x) >> 32); }
inline int __double2loint(double x) { return static_cast<int>(std::bit_cast<uint64_t>(x)); }
// Saturating, NaN to 0, as the hardware converts.
inline int __float2int_rn(float x) {
  if (x != x) return 0;
  const double r = std::nearbyint(static_cast<double>(x));
  return r >= 2147483647.0 ? INT_MAX : r <= -2147483648.0 ? INT_MIN : static_cast<int>(r);
}
inline int __float2int_rz(float x) { return __float2int_rn(std::trunc(x)); }
inline int __float2int_rd(float x) { return __float2int_rn(std::floor(x)); }

#define COVN_MIN_MAX(type)                                  \
  inline type min(type a, type b) { return b < a ? b : a; } \
  inline type max(type a, type b) { return a < b ? b : a; }
COVN_MIN_MAX(int)
COVN_MIN_MAX(unsigned)
COVN_MIN_MAX(long)
COVN_MIN_MAX(unsigned long)
COVN_MIN_MAX(long long)
COVN_MIN_MAX(unsigned long long)
#undef COVN_MIN_MAX
inline float min(float a, float b) { return std::fmin(a, b); }
inline float max(float a, float b) { return std::fmax(a, b); }
inline double min(double a, double b) { return std::fmin(a, b); }
inline double max(double a, double b) { return std::fmax(a, b); }

#undef COVN_HERE
