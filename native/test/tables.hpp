// Every kernel table that can run here: those of the processor, and, where SIMDe is installed, the sources of the other
// instruction sets emulated, so that AVX-512 and NEON code is checked on any machine.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "kernels/table.hpp"

#if COVN_TEST_EMULATION
namespace covn::emulated_avx512 {
extern const KernelTable kTable;
}
namespace covn::emulated_neon {
extern const KernelTable kTable;
}
#endif

namespace covn::test {

inline std::vector<std::pair<std::string, const KernelTable*>> runnable_tables() {
  std::vector<std::pair<std::string, const KernelTable*>> tables;
  for (Target target : kTargets) {
    if (target_support(target).available) tables.emplace_back(target_name(target), &kernels_for(target));
  }
#if COVN_TEST_EMULATION
  tables.emplace_back("avx512 (emulated)", &emulated_avx512::kTable);
  tables.emplace_back("neon (emulated)", &emulated_neon::kTable);
#endif
  return tables;
}

}  // namespace covn::test
