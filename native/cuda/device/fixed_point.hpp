// Sums of numbers >= 0 in 128-bit fixed point: additions that commute, so that the order in which a device adds changes
// nothing.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "cuda/device/host_device.hpp"

namespace covn::cuda {

struct Fixed128 {
  uint64_t low, high;
};

COVN_HD inline Fixed128 add(const Fixed128& a, const Fixed128& b) {
  const uint64_t low = a.low + b.low;
  return {low, a.high + b.high + (low < a.low)};
}

// The power of two that fixed-point numbers count, such that `count` numbers of at most `largest` > 0 have a sum below
// 2^128 of it.
inline int fixed_unit(double largest, size_t count) { return std::ilogb(largest) + 1 - (128 - std::bit_width(count)); }

// |x| / 2^unit, rounded down; x is finite, and x / 2^unit below 2^128.
COVN_HD inline Fixed128 to_fixed(double x, int unit) {
  const uint64_t bits = std::bit_cast<uint64_t>(x) & ~uint64_t{0} >> 1, fraction = bits & 0xfffffffffffffu;
  const int exponent = static_cast<int>(bits >> 52);
  const uint64_t significand = exponent > 0 ? fraction | uint64_t{1} << 52 : fraction;
  const int shift = (exponent > 0 ? exponent : 1) - 1075 - unit;
  if (shift <= -53) return {0, 0};
  if (shift <= 0) return {significand >> -shift, 0};
  if (shift >= 64) return {0, significand << (shift - 64)};
  return {significand << shift, significand >> (64 - shift)};
}

// The nearest double to x * 2^unit.
inline double from_fixed(const Fixed128& x, int unit) {
  if (x.high == 0) return std::ldexp(static_cast<double>(x.low), unit);
  const int shift = std::countl_zero(x.high);
  uint64_t top = x.high << shift | (shift > 0 ? x.low >> (64 - shift) : 0);
  // What is cut off only has to be known to be there: 11 more bits decide how the conversion rounds.
  if (x.low << shift != 0) top |= 1;
  return std::ldexp(static_cast<double>(top), unit + 64 - shift);
}

}  // namespace covn::cuda
