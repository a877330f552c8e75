// What every simd wrapper and target file needs, included before a target region opens: no standard header and no
// function template of the library may be compiled for an instruction set that the processor might lack.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/architecture.hpp"
#include "core/number_formats.hpp"
#include "kernels/row_parameters.hpp"
#include "kernels/table.hpp"

#if defined(_MSC_VER) && !defined(__clang__)
#define COVN_INLINE static __forceinline
#define COVN_MEMBER_INLINE __forceinline
#define COVN_NOINLINE __declspec(noinline)
#else
#define COVN_INLINE static inline __attribute__((always_inline))
#define COVN_MEMBER_INLINE inline __attribute__((always_inline))
#define COVN_NOINLINE __attribute__((noinline))
#endif

// Constant expressions, so that they need no library call inside a region.
#define COVN_INFINITY (::std::numeric_limits<float>::infinity())
#define COVN_LARGEST (::std::numeric_limits<double>::max())
#define COVN_NAN (::std::numeric_limits<double>::quiet_NaN())

namespace covn {

// The bits of 2^(j/n), less the shift that adding j << (23 - log2(n)) to them brings. Four of the 32 are rounded the
// other way, for a mean relative error of 1.3e-9 in place of 1e-8.
constexpr uint32_t kPowers8[8] = {0x3f800000u, 0x3f7b95c2u, 0x3f7837f0u, 0x3f75fed7u,
                                  0x3f7504f3u, 0x3f75672au, 0x3f7744fdu, 0x3f7ac0c7u};
constexpr uint32_t kPowers32[32] = {
    0x3f800000u, 0x3f7ecd87u, 0x3f7daac3u, 0x3f7c980fu, 0x3f7b95c2u, 0x3f7aa43au, 0x3f79c3d3u, 0x3f78f4f0u,
    0x3f7837f0u, 0x3f778d3au, 0x3f76f532u, 0x3f767043u, 0x3f75fed7u, 0x3f75a15bu, 0x3f75583fu, 0x3f7523f6u,
    0x3f7504f3u, 0x3f74fbafu, 0x3f7508a4u, 0x3f752c4du, 0x3f75672au, 0x3f75b9bdu, 0x3f76248cu, 0x3f76a81du,
    0x3f7744fdu, 0x3f77fbb7u, 0x3f78ccdfu, 0x3f79b907u, 0x3f7ac0c7u, 0x3f7be4b9u, 0x3f7d257du, 0x3f7e83b3u};

// The bits of 2^(z - floor(z - 46/32)) for z = j/32; see kernels/unit_terms.inl.hpp.
struct UnitPowerBits {
  uint32_t bits[32];
};
constexpr UnitPowerBits unit_powers_of_two() {
  UnitPowerBits powers{};
  for (uint32_t j = 0; j < 32; j++) powers.bits[j] = kPowers32[j] + (j << 18) + ((j < 14 ? 2u : 1u) << 23);
  return powers;
}
constexpr UnitPowerBits kUnitPowers = unit_powers_of_two();

constexpr int64_t kOneBits = 0x3ff0000000000000;       // of the double 1
constexpr int64_t kSqrtHalfBits = 0x3fe6a09e667f3bcd;  // of the double sqrt(1/2)
constexpr int64_t kExponentBits = static_cast<int64_t>(0xfff0000000000000u);

// Asks for the cache line at an address. Forced inline: GCC drops calls of a function that does nothing else.
COVN_INLINE void prefetch_line(const void* p) {
#if defined(_MSC_VER) && !defined(__clang__)
  (void)p;
#else
  __builtin_prefetch(p, 0, 3);
#endif
}

// Asks for what lies this far ahead in a stream; an address past the end does no harm.
constexpr size_t kPrefetchBytes = 3072;
constexpr size_t kLineBytes = 64;
COVN_INLINE void prefetch(const void* p) { prefetch_line(static_cast<const char*>(p) + kPrefetchBytes); }

}  // namespace covn
