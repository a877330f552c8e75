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

}  // namespace covn
