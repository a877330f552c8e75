#include "core/cpu.hpp"

#include "core/architecture.hpp"

#if COVN_ARCH_X86
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace covn {

const char* target_name(Target target) {
  switch (target) {
    case Target::scalar: return "scalar";
    case Target::neon: return "neon";
    case Target::avx2: return "avx2";
    case Target::avx512: return "avx512";
  }
  return "unknown";
}

#if COVN_ARCH_X86
namespace {

struct Registers {
  uint32_t eax, ebx, ecx, edx;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
#if defined(_MSC_VER)
  int out[4];
  __cpuidex(out, static_cast<int>(leaf), static_cast<int>(subleaf));
  return {static_cast<uint32_t>(out[0]), static_cast<uint32_t>(out[1]), static_cast<uint32_t>(out[2]),
          static_cast<uint32_t>(out[3])};
#else
  Registers r{};
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
#endif
}

// The register state that the operating system saves at a context switch: without it, a processor that has AVX-512
// still corrupts its registers.
uint64_t saved_state() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
#endif
}

constexpr bool bit(uint64_t word, int index) { return (word >> index & 1) != 0; }

TargetSupport x86_support(Target target) {
  const Registers leaf1 = cpuid(1, 0);
  const Registers leaf7 = cpuid(7, 0);
  const bool osxsave = bit(leaf1.ecx, 27);
  const uint64_t state = osxsave ? saved_state() : 0;
  const bool avx2 = bit(leaf1.ecx, 28) && bit(leaf1.ecx, 12) && bit(leaf1.ecx, 29) && bit(leaf7.ebx, 5);
  if (!avx2) return {false, "the processor lacks AVX2, FMA or F16C"};
  if ((state & 0x6) != 0x6) return {false, "the operating system does not save AVX registers"};
  if (target == Target::avx2) return {true, ""};
  const bool cpu = bit(leaf7.ebx, 16) && bit(leaf7.ebx, 17) && bit(leaf7.ebx, 30) && bit(leaf7.ebx, 31);
  if (!cpu) return {false, "the processor lacks AVX-512 F, BW, DQ or VL"};
  if ((state & 0xe6) != 0xe6) return {false, "the operating system does not save AVX-512 registers"};
  return {true, ""};
}

}  // namespace
#endif

namespace {

TargetSupport find_support(Target target) {
  if (target == Target::scalar) return {true, ""};
#if COVN_ARCH_X86
  if (target == Target::avx2 || target == Target::avx512) return x86_support(target);
  return {false, "the processor is not a 64-bit Arm"};
#elif COVN_ARCH_ARM64
  if (target == Target::neon) return {true, ""};  // part of every 64-bit Arm
  return {false, "the processor is not an x86-64"};
#else
  return {false, "no kernels for this processor"};
#endif
}

}  // namespace

// Found once: in a virtual machine each CPUID instruction is a trap of tens of microseconds.
TargetSupport target_support(Target target) {
  static const std::array<TargetSupport, kTargets.size()> support = [] {
    std::array<TargetSupport, kTargets.size()> found;
    for (Target each : kTargets) found[static_cast<size_t>(each)] = find_support(each);
    return found;
  }();
  return support[static_cast<size_t>(target)];
}

bool multiplies_bfloat16() {
#if COVN_ARCH_X86
  static const bool found = cpuid(7, 0).eax >= 1 && bit(cpuid(7, 1).eax, 5);
  return found;
#else
  return false;
#endif
}

bool looks_up_bytes() {
#if COVN_ARCH_X86
  static const bool found = bit(cpuid(7, 0).ecx, 1);
  return found;
#else
  return false;
#endif
}

bool prefetches_within_pages() {
#if COVN_ARCH_X86
  static const bool found = [] {
    const Registers vendor = cpuid(0, 0);  // "GenuineIntel"
    return vendor.ebx == 0x756e6547 && vendor.edx == 0x49656e69 && vendor.ecx == 0x6c65746e;
  }();
  return found;
#else
  return false;
#endif
}

Target best_target() {
  Target best = Target::scalar;
  for (Target target : kTargets) {
    if (target_support(target).available) best = target;
  }
  return best;
}

}  // namespace covn
