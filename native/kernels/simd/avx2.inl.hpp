// AVX2 with FMA and F16C: eight floats or four doubles. Meanings as in scalar.inl.hpp.

struct F32 {
  static constexpr size_t lanes = 8;
  __m256 v;
};

COVN_INLINE F32 set(float value) { return {_mm256_set1_ps(value)}; }
COVN_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
COVN_INLINE F32 load(const Float16* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
COVN_INLINE F32 load(const BFloat16* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}
COVN_INLINE void store(float* p, F32 a) { _mm256_storeu_ps(p, a.v); }
COVN_INLINE F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
COVN_INLINE F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
COVN_INLINE F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
COVN_INLINE F32 neg(F32 a) { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))}; }
COVN_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
// The instruction returns its second operand when either is NaN.
COVN_INLINE F32 max_ignoring_nan(F32 x, F32 m) { return {_mm256_max_ps(x.v, m.v)}; }
COVN_INLINE F32 clamp_low(F32 t, float bound) { return {_mm256_max_ps(_mm256_set1_ps(bound), t.v)}; }
COVN_INLINE F32 zero_below(F32 value, F32 t, float bound) {
  return {_mm256_andnot_ps(_mm256_cmp_ps(t.v, _mm256_set1_ps(bound), _CMP_LT_OQ), value.v)};
}
COVN_INLINE F32 power_of_two(F32 rounded) {
  const __m256i shifted = _mm256_slli_epi32(_mm256_castps_si256(rounded.v), 23);
  return {_mm256_castsi256_ps(_mm256_add_epi32(shifted, _mm256_set1_epi32(0x3f800000)))};
}

struct WideSum {
  __m256d low, high;
  // Written out: a compiler makes an implicit constructor outside the target region.
  COVN_MEMBER_INLINE WideSum() : low(_mm256_setzero_pd()), high(_mm256_setzero_pd()) {}
  COVN_MEMBER_INLINE void add(F32 a) {
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
  }
  COVN_MEMBER_INLINE double total() const {
    double lane[4];
    _mm256_storeu_pd(lane, _mm256_add_pd(low, high));
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
  }
};

struct GreaterCounter {
  int64_t n = 0;
  COVN_MEMBER_INLINE void count(F32 x, F32 bound) {
    n += _mm_popcnt_u32(static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x.v, bound.v, _CMP_GT_OQ))));
  }
  COVN_MEMBER_INLINE int64_t total() const { return n; }
};

struct F64 {
  static constexpr size_t lanes = 4;
  __m256d v;
};

COVN_INLINE F64 set64(double value) { return {_mm256_set1_pd(value)}; }
COVN_INLINE F64 load64(const double* p) { return {_mm256_loadu_pd(p)}; }
COVN_INLINE F64 sub(F64 a, F64 b) { return {_mm256_sub_pd(a.v, b.v)}; }

// A true comparison is -1 in its lane.
struct AtLeastCounter {
  __m256i n;
  COVN_MEMBER_INLINE AtLeastCounter() : n(_mm256_setzero_si256()) {}
  COVN_MEMBER_INLINE void count(F64 x, F64 bound) {
    n = _mm256_sub_epi64(n, _mm256_castpd_si256(_mm256_cmp_pd(x.v, bound.v, _CMP_GE_OQ)));
  }
  COVN_MEMBER_INLINE uint64_t total() const {
    uint64_t lane[4];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lane), n);
    return lane[0] + lane[1] + lane[2] + lane[3];
  }
};
