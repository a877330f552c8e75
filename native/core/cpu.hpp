// What this processor can run.
#pragma once

#include <array>
#include <cstdint>
#include <string>

namespace covn {

// The instruction sets that kernels are compiled for, best last.
enum class Target : uint8_t { scalar, neon, avx2, avx512 };
constexpr std::array<Target, 4> kTargets{Target::scalar, Target::neon, Target::avx2, Target::avx512};

const char* target_name(Target target);

struct TargetSupport {
  bool available;
  std::string reason;  // why not; empty when available
};

// Whether the kernels of this target exist in this build and the processor and operating system can run them.
TargetSupport target_support(Target target);

// Whether an available avx512 target may use AVX512_BF16.
bool multiplies_bfloat16();
// The same of AVX512_VBMI.
bool looks_up_bytes();

// Whether the processor itself reads far ahead within every page that is being read, as Intel's do (20 lines), and not
// past its end: lines are then best asked for in turn from several pages. Others do best with lines in their order.
bool prefetches_within_pages();

// The best available target.
Target best_target();

}  // namespace covn
