// The vector operations of rollouts with AVX-512: look-ups, choices, tokens in rows. Included by
// kernels/simd/avx512.inl.hpp.

// Loads, not the instruction for it, which is slower on many processors, and far slower where microcode keeps it from
// leaking data. Indices leave the vector two at a time; each load but the first is merged without a shuffle.
COVN_INLINE __m256i gather_four(const uint64_t* p, __m128i at) {
  const auto a = static_cast<uint64_t>(_mm_cvtsi128_si64(at)), b = static_cast<uint64_t>(_mm_extract_epi64(at, 1));
  const auto word = [p](uint64_t i) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + i)); };
  __m256i v = _mm256_castsi128_si256(word(a & 0xffffffffu));
  v = _mm256_mask_broadcastq_epi64(v, 2, word(a >> 32));
  v = _mm256_mask_broadcastq_epi64(v, 4, word(b & 0xffffffffu));
  return _mm256_mask_broadcastq_epi64(v, 8, word(b >> 32));
}
COVN_INLINE __m256i gather_four(const uint32_t* p, __m128i at) {
  const auto a = static_cast<uint64_t>(_mm_cvtsi128_si64(at)), b = static_cast<uint64_t>(_mm_extract_epi64(at, 1));
  const auto word = [p](uint64_t i) { return _mm_cvtsi32_si128(static_cast<int>(p[i])); };
  __m256i v = _mm256_zextsi128_si256(word(a & 0xffffffffu));
  v = _mm256_mask_broadcastd_epi32(v, 4, word(a >> 32));
  v = _mm256_mask_broadcastd_epi32(v, 16, word(b & 0xffffffffu));
  return _mm256_mask_broadcastd_epi32(v, 64, word(b >> 32));
}
template <class T>
COVN_INLINE U64 gather(const T* p, U64 index) {
  const __m256i at = _mm512_cvtepi64_epi32(index.v);
  const __m256i low = gather_four(p, _mm256_castsi256_si128(at));
  return {_mm512_inserti64x4(_mm512_castsi256_si512(low), gather_four(p, _mm256_extracti128_si256(at, 1)), 1)};
}
COVN_INLINE F64 gather64(const double* p, U64 index) {
  return {_mm512_castsi512_pd(gather(reinterpret_cast<const uint64_t*>(p), index).v)};
}

#define COVN_TARGET_CHOICES 1
COVN_INLINE bool choose_below(U64 place, U64 threshold, U64 width, U64 below, U64 not_below, U64& chosen) {
  chosen = {_mm512_mask_mov_epi64(not_below.v, _mm512_cmplt_epu64_mask(place.v, threshold.v), below.v)};
  const auto near_threshold = _mm512_cmplt_epu64_mask(_mm512_sub_epi64(threshold.v, place.v), width.v);
  const auto near_end =
      _mm512_cmplt_epu64_mask(_mm512_sub_epi64(_mm512_set1_epi64(int64_t{1} << 32), place.v), width.v);
  return (near_threshold | near_end) == 0;
}
COVN_INLINE U64 count_below(U64 n, U64 a, U64 b) {
  return {_mm512_mask_add_epi64(n.v, _mm512_cmplt_epu64_mask(a.v, b.v), n.v, _mm512_set1_epi64(1))};
}

#define COVN_TARGET_ROWS 1
COVN_INLINE void store_rows(int32_t* to, size_t stride, const U64 (&columns)[4]) {
  // Lanes 0, 2, 4, 6 and 1, 3, 5, 7.
  const __m512i low = bit_xor(columns[0], shift_left<32>(columns[1])).v;
  const __m512i high = bit_xor(columns[2], shift_left<32>(columns[3])).v;
  const __m512i even = _mm512_unpacklo_epi64(low, high), odd = _mm512_unpackhi_epi64(low, high);
  const auto put = [to, stride](size_t lane, __m128i row) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + lane * stride), row);
  };
  put(0, _mm512_castsi512_si128(even));
  put(1, _mm512_castsi512_si128(odd));
  put(2, _mm512_extracti32x4_epi32(even, 1));
  put(3, _mm512_extracti32x4_epi32(odd, 1));
  put(4, _mm512_extracti32x4_epi32(even, 2));
  put(5, _mm512_extracti32x4_epi32(odd, 2));
  put(6, _mm512_extracti32x4_epi32(even, 3));
  put(7, _mm512_extracti32x4_epi32(odd, 3));
}
