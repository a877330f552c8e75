// What the avx512 target uses besides where the processor has AVX512_VBMI.
#include "kernels/simd/common.hpp"

#if COVN_ARCH_X86
// GCC 12 warns of the undefined pass-through operands in its own AVX-512 intrinsics (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#if defined(__clang__)
#pragma clang attribute push(                                                                      \
    __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,f16c,popcnt"))), \
    apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,avx2,fma,f16c,popcnt")
#endif
namespace covn::avx512vbmi {
#include "kernels/simd/avx512.inl.hpp"

#include "kernels/simd/avx512vbmi.inl.hpp"

#include "kernels/simd/shared.inl.hpp"

#include "kernels/pairwise.inl.hpp"

extern const CountPairsOnLadder kCountPairsOnLadder;
const CountPairsOnLadder kCountPairsOnLadder = count_pairs_on_ladder<RankOnLadder<ByteTable>>;
}  // namespace covn::avx512vbmi

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
