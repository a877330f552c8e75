#include "core/architecture.hpp"
#include "kernels/table.hpp"

namespace covn {

namespace scalar {
extern const KernelTable kTable;
}
#if COVN_ARCH_X86
namespace avx2 {
extern const KernelTable kTable;
}
namespace avx512 {
extern const KernelTable kTable;
}
namespace avx512bf16 {
extern const HiddenKernels kTable;
}
namespace avx512vbmi {
extern const CountPairsOnLadder kCountPairsOnLadder;
}
#elif COVN_ARCH_ARM64
namespace neon {
extern const KernelTable kTable;
}
#endif

const KernelTable& kernels_for(Target target) {
  switch (target) {
#if COVN_ARCH_X86
    case Target::avx2: return avx2::kTable;
    case Target::avx512: return avx512::kTable;
#elif COVN_ARCH_ARM64
    case Target::neon: return neon::kTable;
#endif
    default: return scalar::kTable;
  }
}

const HiddenKernels& hidden_kernels_for(Target target, DType dtype) {
#if COVN_ARCH_X86
  if (target == Target::avx512 && dtype == DType::bf16 && multiplies_bfloat16()) return avx512bf16::kTable;
#endif
  return kernels_for(target).hidden[static_cast<size_t>(dtype)];
}

CountPairsOnLadder count_pairs_on_ladder_for(Target target) {
#if COVN_ARCH_X86
  if (target == Target::avx512 && looks_up_bytes()) return avx512vbmi::kCountPairsOnLadder;
#endif
  return kernels_for(target).count_pairs_on_ladder;
}

}  // namespace covn
