// What every simd wrapper and target file needs, included before a target region opens: no standard header and no
// function template of the library may be compiled for an instruction set that the processor might lack.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/architecture.hpp"
#include "core/number_formats.hpp"
#include "kernels/rescale.hpp"
#include "kernels/table.hpp"

#if defined(_MSC_VER) && !defined(__clang__)
#define COVN_INLINE static __forceinline
#define COVN_MEMBER_INLINE __forceinline
#else
#define COVN_INLINE static inline __attribute__((always_inline))
#define COVN_MEMBER_INLINE inline __attribute__((always_inline))
#endif

// A constant expression, so that it needs no library call inside a region.
#define COVN_INFINITY (::std::numeric_limits<float>::infinity())
