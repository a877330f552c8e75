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
COVN_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
// The instruction returns its second operand when either is NaN.
COVN_INLINE F32 max_ignoring_nan(F32 x, F32 m) { return {_mm256_max_ps(x.v, m.v)}; }
COVN_INLINE float reduce_max(F32 a) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}
COVN_INLINE F32 max_keeping_nan(F32 bound, F32 t) { return {_mm256_max_ps(bound.v, t.v)}; }
COVN_INLINE F32 min_keeping_nan(F32 bound, F32 t) { return {_mm256_min_ps(bound.v, t.v)}; }

constexpr int kTableBits = 3;
constexpr size_t kExpDegree = 3;
struct PowerTable {
  __m256i v;
};
COVN_INLINE PowerTable power_table() { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(kPowers8))}; }
COVN_INLINE F32 power(F32 shifted, const PowerTable& t) {
  const __m256i k = _mm256_castps_si256(shifted.v);
  const __m256i fraction = _mm256_permutevar8x32_epi32(t.v, k);
  return {_mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(k, 23 - kTableBits), fraction))};
}

// The tree adds lanes four apart, then two, one.
template <class Merge>
COVN_INLINE F32 merge_rows(const F32* v, Merge merge) {
  __m256 w[4], u[2];
  for (int i = 0; i < 4; i++) {
    w[i] = merge(_mm256_permute2f128_ps(v[i].v, v[i + 4].v, 0x20), _mm256_permute2f128_ps(v[i].v, v[i + 4].v, 0x31));
  }
  for (int i = 0; i < 2; i++) {
    u[i] = merge(_mm256_unpacklo_ps(w[2 * i], w[2 * i + 1]), _mm256_unpackhi_ps(w[2 * i], w[2 * i + 1]));
  }
  return {merge(_mm256_shuffle_ps(u[0], u[1], 0x44), _mm256_shuffle_ps(u[0], u[1], 0xee))};
}
struct MergeSums {
  COVN_MEMBER_INLINE __m256 operator()(__m256 a, __m256 b) const { return _mm256_add_ps(a, b); }
};
struct MergeMaxima {
  COVN_MEMBER_INLINE __m256 operator()(__m256 a, __m256 b) const { return _mm256_max_ps(a, b); }
};
COVN_INLINE F32 row_sums(const F32* v) { return merge_rows(v, MergeSums()); }
COVN_INLINE F32 row_maxima(const F32* v) { return merge_rows(v, MergeMaxima()); }

struct WideSum {
  __m256d low, high;
  // Written out: a compiler makes an implicit constructor outside the target region.
  COVN_MEMBER_INLINE WideSum() : low(_mm256_setzero_pd()), high(_mm256_setzero_pd()) {}
  COVN_MEMBER_INLINE void add(F32 a) {
    low = _mm256_add_pd(low, _mm256_cvtps_pd(_mm256_castps256_ps128(a.v)));
    high = _mm256_add_pd(high, _mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1)));
  }
  COVN_MEMBER_INLINE double total() const {
    const __m256d all = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(all), _mm256_extractf128_pd(all, 1));
    return _mm_cvtsd_f64(_mm_add_pd(two, _mm_unpackhi_pd(two, two)));
  }
};

struct GreaterCounter {
  __m256i n;
  COVN_MEMBER_INLINE GreaterCounter() : n(_mm256_setzero_si256()) {}
  // A true comparison is -1 in its lane.
  COVN_MEMBER_INLINE void count(F32 x, F32 bound) {
    n = _mm256_sub_epi32(n, _mm256_castps_si256(_mm256_cmp_ps(x.v, bound.v, _CMP_GT_OQ)));
  }
  COVN_MEMBER_INLINE int64_t total() const {
    int32_t lane[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lane), n);
    return lane[0] + lane[1] + lane[2] + lane[3] + lane[4] + lane[5] + lane[6] + lane[7];
  }
};
COVN_INLINE bool any_greater(F32 x, F32 bound) {
  return _mm256_movemask_ps(_mm256_cmp_ps(x.v, bound.v, _CMP_GT_OQ)) != 0;
}

COVN_INLINE int64_t count_greater(F32 x, F32 bound) {
  return _mm_popcnt_u32(static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(x.v, bound.v, _CMP_GT_OQ))));
}
COVN_INLINE F32 keep_at_least(F32 a, F32 x, F32 bound) {
  return {_mm256_and_ps(a.v, _mm256_cmp_ps(x.v, bound.v, _CMP_GE_OQ))};
}

#define COVN_TARGET_FLOAT_PREFIX_SUMS 1
COVN_INLINE F32 prefix_sums(F32 a) {
  // Within either half, then the sum of the lower to the upper one.
  __m256 sum = _mm256_add_ps(a.v, _mm256_castsi256_ps(_mm256_slli_si256(_mm256_castps_si256(a.v), 4)));
  sum = _mm256_add_ps(sum, _mm256_castsi256_ps(_mm256_slli_si256(_mm256_castps_si256(sum), 8)));
  const __m256 lower = _mm256_permute2f128_ps(sum, sum, 0x08);
  return {_mm256_add_ps(sum, _mm256_shuffle_ps(lower, lower, 0xff))};
}

struct F64 {
  static constexpr size_t lanes = 4;
  __m256d v;
};

COVN_INLINE F64 set64(double value) { return {_mm256_set1_pd(value)}; }
COVN_INLINE F64 load64(const double* p) { return {_mm256_loadu_pd(p)}; }
COVN_INLINE F64 load64(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
COVN_INLINE F64 load64(const uint8_t* p) {
  const uint32_t four = p[0] | p[1] << 8 | p[2] << 16 | static_cast<uint32_t>(p[3]) << 24;
  return {_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(static_cast<int>(four))))};
}
COVN_INLINE void store64(double* p, F64 a) { _mm256_storeu_pd(p, a.v); }
COVN_INLINE F64 add(F64 a, F64 b) { return {_mm256_add_pd(a.v, b.v)}; }
COVN_INLINE F64 sub(F64 a, F64 b) { return {_mm256_sub_pd(a.v, b.v)}; }
COVN_INLINE F64 mul(F64 a, F64 b) { return {_mm256_mul_pd(a.v, b.v)}; }
COVN_INLINE F64 div(F64 a, F64 b) { return {_mm256_div_pd(a.v, b.v)}; }
COVN_INLINE F64 fma(F64 a, F64 b, F64 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
COVN_INLINE F64 max_keeping_nan(F64 bound, F64 t) { return {_mm256_max_pd(bound.v, t.v)}; }
COVN_INLINE F64 power64(F64 shifted) {
  return {_mm256_castsi256_pd(
      _mm256_add_epi64(_mm256_slli_epi64(_mm256_castpd_si256(shifted.v), 52), _mm256_set1_epi64x(kOneBits)))};
}
#define COVN_TARGET_LANE_SUMS 1
COVN_INLINE F64 lane_sums(const F64* v) {
  const __m256d a = _mm256_hadd_pd(v[0].v, v[1].v), b = _mm256_hadd_pd(v[2].v, v[3].v);
  return {_mm256_add_pd(_mm256_permute2f128_pd(a, b, 0x20), _mm256_permute2f128_pd(a, b, 0x31))};
}
COVN_INLINE F64 split_exponent(F64 x, F64& exponent) {
  const __m256i bits = _mm256_castpd_si256(x.v);
  const __m256i above = _mm256_sub_epi64(bits, _mm256_set1_epi64x(kSqrtHalfBits));
  // The upper halves hold the exponent.
  const __m256i upper =
      _mm256_permutevar8x32_epi32(_mm256_srai_epi32(above, 20), _mm256_setr_epi32(1, 3, 5, 7, 1, 3, 5, 7));
  exponent = {_mm256_cvtepi32_pd(_mm256_castsi256_si128(upper))};
  return {_mm256_castsi256_pd(_mm256_sub_epi64(bits, _mm256_and_si256(above, _mm256_set1_epi64x(kExponentBits))))};
}

#define COVN_TARGET_PREFIX_SUMS 1
COVN_INLINE void widen(F32 a, F64* wide) {
  wide[0] = {_mm256_cvtps_pd(_mm256_castps256_ps128(a.v))};
  wide[1] = {_mm256_cvtps_pd(_mm256_extractf128_ps(a.v, 1))};
}
COVN_INLINE F64 prefix_sums(F64 a) {
  // Within either half, then the sum of the lower to the upper one.
  const __m256d sum = _mm256_add_pd(a.v, _mm256_unpacklo_pd(_mm256_setzero_pd(), a.v));
  const __m256d lower = _mm256_permute2f128_pd(sum, sum, 0x08);
  return {_mm256_add_pd(sum, _mm256_unpackhi_pd(lower, lower))};
}
COVN_INLINE double last_lane(F64 a) {
  const __m128d top = _mm256_extractf128_pd(a.v, 1);
  return _mm_cvtsd_f64(_mm_unpackhi_pd(top, top));
}

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
#define COVN_TARGET_COUNTS 1
COVN_INLINE size_t count_at_least(F64 x, F64 bound) {
  return static_cast<unsigned>(
      _mm_popcnt_u32(static_cast<unsigned>(_mm256_movemask_pd(_mm256_cmp_pd(x.v, bound.v, _CMP_GE_OQ)))));
}

#define COVN_TARGET_LOOKUPS 1
// For each of the sets of 8 lanes, their numbers, in order and from the first byte on.
struct LaneSets {
  uint64_t lanes[256];
};
constexpr LaneSets lane_sets() {
  LaneSets sets{};
  for (size_t set = 0; set < 256; set++) {
    for (uint64_t lane = 0, n = 0; lane < 8; lane++) {
      if (set >> lane & 1) sets.lanes[set] |= lane << 8 * n++;
    }
  }
  return sets;
}
constexpr LaneSets kLaneSets = lane_sets();

constexpr size_t kLookups = 8;
COVN_INLINE size_t look_up(const int32_t* table, const double* x, double scale, uint32_t k, int32_t* items,
                           uint32_t* negative) {
  int32_t places[kLookups];
  for (size_t i = 0; i < kLookups; i += 4) {
    const __m256d scaled = _mm256_mul_pd(_mm256_loadu_pd(x + i), _mm256_set1_pd(scale));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(places + i), _mm256_cvttpd_epi32(scaled));
  }
  const __m256i found = _mm256_setr_epi32(table[places[0]], table[places[1]], table[places[2]], table[places[3]],
                                          table[places[4]], table[places[5]], table[places[6]], table[places[7]]);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(items), found);
  const auto below = static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(found)));
  const __m256i lanes =
      _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(kLaneSets.lanes + below)));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(negative),
                      _mm256_add_epi32(lanes, _mm256_set1_epi32(static_cast<int>(k))));
  return static_cast<size_t>(_mm_popcnt_u32(below));
}

struct U64 {
  static constexpr size_t lanes = 4;
  __m256i v;
};

COVN_INLINE U64 set_u64(uint64_t value) { return {_mm256_set1_epi64x(static_cast<long long>(value))}; }
COVN_INLINE U64 load_u64(const uint64_t* p) { return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))}; }
COVN_INLINE void store(uint64_t* p, U64 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
COVN_INLINE U64 add(U64 a, U64 b) { return {_mm256_add_epi64(a.v, b.v)}; }
COVN_INLINE U64 sub(U64 a, U64 b) { return {_mm256_sub_epi64(a.v, b.v)}; }
COVN_INLINE U64 bit_and(U64 a, U64 b) { return {_mm256_and_si256(a.v, b.v)}; }
COVN_INLINE U64 bit_xor(U64 a, U64 b) { return {_mm256_xor_si256(a.v, b.v)}; }
COVN_INLINE U64 bit_xor(U64 a, U64 b, U64 c) { return bit_xor(a, bit_xor(b, c)); }
template <int bits>
COVN_INLINE U64 shift_right(U64 a) {
  return {_mm256_srli_epi64(a.v, bits)};
}
template <int bits>
COVN_INLINE U64 shift_left(U64 a) {
  return {_mm256_slli_epi64(a.v, bits)};
}
COVN_INLINE F64 as_doubles(U64 a) { return {_mm256_castsi256_pd(a.v)}; }
COVN_INLINE U64 multiply_low_halves(U64 a, U64 b) { return {_mm256_mul_epu32(a.v, b.v)}; }
COVN_INLINE bool any_below(U64 a, U64 b) {
  // Compared as signed numbers, of the same order once the sign bits are turned.
  const __m256i sign = _mm256_set1_epi64x(static_cast<long long>(1ull << 63));
  return _mm256_movemask_epi8(_mm256_cmpgt_epi64(_mm256_xor_si256(b.v, sign), _mm256_xor_si256(a.v, sign))) != 0;
}
COVN_INLINE U64 select_below(U64 a, U64 b, U64 yes, U64 no) {
  return {_mm256_blendv_epi8(no.v, yes.v, _mm256_cmpgt_epi64(b.v, a.v))};
}
// Loads, not the instruction for it, which is slower on many processors, and far slower where microcode keeps it from
// leaking data.
COVN_INLINE U64 gather(const uint64_t* p, U64 index) {
  const __m128i low = _mm256_castsi256_si128(index.v), high = _mm256_extracti128_si256(index.v, 1);
  const uint64_t a = p[_mm_cvtsi128_si64(low)], b = p[_mm_extract_epi64(low, 1)];
  const uint64_t c = p[_mm_cvtsi128_si64(high)], d = p[_mm_extract_epi64(high, 1)];
  return {_mm256_setr_epi64x(static_cast<long long>(a), static_cast<long long>(b), static_cast<long long>(c),
                             static_cast<long long>(d))};
}
COVN_INLINE U64 gather(const uint32_t* p, U64 index) {
  const __m128i low = _mm256_castsi256_si128(index.v), high = _mm256_extracti128_si256(index.v, 1);
  const uint32_t a = p[_mm_cvtsi128_si64(low)], b = p[_mm_extract_epi64(low, 1)];
  const uint32_t c = p[_mm_cvtsi128_si64(high)], d = p[_mm_extract_epi64(high, 1)];
  return {_mm256_setr_epi64x(a, b, c, d)};
}
#define COVN_TARGET_ROWS 1
COVN_INLINE void store_rows(int32_t* to, size_t stride, const U64 (&columns)[4]) {
  // Lanes 0, 2 and 1, 3.
  const __m256i low = bit_xor(columns[0], shift_left<32>(columns[1])).v;
  const __m256i high = bit_xor(columns[2], shift_left<32>(columns[3])).v;
  const __m256i even = _mm256_unpacklo_epi64(low, high), odd = _mm256_unpackhi_epi64(low, high);
  const auto put = [to, stride](size_t lane, __m128i row) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + lane * stride), row);
  };
  put(0, _mm256_castsi256_si128(even));
  put(1, _mm256_castsi256_si128(odd));
  put(2, _mm256_extracti128_si256(even, 1));
  put(3, _mm256_extracti128_si256(odd, 1));
}
#define COVN_TARGET_CHOICES 1
COVN_INLINE bool choose_below(U64 place, U64 threshold, U64 width, U64 below, U64 not_below, U64& chosen) {
  // Numbers below 2^33, and so of one order as signed ones. Equal ones are not certain: it does not matter what is
  // chosen.
  const __m256i above = _mm256_cmpgt_epi64(place.v, threshold.v);
  chosen = {_mm256_blendv_epi8(below.v, not_below.v, above)};
  const __m256i near_threshold =
      _mm256_andnot_si256(above, _mm256_cmpgt_epi64(_mm256_add_epi64(place.v, width.v), threshold.v));
  const __m256i near_end = _mm256_slli_epi64(_mm256_add_epi64(place.v, width.v), 31);  // the sign: 2^32 or more
  return _mm256_testz_si256(_mm256_or_si256(near_threshold, near_end),
                            _mm256_set1_epi64x(static_cast<long long>(1ull << 63)));
}
COVN_INLINE U64 count_below(U64 n, U64 a, U64 b) { return {_mm256_sub_epi64(n.v, _mm256_cmpgt_epi64(b.v, a.v))}; }
COVN_INLINE F64 gather64(const double* p, U64 index) { return {_mm256_i64gather_pd(p, index.v, 8)}; }
COVN_INLINE U64 add_at_least(U64 n, F64 x, F64 bound) {
  return {_mm256_sub_epi64(n.v, _mm256_castpd_si256(_mm256_cmp_pd(x.v, bound.v, _CMP_GE_OQ)))};
}

// Registers hold no table of bounds here: every threshold is compared with the difference's magnitude.
struct LadderRank {
  const double* thresholds;
  size_t steps;
  COVN_MEMBER_INLINE explicit LadderRank(const Ladder& ladder)
      : thresholds(ladder.bounds + Ladder::kSteps), steps(ladder.steps) {}
  COVN_MEMBER_INLINE U64 one_at(F64 difference) const {
    const __m256d sign = _mm256_set1_pd(-0.0);
    const __m256d magnitude = _mm256_andnot_pd(sign, difference.v);
    __m256i reached = _mm256_setzero_si256();  // thresholds reached, negated
    for (size_t k = 0; k < steps; k++) {
      const __m256d at_least = _mm256_cmp_pd(magnitude, _mm256_broadcast_sd(thresholds + k), _CMP_GE_OQ);
      reached = _mm256_add_epi64(reached, _mm256_castpd_si256(at_least));
    }
    const __m256i negative = _mm256_castpd_si256(_mm256_cmp_pd(difference.v, _mm256_setzero_pd(), _CMP_LT_OQ));
    const __m256i signed_reached = _mm256_sub_epi64(_mm256_xor_si256(reached, negative), negative);
    const __m256i rank = _mm256_sub_epi64(_mm256_set1_epi64x(Ladder::kSteps), signed_reached);
    return {_mm256_sllv_epi64(_mm256_set1_epi64x(1), _mm256_slli_epi64(rank, 2))};
  }
};
// Matrix products: 12 sums, two vectors of rows and a weight fit 16 registers.
constexpr size_t kStepWeights = 6, kStepVectors = 2;
COVN_INLINE void store64(float* p, F64 a) { _mm_storeu_ps(p, _mm256_cvtpd_ps(a.v)); }
COVN_INLINE void add_bytes(uint32_t* sums, const uint8_t* bytes) {
  for (size_t i = 0; i < kReplicateGroup; i += 8) {
    const __m256i eight = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + i)));
    __m256i* const p = reinterpret_cast<__m256i*>(sums + i);
    _mm256_storeu_si256(p, _mm256_add_epi32(_mm256_loadu_si256(p), eight));
  }
}
