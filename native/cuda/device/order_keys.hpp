// Numbers as whole numbers of the same order, for searches by digits and for atomic maxima.
#pragma once

#include <bit>
#include <cstdint>

#include "cuda/device/host_device.hpp"

namespace covn::cuda {

// Whole numbers in the order of floats that are no NaN; both zeros have the same.
COVN_HD inline uint32_t order_key(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x + 0.0f);
  return bits ^ (bits >> 31 != 0 ? 0xffffffffu : 0x80000000u);
}
COVN_HD inline float key_value(uint32_t key) {
  return std::bit_cast<float>(key ^ (key >> 31 != 0 ? 0x80000000u : 0xffffffffu));
}

// Whole numbers in the order of doubles that are no NaN; 0 is below all of them.
COVN_HD inline uint64_t order_key64(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  return bits ^ (bits >> 63 != 0 ? ~uint64_t{0} : uint64_t{1} << 63);
}
COVN_HD inline double key_value64(uint64_t key) {
  return std::bit_cast<double>(key ^ (key >> 63 != 0 ? uint64_t{1} << 63 : ~uint64_t{0}));
}

}  // namespace covn::cuda
