// AVX-512 F, BW, DQ, VL: sixteen floats or eight doubles. Meanings as in scalar.inl.hpp.

struct F32 {
  static constexpr size_t lanes = 16;
  __m512 v;
};

COVN_INLINE F32 set(float value) { return {_mm512_set1_ps(value)}; }
// Keeps a compiler from reading memory again for each use of what was loaded: vectors that lie across two cache lines,
// as most do, take two accesses.
template <class Vector>
COVN_INLINE Vector read_once(Vector v) {
#if defined(__GNUC__) && !defined(__clang__) && !defined(COVN_EMULATED)
  asm("" : "+v"(v));
#endif
  return v;
}
COVN_INLINE F32 load(const float* p) { return {read_once(_mm512_loadu_ps(p))}; }
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
COVN_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// The instruction returns its second operand when either is NaN.
COVN_INLINE F32 max_ignoring_nan(F32 x, F32 m) { return {_mm512_max_ps(x.v, m.v)}; }
COVN_INLINE float reduce_max(F32 a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
COVN_INLINE F32 max_keeping_nan(F32 bound, F32 t) { return {_mm512_max_ps(bound.v, t.v)}; }
COVN_INLINE F32 min_keeping_nan(F32 bound, F32 t) { return {_mm512_min_ps(bound.v, t.v)}; }

#define COVN_TARGET_LOADS_PADDED 1
COVN_INLINE F32 load_padded(const float* p, size_t n) {
  if (n >= F32::lanes) return load(p);
  const auto there = static_cast<uint16_t>((1u << n) - 1);
  return {_mm512_mask_loadu_ps(_mm512_set1_ps(-COVN_INFINITY), there, p)};
}
template <class T>
COVN_INLINE F32 load_padded(const T* p, size_t n) {
  if (n >= F32::lanes) return load(p);
  const auto there = static_cast<uint16_t>((1u << n) - 1);
  const __m256i padding = _mm256_set1_epi16(static_cast<int16_t>(kNegativeInfinity<T>));
  const __m256i halves = _mm256_mask_loadu_epi16(padding, there, p);
  T lane[F32::lanes];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lane), halves);
  return load(lane);
}

constexpr int kTableBits = 5;
constexpr size_t kExpDegree = 2;
struct PowerTable {
  __m512 low, high;
};
COVN_INLINE PowerTable power_table() {
  const __m512i* table = reinterpret_cast<const __m512i*>(kPowers32);
  return {_mm512_castsi512_ps(_mm512_loadu_si512(table)), _mm512_castsi512_ps(_mm512_loadu_si512(table + 1))};
}
COVN_INLINE F32 power(F32 shifted, const PowerTable& t) {
  const __m512i k = _mm512_castps_si512(shifted.v);
  const __m512i fraction = _mm512_castps_si512(_mm512_permutex2var_ps(t.low, k, t.high));
  return {_mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(k, 23 - kTableBits), fraction))};
}

#define COVN_TARGET_UNIT_TERMS 1
// The powers of kernels/unit_terms.inl.hpp, divided by 2^octave.
struct UnitPowers {
  __m512 low, high;
};
COVN_INLINE UnitPowers unit_powers(int32_t octave) {
  const __m512i down = _mm512_set1_epi32(octave * (1 << 23));
  const __m512i* table = reinterpret_cast<const __m512i*>(kUnitPowers.bits);
  return {_mm512_castsi512_ps(_mm512_sub_epi32(_mm512_loadu_si512(table), down)),
          _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_loadu_si512(table + 1), down))};
}
COVN_INLINE F32 unit_power(F32 shifted, const UnitPowers& t) {
  return {_mm512_permutex2var_ps(t.low, _mm512_castps_si512(shifted.v), t.high)};
}
// x 2^floor(exponent); 0 where that is a denormal and those are flushed.
COVN_INLINE F32 scale_by_power(F32 x, F32 exponent) { return {_mm512_scalef_ps(x.v, exponent.v)}; }

// The tree adds lanes eight apart, then four, two, one. Half of what each merge needs is there already: a blend, which
// more ports take than a shuffle, leaves it in place.
template <class Merge>
COVN_INLINE F32 merge_rows(const F32* v, Merge merge) {
  // Lanes of a merge of a and b: those of a where a bit of the mask is not set.
  const auto merged = [&](__m512 a, __m512 b, uint16_t of_b, __m512i crossing) {
    return merge(_mm512_mask_blend_ps(of_b, a, b), _mm512_permutex2var_ps(a, crossing, b));
  };
  const __m512i by4 = _mm512_setr_epi32(4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27);
  const __m512i by1 = _mm512_setr_epi32(1, 16, 3, 18, 5, 20, 7, 22, 9, 24, 11, 26, 13, 28, 15, 30);
  __m512 w[8], z[4], u[2];
  for (int i = 0; i < 8; i++) {
    const __m512 a = v[i].v, b = v[i + 8].v;
    w[i] = merge(_mm512_mask_blend_ps(0xff00, a, b), _mm512_shuffle_f32x4(a, b, 0x4e));
  }
  for (int i = 0; i < 4; i++) z[i] = merged(w[i], w[i + 4], 0xf0f0, by4);
  for (int i = 0; i < 2; i++) {
    u[i] = merge(_mm512_mask_blend_ps(0xcccc, z[i], z[i + 2]), _mm512_shuffle_ps(z[i], z[i + 2], 0x4e));
  }
  return {merged(u[0], u[1], 0xaaaa, by1)};
}
struct MergeSums {
  COVN_MEMBER_INLINE __m512 operator()(__m512 a, __m512 b) const { return _mm512_add_ps(a, b); }
};
struct MergeMaxima {
  COVN_MEMBER_INLINE __m512 operator()(__m512 a, __m512 b) const { return _mm512_max_ps(a, b); }
};
COVN_INLINE F32 row_sums(const F32* v) { return merge_rows(v, MergeSums()); }
COVN_INLINE F32 row_maxima(const F32* v) { return merge_rows(v, MergeMaxima()); }

#include "kernels/simd/avx512_transpose.inl.hpp"

// Thirty-two numbers of a 16-bit format, as their bits.
struct Packed {
  __m512i v;
};
COVN_INLINE Packed load_packed(const void* p) { return {read_once(_mm512_loadu_si512(p))}; }
COVN_INLINE Packed set_packed(uint16_t bits) { return {_mm512_set1_epi16(static_cast<int16_t>(bits))}; }
COVN_INLINE Packed max_signed(Packed a, Packed b) { return {_mm512_max_epi16(a.v, b.v)}; }
COVN_INLINE Packed max_unsigned(Packed a, Packed b) { return {_mm512_max_epu16(a.v, b.v)}; }
COVN_INLINE Packed min_unsigned(Packed a, Packed b) { return {_mm512_min_epu16(a.v, b.v)}; }
COVN_INLINE Packed flip_bits(Packed a, Packed mask) { return {_mm512_xor_si512(a.v, mask.v)}; }
COVN_INLINE int64_t count_greater(Packed a, Packed b) { return _mm_popcnt_u32(_mm512_cmpgt_epu16_mask(a.v, b.v)); }
// Two vectors of floats; which of them holds which number is of no matter.
COVN_INLINE void widen(Packed p, BFloat16, F32& a, F32& b) {
  a = {_mm512_castsi512_ps(_mm512_slli_epi32(p.v, 16))};
  b = {_mm512_castsi512_ps(_mm512_and_si512(p.v, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}
COVN_INLINE void widen(Packed p, Float16, F32& a, F32& b) {
  a = {_mm512_cvtph_ps(_mm512_castsi512_si256(p.v))};
  b = {_mm512_cvtph_ps(_mm512_extracti64x4_epi64(p.v, 1))};
}
// The next 64, in an order that is the format's.
COVN_INLINE void load_in_any_order(F32* v, const float* p) {
  for (size_t k = 0; k < 4; k++) v[k] = load(p + k * F32::lanes);
}
template <class T>
COVN_INLINE void load_in_any_order(F32* v, const T* p) {
  for (size_t k = 0; k < 4; k += 2) widen(load_packed(p + k * F32::lanes), T{}, v[k], v[k + 1]);
}
COVN_INLINE uint16_t reduce_min_unsigned(Packed p) {
  const __m256i sixteen = _mm256_min_epu16(_mm512_castsi512_si256(p.v), _mm512_extracti64x4_epi64(p.v, 1));
  const __m128i eight = _mm_min_epu16(_mm256_castsi256_si128(sixteen), _mm256_extracti128_si256(sixteen, 1));
  return static_cast<uint16_t>(_mm_extract_epi16(_mm_minpos_epu16(eight), 0));
}
COVN_INLINE int16_t reduce_max_signed(Packed p) {
  // The horizontal minimum of unsigned words is an instruction; 0x7fff - x turns the order.
  const __m512i turned = _mm512_sub_epi16(_mm512_set1_epi16(0x7fff), p.v);
  return static_cast<int16_t>(0x7fff - reduce_min_unsigned({turned}));
}
COVN_INLINE uint16_t reduce_max_unsigned(Packed p) {
  return static_cast<uint16_t>(~reduce_min_unsigned(flip_bits(p, set_packed(0xffff))));
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
    const __m512d all = _mm512_add_pd(low, high);
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(all), _mm512_extractf64x4_pd(all, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_pd(two, _mm_unpackhi_pd(two, two)));
  }
};

struct GreaterCounter {
  int64_t n;
  COVN_MEMBER_INLINE GreaterCounter() : n(0) {}
  COVN_MEMBER_INLINE void count(F32 x, F32 bound) { n += _mm_popcnt_u32(_mm512_cmp_ps_mask(x.v, bound.v, _CMP_GT_OQ)); }
  COVN_MEMBER_INLINE int64_t total() const { return n; }
};
COVN_INLINE bool any_greater(F32 x, F32 bound) { return _mm512_cmp_ps_mask(x.v, bound.v, _CMP_GT_OQ) != 0; }
COVN_INLINE int64_t count_greater(F32 x, F32 bound) {
  return _mm_popcnt_u32(_mm512_cmp_ps_mask(x.v, bound.v, _CMP_GT_OQ));
}
COVN_INLINE F32 keep_at_least(F32 a, F32 x, F32 bound) {
  return {_mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x.v, bound.v, _CMP_GE_OQ), a.v)};
}

struct F64 {
  static constexpr size_t lanes = 8;
  __m512d v;
};

COVN_INLINE F64 set64(double value) { return {_mm512_set1_pd(value)}; }
COVN_INLINE F64 load64(const double* p) { return {_mm512_loadu_pd(p)}; }
COVN_INLINE F64 load64(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
COVN_INLINE F64 load64(const uint8_t* p) {
  return {_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
COVN_INLINE void store64(double* p, F64 a) { _mm512_storeu_pd(p, a.v); }
COVN_INLINE F64 add(F64 a, F64 b) { return {_mm512_add_pd(a.v, b.v)}; }
COVN_INLINE F64 sub(F64 a, F64 b) { return {_mm512_sub_pd(a.v, b.v)}; }
COVN_INLINE F64 mul(F64 a, F64 b) { return {_mm512_mul_pd(a.v, b.v)}; }
COVN_INLINE F64 div(F64 a, F64 b) { return {_mm512_div_pd(a.v, b.v)}; }
COVN_INLINE F64 fma(F64 a, F64 b, F64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
COVN_INLINE F64 max_keeping_nan(F64 bound, F64 t) { return {_mm512_max_pd(bound.v, t.v)}; }
COVN_INLINE F64 power64(F64 shifted) {
  return {_mm512_castsi512_pd(
      _mm512_add_epi64(_mm512_slli_epi64(_mm512_castpd_si512(shifted.v), 52), _mm512_set1_epi64(kOneBits)))};
}
#define COVN_TARGET_LANE_SUMS 1
// Neighbouring lanes, then quarters of the vectors.
COVN_INLINE __m512d add_neighbours(F64 a, F64 b) {
  return _mm512_add_pd(_mm512_unpacklo_pd(a.v, b.v), _mm512_unpackhi_pd(a.v, b.v));
}
COVN_INLINE __m512d add_quarters(__m512d a, __m512d b) {
  return _mm512_add_pd(_mm512_shuffle_f64x2(a, b, 0x88), _mm512_shuffle_f64x2(a, b, 0xdd));
}
COVN_INLINE F64 lane_sums(const F64* v) {
  const __m512d low = add_quarters(add_neighbours(v[0], v[1]), add_neighbours(v[2], v[3]));
  const __m512d high = add_quarters(add_neighbours(v[4], v[5]), add_neighbours(v[6], v[7]));
  return {add_quarters(low, high)};
}
COVN_INLINE F64 split_exponent(F64 x, F64& exponent) {
  const __m512i bits = _mm512_castpd_si512(x.v);
  const __m512i above = _mm512_sub_epi64(bits, _mm512_set1_epi64(kSqrtHalfBits));
  exponent = {_mm512_cvtepi64_pd(_mm512_srai_epi64(above, 52))};
  return {_mm512_castsi512_pd(_mm512_sub_epi64(bits, _mm512_and_si512(above, _mm512_set1_epi64(kExponentBits))))};
}

#define COVN_TARGET_FLOAT_PREFIX_SUMS 1
// The lanes moved up by some, after zeros.
template <int by>
COVN_INLINE __m512 lanes_up(__m512 a) {
  const __m512i from = _mm512_setr_epi32(0 - by, 1 - by, 2 - by, 3 - by, 4 - by, 5 - by, 6 - by, 7 - by, 8 - by, 9 - by,
                                         10 - by, 11 - by, 12 - by, 13 - by, 14 - by, 15 - by);
  return _mm512_maskz_permutexvar_ps(static_cast<uint16_t>(0xffffu << by), from, a);
}
COVN_INLINE F32 prefix_sums(F32 a) {
  __m512 sum = _mm512_add_ps(a.v, lanes_up<1>(a.v));
  sum = _mm512_add_ps(sum, lanes_up<2>(sum));
  sum = _mm512_add_ps(sum, lanes_up<4>(sum));
  return {_mm512_add_ps(sum, lanes_up<8>(sum))};
}

#define COVN_TARGET_PREFIX_SUMS 1
COVN_INLINE void widen(F32 a, F64* wide) {
  wide[0] = {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v))};
  wide[1] = {_mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))};
}
COVN_INLINE F64 prefix_sums(F64 a) {
  const __m512i one_back = _mm512_setr_epi64(0, 0, 1, 2, 3, 4, 5, 6),
                two_back = _mm512_setr_epi64(0, 0, 0, 1, 2, 3, 4, 5),
                four_back = _mm512_setr_epi64(0, 0, 0, 0, 0, 1, 2, 3);
  __m512d sum = _mm512_add_pd(a.v, _mm512_maskz_permutexvar_pd(0xfe, one_back, a.v));
  sum = _mm512_add_pd(sum, _mm512_maskz_permutexvar_pd(0xfc, two_back, sum));
  return {_mm512_add_pd(sum, _mm512_maskz_permutexvar_pd(0xf0, four_back, sum))};
}
COVN_INLINE double last_lane(F64 a) {
  const __m128d top = _mm256_extractf128_pd(_mm512_extractf64x4_pd(a.v, 1), 1);
  return _mm_cvtsd_f64(_mm_unpackhi_pd(top, top));
}

struct AtLeastCounter {
  uint64_t n = 0;
  COVN_MEMBER_INLINE void count(F64 x, F64 bound) {
    n += static_cast<unsigned>(_mm_popcnt_u32(_mm512_cmp_pd_mask(x.v, bound.v, _CMP_GE_OQ)));
  }
  COVN_MEMBER_INLINE uint64_t total() const { return n; }
};

struct U64 {
  static constexpr size_t lanes = 8;
  __m512i v;
};

COVN_INLINE U64 set_u64(uint64_t value) { return {_mm512_set1_epi64(static_cast<long long>(value))}; }
COVN_INLINE U64 load_u64(const uint64_t* p) { return {_mm512_loadu_si512(p)}; }
COVN_INLINE void store(uint64_t* p, U64 a) { _mm512_storeu_si512(p, a.v); }
COVN_INLINE U64 add(U64 a, U64 b) { return {_mm512_add_epi64(a.v, b.v)}; }
COVN_INLINE U64 sub(U64 a, U64 b) { return {_mm512_sub_epi64(a.v, b.v)}; }
COVN_INLINE U64 bit_and(U64 a, U64 b) { return {_mm512_and_si512(a.v, b.v)}; }
COVN_INLINE U64 bit_xor(U64 a, U64 b) { return {_mm512_xor_si512(a.v, b.v)}; }
COVN_INLINE U64 bit_xor(U64 a, U64 b, U64 c) { return {_mm512_ternarylogic_epi64(a.v, b.v, c.v, 0x96)}; }
template <int bits>
COVN_INLINE U64 shift_right(U64 a) {
  return {_mm512_srli_epi64(a.v, bits)};
}
template <int bits>
COVN_INLINE U64 shift_left(U64 a) {
  return {_mm512_slli_epi64(a.v, bits)};
}
COVN_INLINE F64 as_doubles(U64 a) { return {_mm512_castsi512_pd(a.v)}; }
COVN_INLINE U64 multiply_low_halves(U64 a, U64 b) { return {_mm512_mul_epu32(a.v, b.v)}; }
COVN_INLINE bool any_below(U64 a, U64 b) { return _mm512_cmplt_epu64_mask(a.v, b.v) != 0; }
COVN_INLINE U64 select_below(U64 a, U64 b, U64 yes, U64 no) {
  return {_mm512_mask_mov_epi64(no.v, _mm512_cmplt_epu64_mask(a.v, b.v), yes.v)};
}

#include "kernels/simd/avx512_rollout.inl.hpp"

#define COVN_TARGET_LOOKUPS 1
constexpr size_t kLookups = 8;
COVN_INLINE size_t look_up(const int32_t* table, const double* x, double scale, uint32_t k, int32_t* items,
                           uint32_t* negative) {
  const __m256i at = _mm512_cvttpd_epi32(_mm512_mul_pd(_mm512_loadu_pd(x), _mm512_set1_pd(scale)));
  // Loads: the instruction for gathering is slower on many processors.
  const auto four = [table](__m128i i) {
    const auto a = static_cast<uint64_t>(_mm_cvtsi128_si64(i)), b = static_cast<uint64_t>(_mm_extract_epi64(i, 1));
    const __m128i one = _mm_cvtsi32_si128(table[a & 0xffffffffu]), two = _mm_insert_epi32(one, table[a >> 32], 1);
    const __m128i three = _mm_insert_epi32(two, table[b & 0xffffffffu], 2);
    return _mm_insert_epi32(three, table[b >> 32], 3);
  };
  const __m256i low = _mm256_castsi128_si256(four(_mm256_castsi256_si128(at)));
  const __m256i found = _mm256_inserti128_si256(low, four(_mm256_extracti128_si256(at, 1)), 1);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(items), found);
  const auto below = _mm256_movepi32_mask(found);
  const __m256i numbers =
      _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(k)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(negative), _mm256_maskz_compress_epi32(below, numbers));
  return static_cast<size_t>(_mm_popcnt_u32(below));
}
COVN_INLINE U64 add_at_least(U64 n, F64 x, F64 bound) {
  return {_mm512_mask_add_epi64(n.v, _mm512_cmp_pd_mask(x.v, bound.v, _CMP_GE_OQ), n.v, _mm512_set1_epi64(1))};
}

// Ladder::below of the cells in the low six bits of each lane: the lowest bits of each lane, the rest 0.
struct WordTable {
  __m512i low, high;
  COVN_MEMBER_INLINE explicit WordTable(const uint16_t* below)
      : low(_mm512_loadu_si512(below)), high(_mm512_loadu_si512(below + 32)) {}
  COVN_MEMBER_INLINE __m512i of(__m512i cells) const {
    return _mm512_maskz_permutex2var_epi16(0x11111111u, low, cells, high);
  }
};

template <class BelowTable>
struct RankOnLadder {
  __m512d limit, negative_limit, scale, cell_shift, low_bounds, high_bounds;
  BelowTable below_table;
  __m512i low_ones, high_ones;
  COVN_MEMBER_INLINE explicit RankOnLadder(const Ladder& ladder)
      : limit(_mm512_set1_pd(ladder.limit)),
        negative_limit(_mm512_set1_pd(-ladder.limit)),
        scale(_mm512_set1_pd(ladder.scale)),
        cell_shift(_mm512_set1_pd(Ladder::kCellShift)),
        low_bounds(_mm512_loadu_pd(ladder.bounds)),
        high_bounds(_mm512_loadu_pd(ladder.bounds + 8)),
        below_table(ladder.below),
        low_ones(_mm512_set_epi64(1 << 28, 1 << 24, 1 << 20, 1 << 16, 1 << 12, 1 << 8, 1 << 4, 1)),
        high_ones(_mm512_slli_epi64(low_ones, 32)) {}
  COVN_MEMBER_INLINE U64 one_at(F64 difference) const {
    // The instructions return their second operand when either is NaN, and a NaN's low bits, cell 0, come through.
    const __m512d clamped = _mm512_max_pd(negative_limit, _mm512_min_pd(limit, difference.v));
    const __m512i below = below_table.of(_mm512_castpd_si512(_mm512_fmadd_pd(clamped, scale, cell_shift)));
    const __m512d bound = _mm512_permutex2var_pd(low_bounds, below, high_bounds);
    const auto reached = _mm512_cmp_pd_mask(difference.v, bound, _CMP_GE_OQ);
    const __m512i one = _mm512_permutex2var_epi64(low_ones, below, high_ones);
    return {_mm512_mask_slli_epi64(one, reached, one, 4)};
  }
};
using LadderRank = RankOnLadder<WordTable>;
// Matrix products: 24 sums, two vectors of rows and a weight fit 32 registers.
constexpr size_t kStepWeights = 12, kStepVectors = 2;
COVN_INLINE void store64(float* p, F64 a) { _mm256_storeu_ps(p, _mm512_cvtpd_ps(a.v)); }
COVN_INLINE void add_bytes(uint32_t* sums, const uint8_t* bytes) {
  const __m512i sixteen = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  _mm512_storeu_si512(sums, _mm512_add_epi32(_mm512_loadu_si512(sums), sixteen));
}
