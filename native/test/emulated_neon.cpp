// The neon kernels with every intrinsic emulated by SIMDe: the same source, on any processor.
#include "kernels/simd/common.hpp"

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/arm/neon.h>

// SIMDe multiplies and adds with two roundings where the processor has no fused instruction in its baseline.
#undef vfmaq_f32
static simde_float32x4_t vfmaq_f32(simde_float32x4_t c, simde_float32x4_t a, simde_float32x4_t b) {
  float x[4], y[4], z[4];
  simde_vst1q_f32(x, a);
  simde_vst1q_f32(y, b);
  simde_vst1q_f32(z, c);
  for (int i = 0; i < 4; i++) x[i] = static_cast<float>(static_cast<double>(x[i]) * y[i] + z[i]);
  return simde_vld1q_f32(x);
}
// What SIMDe 0.7 lacks, lane by lane.
static simde_float64x2_t vdivq_f64(simde_float64x2_t a, simde_float64x2_t b) {
  double x[2], y[2];
  simde_vst1q_f64(x, a);
  simde_vst1q_f64(y, b);
  for (int i = 0; i < 2; i++) x[i] /= y[i];
  return simde_vld1q_f64(x);
}

namespace covn::emulated_neon {
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
}  // namespace covn::emulated_neon
