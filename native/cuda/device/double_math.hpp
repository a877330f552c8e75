// exp2 and log in double by multiplications and additions alone: the libraries of devices and hosts differ in last
// bits, these do not.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "cuda/device/host_device.hpp"

namespace covn::cuda {

COVN_HD inline double fma_double(double a, double b, double c) {
#ifdef __CUDA_ARCH__
  return __fma_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}

// 2^x, x <= 1000; relative error below 4e-16, 0 below -1022.
COVN_HD inline double exp2_double(double x) {
  if (!(x >= -1022.0)) return x < -1022.0 ? 0.0 : x;  // NaN stays
  constexpr double kMagic = 6755399441055744.0;       // 1.5 * 2^52: adding it rounds to a whole number
  const double shifted = x + kMagic, whole = shifted - kMagic;
  const double f = x - whole;  // in [-1/2, 1/2]
  // (ln 2)^n / n!
  constexpr double c[] = {1.0,
                          0.6931471805599453,
                          0.24022650695910072,
                          0.05550410866482158,
                          0.009618129107628477,
                          0.0013333558146428441,
                          0.00015403530393381606,
                          1.5252733804059838e-05,
                          1.3215486790144305e-06,
                          1.0178086009239696e-07,
                          7.054911620801121e-09,
                          4.445538271870812e-10,
                          2.567843599348821e-11};
  double p = c[12];
#ifdef __CUDACC__
#pragma unroll
#endif
  for (int n = 11; n >= 0; n--) p = fma_double(p, f, c[n]);
  // The low bits of `shifted` are the whole number; the exponent takes it.
  return std::bit_cast<double>(std::bit_cast<uint64_t>(p) + (std::bit_cast<uint64_t>(shifted) << 52));
}

// log(x) for x in [1, 2^1000]; absolute error below 2e-16 log(x) + 2e-16, exactly 0 at 1. With x = 2^e z, z around 1,
// and f = (z - 1)/(z + 1): log(z) = 2 (f + f^3/3 + f^5/5 + ...), |f| <= 0.172.
COVN_HD inline double log_double(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  const auto exponent = static_cast<int64_t>((bits - 0x3fe6a09e667f3bcdu) >> 52);  // of sqrt(1/2) and above
  const double z = std::bit_cast<double>(bits - (static_cast<uint64_t>(exponent) << 52));
  const double f = (z - 1.0) / (z + 1.0), f2 = f * f;
  constexpr double c[] = {1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19};
  double p = 1.0 / 21;
#ifdef __CUDACC__
#pragma unroll
#endif
  for (int n = 8; n >= 0; n--) p = fma_double(p, f2, c[n]);
  const double twice = f + f;
  return fma_double(static_cast<double>(exponent), 0.6931471805599453, fma_double(twice * f2, p, twice));
}

}  // namespace covn::cuda
