// AVX-512 F, BW, DQ, VL: sixteen floats or eight doubles. Meanings as in scalar.inl.hpp.

struct F32 {
  static constexpr size_t lanes = 16;
  __m512 v;
};

COVN_INLINE F32 set(float value) { return {_mm512_set1_ps(value)}; }
COVN_INLINE F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
COVN_INLINE F32 load(const Float16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
COVN_INLINE F32 load(const BFloat16* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
COVN_INLINE void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
COVN_INLINE F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
COVN_INLINE F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
COVN_INLINE F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
COVN_INLINE F32 neg(F32 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
COVN_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// The instruction returns its second operand when either is NaN.
COVN_INLINE F32 max_ignoring_nan(F32 x, F32 m) { return {_mm512_max_ps(x.v, m.v)}; }
COVN_INLINE F32 clamp_low(F32 t, float bound) { return {_mm512_max_ps(_mm512_set1_ps(bound), t.v)}; }
COVN_INLINE F32 zero_below(F32 value, F32 t, float bound) {
  // Not less than, or unordered.
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(t.v, _mm512_set1_ps(bound), _CMP_NLT_UQ), value.v)};
}
COVN_INLINE F32 power_of_two(F32 rounded) {
  const __m512i shifted = _mm512_slli_epi32(_mm512_castps_si512(rounded.v), 23);
  return {_mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_set1_epi32(0x3f800000)))};
}

struct WideSum {
  __m512d low, high;
  // Written out: a compiler makes an implicit constructor outside the target region.
  COVN_MEMBER_INLINE WideSum() : low(_mm512_setzero_pd()), high(_mm512_setzero_pd()) {}
  COVN_MEMBER_INLINE void add(F32 a) {
    low = _mm512_add_pd(low, _mm512_cvtps_pd(_mm512_castps512_ps256(a.v)));
    high = _mm512_add_pd(high, _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1)));
  }
  COVN_MEMBER_INLINE double total() const {
    double lane[8];
    _mm512_storeu_pd(lane, _mm512_add_pd(low, high));
    return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
  }
};

struct GreaterCounter {
  int64_t n = 0;
  COVN_MEMBER_INLINE void count(F32 x, F32 bound) { n += _mm_popcnt_u32(_mm512_cmp_ps_mask(x.v, bound.v, _CMP_GT_OQ)); }
  COVN_MEMBER_INLINE int64_t total() const { return n; }
};

struct F64 {
  static constexpr size_t lanes = 8;
  __m512d v;
};

COVN_INLINE F64 set64(double value) { return {_mm512_set1_pd(value)}; }
COVN_INLINE F64 load64(const double* p) { return {_mm512_loadu_pd(p)}; }
COVN_INLINE F64 sub(F64 a, F64 b) { return {_mm512_sub_pd(a.v, b.v)}; }

struct AtLeastCounter {
  uint64_t n = 0;
  COVN_MEMBER_INLINE void count(F64 x, F64 bound) {
    n += static_cast<unsigned>(_mm_popcnt_u32(_mm512_cmp_pd_mask(x.v, bound.v, _CMP_GE_OQ)));
  }
  COVN_MEMBER_INLINE uint64_t total() const { return n; }
};
