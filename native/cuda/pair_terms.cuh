// Terms of pairs of logits: u = exp((a - reference_origin) / 2T), v = exp((b - model_origin) / 2T), and what is summed
// of them (kernels/pair_sums.hpp). Multiplications and additions alone, for every format of logits: the same bits on
// every processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuda/device/double_math.hpp"
#include "cuda/ptx_scalar.cuh"
#include "cuda/runtime.hpp"
#include "kernels/row_parameters.hpp"

namespace covn::cuda {

// How terms are formed; kernels/row_parameters.hpp has the constants of twice the temperature and what they are for.
struct PairConstants {
  double octaves;                // of u, a logit: log2(e) / 2T
  float rate;                    // the same as a float, which only chooses k
  float floor;                   // logits; what lies lower has a square of 0
  float step_high, step_low;     // 2T ln(2), in two floats
  float c1, c2, c3, c4, c5, c6;  // of e^(r / 2T)
};

inline PairConstants pair_constants(double temperature) {
  const RowParameters half = make_row_parameters(2.0 * temperature, 0, 1, 1);
  return {kLog2E / (2.0 * temperature),
          half.rate,
          offset_of(-125, half),
          half.step_high,
          half.step_low,
          half.c[0],
          half.c[1],
          half.c[2],
          half.c[3],
          half.c[4],
          half.c[5]};
}

// A root from the distance y >= floor of a logit from its origin; of NaN it makes anything.
__device__ __forceinline__ float root_of(float y, const PairConstants& p) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it to a small number rounds that
  const float shifted = __fmaf_rn(y, p.rate, kMagic), k = shifted - kMagic;
  const float r = __fmaf_rn(k, -p.step_low, __fmaf_rn(k, -p.step_high, y));
  float e = __fmaf_rn(p.c6, r, p.c5);
  e = __fmaf_rn(e, r, p.c4);
  e = __fmaf_rn(e, r, p.c3);
  e = __fmaf_rn(e, r, p.c2);
  e = __fmaf_rn(e, r, p.c1);
  e = __fmaf_rn(e, r, 1.0f);
  // k, in the low bits of `shifted`, is added to the exponent.
  return __uint_as_float(__float_as_uint(e) + (__float_as_uint(shifted) << 23));
}

struct PairTerm {
  float u, v, difference;
};

// The model's logit stays as it is in the difference: however low, it counts. -inf makes that +inf, or NaN of the sums.
__device__ __forceinline__ PairTerm pair_term(float a, float b, float reference_origin, float model_origin,
                                              const PairConstants& p) {
  const float da = ptx::max_nan(a - reference_origin, p.floor), db = b - model_origin;
  return {root_of(da, p), root_of(ptx::max_nan(db, p.floor), p), da - db};
}

// What PairState holds of some pairs.
struct PairTotals {
  double reference = 0.0, model = 0.0, affinity = 0.0, weighted = 0.0;
};

// A pair in double. `unsupported` is set where the model excludes what the reference does not.
__device__ inline void add_precisely(float a, float b, float reference_origin, float model_origin,
                                     const PairConstants& p, PairTotals& totals, bool& unsupported) {
  const double da = static_cast<double>(a) - reference_origin, db = static_cast<double>(b) - model_origin;
  const double u = exp2_double(da * p.octaves), v = exp2_double(db * p.octaves);
  totals.reference = fma_double(u, u, totals.reference);
  totals.model = fma_double(v, v, totals.model);
  totals.affinity = fma_double(u, v, totals.affinity);
  if (a == __uint_as_float(0xff800000u)) return;
  if (b == __uint_as_float(0xff800000u)) {
    unsupported = true;
  } else {
    totals.weighted = fma_double(u * u, da - db, totals.weighted);
  }
}

}  // namespace covn::cuda
