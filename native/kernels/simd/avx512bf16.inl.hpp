// AVX512_BF16: products of pairs of bfloat16s, summed in float. After avx512.inl.hpp.

struct PairedBFloat16 {
  static constexpr size_t slot_elements = 2;
  // An odd last element is paired with 0.
  COVN_MEMBER_INLINE static void stage(const BFloat16* row, size_t n, float* slots) {
    size_t i = 0;
    for (; i + 2 * F32::lanes <= n; i += 2 * F32::lanes)
      _mm512_storeu_si512(slots + i / 2, _mm512_loadu_si512(row + i));
    for (; i < n; i += 2) slots[i / 2] = pair_slot(row[i], i + 1 < n ? row[i + 1] : BFloat16{0});
  }
  COVN_MEMBER_INLINE static F32 multiply_add(F32 a, F32 b, F32 c) {
    return {_mm512_dpbf16_ps(c.v, __builtin_bit_cast(__m512bh, a.v), __builtin_bit_cast(__m512bh, b.v))};
  }
};
