// AVX512_VBMI: a table of 64 bytes in one register, looked up by one instruction where words take two registers and
// three. After avx512.inl.hpp.

struct ByteTable {
  __m512i bytes;
  COVN_MEMBER_INLINE explicit ByteTable(const uint16_t* below)
      : bytes(_mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(_mm512_loadu_si512(below))),
                                 _mm512_cvtepi16_epi8(_mm512_loadu_si512(below + 32)), 1)) {}
  COVN_MEMBER_INLINE __m512i of(__m512i cells) const {
    return _mm512_maskz_permutexvar_epi8(0x0101010101010101u, cells, bytes);
  }
};
