// IEEE 754 binary16 by its definition (Sec. 3.4), and an encoder for making test data.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace covn::reference {

inline double decode_half(uint16_t bits) {
  const double sign = bits & 0x8000 ? -1.0 : 1.0;
  const int exponent = bits >> 10 & 0x1f;
  const int fraction = bits & 0x3ff;
  if (exponent == 31) return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

// The half float next to `value` toward zero: infinite, NaN, or below 65536.
inline uint16_t encode_half(double value) {
  const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  if (std::isnan(value)) return 0x7e00;
  if (std::isinf(value)) return sign | 0x7c00;
  if (magnitude < std::ldexp(1.0, -14)) return sign | static_cast<uint16_t>(std::ldexp(magnitude, 24));
  const int exponent = std::ilogb(magnitude);
  const auto significand = static_cast<int>(std::ldexp(magnitude, 10 - exponent));  // in [1024, 2047]
  return sign | static_cast<uint16_t>((exponent + 14) * 1024 + significand);
}

}  // namespace covn::reference
