// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011): four 32-bit words that depend on nothing but a 64-bit key and a 128-bit counter, so that a draw
// is the same on every thread, in every batch and on every device.
#pragma once

#include <array>
#include <cstdint>

namespace covn {

using PhiloxCounter = std::array<uint32_t, 4>;

constexpr PhiloxCounter philox4x32(PhiloxCounter counter, uint64_t key) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(p1 >> 32) ^ counter[1] ^ k0, static_cast<uint32_t>(p1),
               static_cast<uint32_t>(p0 >> 32) ^ counter[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return counter;
}

// A whole number in [0, bound), bound >= 1, from 64 random bits; the bias is below bound / 2^64.
constexpr uint64_t bounded(uint64_t bits, uint64_t bound) {
  // The high word of the 128-bit product, by 32-bit halves.
  const uint64_t a = bits >> 32, b = bits & 0xffffffffu, c = bound >> 32, d = bound & 0xffffffffu;
  const uint64_t low = b * d, mid1 = a * d + (low >> 32), mid2 = b * c + (mid1 & 0xffffffffu);
  return a * c + (mid1 >> 32) + (mid2 >> 32);
}

}  // namespace covn
