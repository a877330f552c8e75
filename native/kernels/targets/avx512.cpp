#include "kernels/simd/common.hpp"

#if COVN_ARCH_X86
// GCC 12 warns of the undefined pass-through operands in its own AVX-512 intrinsics (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,popcnt"))), \
                             apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,popcnt")
#endif
namespace covn::avx512 {
#include "kernels/simd/avx512.inl.hpp"

#include "kernels/simd/shared.inl.hpp"

#include "kernels/exponential.inl.hpp"

#include "kernels/unit_terms.inl.hpp"

#include "kernels/row_block.inl.hpp"

#include "kernels/row_packed.inl.hpp"

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
}  // namespace covn::avx512

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
