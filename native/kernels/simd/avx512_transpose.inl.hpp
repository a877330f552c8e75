// Sixteen vectors of sixteen floats turned over, for what is done to sixteen groups side by side. Of avx512.inl.hpp.
#define COVN_TARGET_TRANSPOSE 1
// Lane j of v[i] becomes lane i of v[j].
COVN_INLINE void transpose(F32* v) {
  __m512 quads[16];  // of each four vectors: four of theirs in each quarter, of lanes 4q, 4q + 1, ...
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const __m512 a = _mm512_unpacklo_ps(v[i].v, v[i + 1].v), b = _mm512_unpackhi_ps(v[i].v, v[i + 1].v);
    const __m512 c = _mm512_unpacklo_ps(v[i + 2].v, v[i + 3].v), d = _mm512_unpackhi_ps(v[i + 2].v, v[i + 3].v);
    quads[i] = _mm512_shuffle_ps(a, c, 0x44);
    quads[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
    quads[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
    quads[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    const __m512 even = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0x88);
    const __m512 even_high = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0x88);
    const __m512 odd = _mm512_shuffle_f32x4(quads[i], quads[i + 4], 0xdd);
    const __m512 odd_high = _mm512_shuffle_f32x4(quads[i + 8], quads[i + 12], 0xdd);
    v[i].v = _mm512_shuffle_f32x4(even, even_high, 0x88);
    v[i + 4].v = _mm512_shuffle_f32x4(odd, odd_high, 0x88);
    v[i + 8].v = _mm512_shuffle_f32x4(even, even_high, 0xdd);
    v[i + 12].v = _mm512_shuffle_f32x4(odd, odd_high, 0xdd);
  }
}

// In each lane, in how many comparisons a was greater than b.
struct LaneCounter {
  __m512i n;
  COVN_MEMBER_INLINE LaneCounter() : n(_mm512_setzero_si512()) {}
  COVN_MEMBER_INLINE void count(F32 a, F32 b) {
    n = _mm512_mask_add_epi32(n, _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ), n, _mm512_set1_epi32(1));
  }
  COVN_MEMBER_INLINE void store(int32_t* counts) const { _mm512_storeu_si512(counts, n); }
};
