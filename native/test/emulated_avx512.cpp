// The avx512 kernels with every intrinsic emulated by SIMDe: the same source, on any processor.
#define COVN_EMULATED 1
#include <cstring>

#include "kernels/simd/common.hpp"

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

// Those that SIMDe 0.7 lacks, lane by lane.
static simde__m512 _mm512_cvtph_ps(simde__m256i halves) {
  covn::Float16 in[16];
  float out[16];
  simde_mm256_storeu_si256(reinterpret_cast<simde__m256i*>(in), halves);
  for (int i = 0; i < 16; i++) out[i] = covn::to_float(in[i]);
  return simde_mm512_loadu_ps(out);
}
static simde__m512i _mm512_cvtepu16_epi32(simde__m256i words) {
  uint16_t in[16];
  uint32_t out[16];
  simde_mm256_storeu_si256(reinterpret_cast<simde__m256i*>(in), words);
  for (int i = 0; i < 16; i++) out[i] = in[i];
  return simde_mm512_loadu_si512(out);
}
static simde__m512i _mm512_cvtepu8_epi32(simde__m128i bytes) {
  uint8_t in[16];
  uint32_t out[16];
  simde_mm_storeu_si128(reinterpret_cast<simde__m128i*>(in), bytes);
  for (int i = 0; i < 16; i++) out[i] = in[i];
  return simde_mm512_loadu_si512(out);
}
static simde__m512d _mm512_cvtepi32_pd(simde__m256i words) {
  int32_t in[8];
  double out[8];
  simde_mm256_storeu_si256(reinterpret_cast<simde__m256i*>(in), words);
  for (int i = 0; i < 8; i++) out[i] = in[i];
  return simde_mm512_loadu_pd(out);
}
static simde__m512d _mm512_cvtps_pd(simde__m256 floats) {
  float in[8];
  double out[8];
  simde_mm256_storeu_ps(in, floats);
  for (int i = 0; i < 8; i++) out[i] = static_cast<double>(in[i]);
  return simde_mm512_loadu_pd(out);
}
static simde__m256 _mm512_cvtpd_ps(simde__m512d doubles) {
  double in[8];
  float out[8];
  simde_mm512_storeu_pd(in, doubles);
  for (int i = 0; i < 8; i++) out[i] = static_cast<float>(in[i]);
  return simde_mm256_loadu_ps(out);
}
static simde__m256 _mm512_extractf32x8_ps(simde__m512 floats, int half) {
  float in[16];
  simde_mm512_storeu_ps(in, floats);
  return simde_mm256_loadu_ps(in + 8 * half);
}
static simde__m512i _mm512_mask_slli_epi64(simde__m512i kept, simde__mmask8 mask, simde__m512i words, int bits) {
  uint64_t out[8], in[8];
  simde_mm512_storeu_si512(out, kept);
  simde_mm512_storeu_si512(in, words);
  for (int i = 0; i < 8; i++) out[i] = mask >> i & 1 ? in[i] << bits : out[i];
  return simde_mm512_loadu_si512(out);
}
// SIMDe multiplies and adds with two roundings where the processor has no fused instruction in its baseline.
#undef _mm512_fmadd_ps
static simde__m512 _mm512_fmadd_ps(simde__m512 a, simde__m512 b, simde__m512 c) {
  float x[16], y[16], z[16];
  simde_mm512_storeu_ps(x, a);
  simde_mm512_storeu_ps(y, b);
  simde_mm512_storeu_ps(z, c);
  for (int i = 0; i < 16; i++) x[i] = static_cast<float>(static_cast<double>(x[i]) * y[i] + z[i]);
  return simde_mm512_loadu_ps(x);
}
static simde__m512 _mm512_mask_loadu_ps(simde__m512 source, uint16_t mask, const float* p) {
  float lane[16];
  simde_mm512_storeu_ps(lane, source);
  for (int i = 0; i < 16; i++) lane[i] = mask >> i & 1 ? p[i] : lane[i];
  return simde_mm512_loadu_ps(lane);
}
static simde__m256i _mm256_mask_loadu_epi16(simde__m256i source, uint16_t mask, const void* p) {
  uint16_t lane[16];
  simde_mm256_storeu_si256(reinterpret_cast<simde__m256i*>(lane), source);
  for (int i = 0; i < 16; i++) lane[i] = mask >> i & 1 ? static_cast<const uint16_t*>(p)[i] : lane[i];
  return simde_mm256_loadu_si256(reinterpret_cast<const simde__m256i*>(lane));
}
static simde__m512d _mm512_shuffle_f64x2(simde__m512d a, simde__m512d b, int control) {
  double in[16], out[8];
  simde_mm512_storeu_pd(in, a);
  simde_mm512_storeu_pd(in + 8, b);
  for (int i = 0; i < 8; i++) out[i] = in[(i < 4 ? 0 : 8) + 2 * (control >> (i / 2 * 2) & 3) + i % 2];
  return simde_mm512_loadu_pd(out);
}
static simde__m512 _mm512_shuffle_f32x4(simde__m512 a, simde__m512 b, int control) {
  float in[32], out[16];
  simde_mm512_storeu_ps(in, a);
  simde_mm512_storeu_ps(in + 16, b);
  for (int quarter = 0; quarter < 4; quarter++) {
    const int from = (quarter < 2 ? 0 : 16) + 4 * (control >> 2 * quarter & 3);
    for (int i = 0; i < 4; i++) out[4 * quarter + i] = in[from + i];
  }
  return simde_mm512_loadu_ps(out);
}
static uint32_t _mm512_cmpgt_epu16_mask(simde__m512i a, simde__m512i b) {
  uint16_t x[32], y[32];
  simde_mm512_storeu_si512(x, a);
  simde_mm512_storeu_si512(y, b);
  uint32_t mask = 0;
  for (int i = 0; i < 32; i++) mask |= static_cast<uint32_t>(x[i] > y[i]) << i;
  return mask;
}
static int _mm512_reduce_add_epi32(simde__m512i a) {
  int lane[16], sum = 0;
  simde_mm512_storeu_si512(lane, a);
  for (int x : lane) sum += x;
  return sum;
}
static simde__m512i _mm512_srai_epi64(simde__m512i a, int bits) {
  int64_t lane[8];
  simde_mm512_storeu_si512(lane, a);
  for (int64_t& x : lane) x >>= bits;
  return simde_mm512_loadu_si512(lane);
}
static simde__m512d _mm512_cvtepi64_pd(simde__m512i a) {
  int64_t in[8];
  double out[8];
  simde_mm512_storeu_si512(in, a);
  for (int i = 0; i < 8; i++) out[i] = static_cast<double>(in[i]);
  return simde_mm512_loadu_pd(out);
}
static simde__m256i _mm512_cvttpd_epi32(simde__m512d doubles) {
  double in[8];
  int32_t out[8];
  simde_mm512_storeu_pd(in, doubles);
  for (int i = 0; i < 8; i++) out[i] = static_cast<int32_t>(in[i]);
  return simde_mm256_loadu_si256(reinterpret_cast<const simde__m256i*>(out));
}
static int _mm_popcnt_u32(unsigned bits) { return __builtin_popcount(bits); }
[[maybe_unused]] static simde__m512i _mm512_alignr_epi32(simde__m512i a, simde__m512i b, int count) {
  uint32_t lane[32];
  simde_mm512_storeu_si512(lane, b);
  simde_mm512_storeu_si512(lane + 16, a);
  return simde_mm512_loadu_si512(lane + count);
}
static simde__mmask8 _mm512_cmplt_epu64_mask(simde__m512i a, simde__m512i b) {
  uint64_t x[8], y[8];
  simde_mm512_storeu_si512(x, a);
  simde_mm512_storeu_si512(y, b);
  unsigned mask = 0;
  for (int i = 0; i < 8; i++) mask |= static_cast<unsigned>(x[i] < y[i]) << i;
  return static_cast<simde__mmask8>(mask);
}
// The first element of `from` in the places of a mask.
template <class Element>
static simde__m256i broadcast_element(simde__m256i kept, unsigned mask, simde__m128i from) {
  constexpr int N = 32 / sizeof(Element);
  Element out[N], in[16 / sizeof(Element)];
  simde_mm256_storeu_si256(reinterpret_cast<simde__m256i*>(out), kept);
  simde_mm_storeu_si128(reinterpret_cast<simde__m128i*>(in), from);
  for (int i = 0; i < N; i++) out[i] = mask >> i & 1 ? in[0] : out[i];
  return simde_mm256_loadu_si256(reinterpret_cast<const simde__m256i*>(out));
}
static simde__m256i _mm256_mask_broadcastq_epi64(simde__m256i kept, unsigned mask, simde__m128i from) {
  return broadcast_element<uint64_t>(kept, mask, from);
}
static simde__m256i _mm256_mask_broadcastd_epi32(simde__m256i kept, unsigned mask, simde__m128i from) {
  return broadcast_element<uint32_t>(kept, mask, from);
}

namespace covn::emulated_avx512 {
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
}  // namespace covn::emulated_avx512
