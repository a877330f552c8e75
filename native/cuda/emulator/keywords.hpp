// The words and plain types of CUDA C++ that kernels are written in, for a compiler that knows none of them.
#pragma once

#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))
// The blocks of a grid run one after another on a thread of their own, so a thread's static variables are a block's
// shared memory; emulator/block.cpp poisons all of them before every block. So kernels must not reach any other
// thread_local variable.
#define __shared__ static thread_local

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

#define COVN_VECTORS(type, scalar, bytes)                              \
  struct alignas(bytes / 2) type##2 {                                  \
    scalar x, y;                                                       \
  };                                                                   \
  struct alignas(bytes < 16 ? bytes : 16) type##4 {                    \
    scalar x, y, z, w;                                                 \
  };                                                                   \
  inline type##2 make_##type##2(scalar x, scalar y) { return {x, y}; } \
  inline type##4 make_##type##4(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }
COVN_VECTORS(int, int, 16)
COVN_VECTORS(uint, unsigned, 16)
COVN_VECTORS(float, float, 16)
COVN_VECTORS(ushort, unsigned short, 8)
COVN_VECTORS(uchar, unsigned char, 4)
#undef COVN_VECTORS
struct alignas(16) double2 {
  double x, y;
};
inline double2 make_double2(double x, double y) { return {x, y}; }
struct alignas(16) ulonglong2 {
  unsigned long long x, y;
};
inline ulonglong2 make_ulonglong2(unsigned long long x, unsigned long long y) { return {x, y}; }
struct alignas(16) longlong2 {
  long long x, y;
};
inline longlong2 make_longlong2(long long x, long long y) { return {x, y}; }

// Of the thread that is running; the scheduler sets them at every switch.
inline uint3 threadIdx{}, blockIdx{};
inline dim3 blockDim{}, gridDim{};
inline constexpr int warpSize = 32;
