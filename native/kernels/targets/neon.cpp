#include "kernels/simd/common.hpp"

#if COVN_ARCH_ARM64
#include <arm_neon.h>

namespace covn::neon {
#include "kernels/simd/neon.inl.hpp"

#include "kernels/simd/shared.inl.hpp"

#include "kernels/exponential.inl.hpp"

#include "kernels/unit_terms.inl.hpp"

#include "kernels/row_block.inl.hpp"

#include "kernels/row_group.inl.hpp"

#include "kernels/row.inl.hpp"

#include "kernels/row_finish.inl.hpp"

#include "kernels/pair.inl.hpp"

#include "kernels/pairwise.inl.hpp"

#include "kernels/philox.inl.hpp"

#include "kernels/bootstrap.inl.hpp"

#include "kernels/sample.inl.hpp"

#include "kernels/draw_index.inl.hpp"

#include "kernels/read_groups.inl.hpp"

#include "kernels/rollout.inl.hpp"

#include "kernels/learn.inl.hpp"

#include "kernels/machine.inl.hpp"
#include "kernels/hidden.inl.hpp"

#include "kernels/targets/table.inl.hpp"
}  // namespace covn::neon

#endif
