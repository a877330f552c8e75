#include "kernels/simd/common.hpp"

#if COVN_ARCH_X86
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,popcnt"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,popcnt")
#endif
namespace covn::avx2 {
#include "kernels/simd/avx2.inl.hpp"

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
}  // namespace covn::avx2

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
