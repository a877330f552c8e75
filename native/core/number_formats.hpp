// The storage formats of logits. Each is a distinct type, so that a kernel cannot read one as another.
#pragma once

#include <bit>
#include <cstdint>

namespace covn {

enum class DType : uint8_t { f32, f16, bf16 };

struct Float16 {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// Exact: every value of these formats is a float, and NaN stays NaN.
constexpr float to_float(float value) { return value; }
constexpr float to_float(BFloat16 value) { return std::bit_cast<float>(uint32_t{value.bits} << 16); }
constexpr float to_float(Float16 value) {
  const uint32_t sign = uint32_t{value.bits & 0x8000u} << 16;
  const uint32_t exponent = value.bits >> 10 & 0x1fu;
  const uint32_t mantissa = value.bits & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal or zero
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(magnitude));
}

// The bits of -inf.
template <class T>
constexpr uint16_t kNegativeInfinity = 0;
template <>
inline constexpr uint16_t kNegativeInfinity<Float16> = 0xfc00;
template <>
inline constexpr uint16_t kNegativeInfinity<BFloat16> = 0xff80;

// The bits of the nearest number of a format that is no farther from 0; beyond its range, infinity.
template <class T>
constexpr uint16_t narrow_toward_zero(float value);
template <>
constexpr uint16_t narrow_toward_zero<BFloat16>(float value) {
  return static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
}
template <>
constexpr uint16_t narrow_toward_zero<Float16>(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const float magnitude = std::bit_cast<float>(bits & 0x7fffffffu);
  if (!(magnitude <= 65504.0f)) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x1p-14f) return static_cast<uint16_t>(sign | static_cast<uint32_t>(magnitude * 0x1p24f));
  return static_cast<uint16_t>(sign | ((bits & 0x7fffffffu) - 0x38000000u) >> 13);
}

}  // namespace covn
