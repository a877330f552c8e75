// 64-bit Arm Advanced SIMD: four floats or two doubles. Meanings as in scalar.inl.hpp.

struct F32 {
  static constexpr size_t lanes = 4;
  float32x4_t v;
};

COVN_INLINE F32 set(float value) { return {vdupq_n_f32(value)}; }
COVN_INLINE F32 load(const float* p) { return {vld1q_f32(p)}; }
COVN_INLINE F32 load(const Float16* p) {
  return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(reinterpret_cast<const uint16_t*>(p))))};
}
COVN_INLINE F32 load(const BFloat16* p) {
  const uint16x4_t half = vld1_u16(reinterpret_cast<const uint16_t*>(p));
  return {vreinterpretq_f32_u32(vshll_n_u16(half, 16))};
}
COVN_INLINE void store(float* p, F32 a) { vst1q_f32(p, a.v); }
COVN_INLINE F32 add(F32 a, F32 b) { return {vaddq_f32(a.v, b.v)}; }
COVN_INLINE F32 sub(F32 a, F32 b) { return {vsubq_f32(a.v, b.v)}; }
COVN_INLINE F32 mul(F32 a, F32 b) { return {vmulq_f32(a.v, b.v)}; }
COVN_INLINE F32 fma(F32 a, F32 b, F32 c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
COVN_INLINE F32 max_ignoring_nan(F32 x, F32 m) { return {vmaxnmq_f32(x.v, m.v)}; }
COVN_INLINE float reduce_max(F32 a) { return vmaxvq_f32(a.v); }
COVN_INLINE F32 max_keeping_nan(F32 bound, F32 t) { return {vmaxq_f32(bound.v, t.v)}; }
COVN_INLINE F32 min_keeping_nan(F32 bound, F32 t) { return {vminq_f32(bound.v, t.v)}; }

constexpr int kTableBits = 0;
constexpr size_t kExpDegree = 6;
struct PowerTable {};
COVN_INLINE PowerTable power_table() { return {}; }
COVN_INLINE F32 power(F32 shifted, const PowerTable&) {
  const uint32x4_t exponent = vshlq_n_u32(vreinterpretq_u32_f32(shifted.v), 23);
  return {vreinterpretq_f32_u32(vaddq_u32(exponent, vdupq_n_u32(0x3f800000u)))};
}

COVN_INLINE F32 row_sums(const F32* v) { return {vpaddq_f32(vpaddq_f32(v[0].v, v[1].v), vpaddq_f32(v[2].v, v[3].v))}; }
COVN_INLINE F32 row_maxima(const F32* v) {
  return {vpmaxq_f32(vpmaxq_f32(v[0].v, v[1].v), vpmaxq_f32(v[2].v, v[3].v))};
}

struct WideSum {
  float64x2_t low, high;
  COVN_MEMBER_INLINE WideSum() : low(vdupq_n_f64(0.0)), high(vdupq_n_f64(0.0)) {}
  COVN_MEMBER_INLINE void add(F32 a) {
    low = vaddq_f64(low, vcvt_f64_f32(vget_low_f32(a.v)));
    high = vaddq_f64(high, vcvt_f64_f32(vget_high_f32(a.v)));
  }
  COVN_MEMBER_INLINE double total() const { return vaddvq_f64(vaddq_f64(low, high)); }
};

struct GreaterCounter {
  uint32x4_t n;
  COVN_MEMBER_INLINE GreaterCounter() : n(vdupq_n_u32(0)) {}
  // A true comparison is -1 in its lane.
  COVN_MEMBER_INLINE void count(F32 x, F32 bound) { n = vsubq_u32(n, vcgtq_f32(x.v, bound.v)); }
  COVN_MEMBER_INLINE int64_t total() const { return vaddvq_u32(n); }
};

COVN_INLINE bool any_greater(F32 x, F32 bound) { return vmaxvq_u32(vcgtq_f32(x.v, bound.v)) != 0; }

COVN_INLINE int64_t count_greater(F32 x, F32 bound) { return vaddvq_u32(vshrq_n_u32(vcgtq_f32(x.v, bound.v), 31)); }
COVN_INLINE F32 keep_at_least(F32 a, F32 x, F32 bound) {
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a.v), vcgeq_f32(x.v, bound.v)))};
}

#define COVN_TARGET_FLOAT_PREFIX_SUMS 1
COVN_INLINE F32 prefix_sums(F32 a) {
  const float32x4_t zero = vdupq_n_f32(0.0f), sum = vaddq_f32(a.v, vextq_f32(zero, a.v, 3));
  return {vaddq_f32(sum, vextq_f32(zero, sum, 2))};
}

struct F64 {
  static constexpr size_t lanes = 2;
  float64x2_t v;
};

COVN_INLINE F64 set64(double value) { return {vdupq_n_f64(value)}; }
COVN_INLINE F64 load64(const double* p) { return {vld1q_f64(p)}; }
COVN_INLINE F64 load64(const float* p) { return {vcvt_f64_f32(vld1_f32(p))}; }
COVN_INLINE F64 load64(const uint8_t* p) {
  const float64_t lane[2] = {static_cast<float64_t>(p[0]), static_cast<float64_t>(p[1])};
  return {vld1q_f64(lane)};
}
COVN_INLINE void store64(double* p, F64 a) { vst1q_f64(p, a.v); }
COVN_INLINE F64 add(F64 a, F64 b) { return {vaddq_f64(a.v, b.v)}; }
COVN_INLINE F64 sub(F64 a, F64 b) { return {vsubq_f64(a.v, b.v)}; }
COVN_INLINE F64 mul(F64 a, F64 b) { return {vmulq_f64(a.v, b.v)}; }
COVN_INLINE F64 div(F64 a, F64 b) { return {vdivq_f64(a.v, b.v)}; }
COVN_INLINE F64 fma(F64 a, F64 b, F64 c) { return {vfmaq_f64(c.v, a.v, b.v)}; }
COVN_INLINE F64 max_keeping_nan(F64 bound, F64 t) { return {vmaxq_f64(bound.v, t.v)}; }
COVN_INLINE F64 power64(F64 shifted) {
  return {vreinterpretq_f64_s64(vaddq_s64(vshlq_n_s64(vreinterpretq_s64_f64(shifted.v), 52), vdupq_n_s64(kOneBits)))};
}
COVN_INLINE F64 split_exponent(F64 x, F64& exponent) {
  const int64x2_t bits = vreinterpretq_s64_f64(x.v);
  const int64x2_t above = vsubq_s64(bits, vdupq_n_s64(kSqrtHalfBits));
  exponent = {vcvtq_f64_s64(vshrq_n_s64(above, 52))};
  return {vreinterpretq_f64_s64(vsubq_s64(bits, vandq_s64(above, vdupq_n_s64(kExponentBits))))};
}

// A true comparison is -1 in its lane.
struct AtLeastCounter {
  uint64x2_t n;
  COVN_MEMBER_INLINE AtLeastCounter() : n(vdupq_n_u64(0)) {}
  COVN_MEMBER_INLINE void count(F64 x, F64 bound) { n = vsubq_u64(n, vcgeq_f64(x.v, bound.v)); }
  COVN_MEMBER_INLINE uint64_t total() const { return vgetq_lane_u64(n, 0) + vgetq_lane_u64(n, 1); }
};

struct U64 {
  static constexpr size_t lanes = 2;
  uint64x2_t v;
};

COVN_INLINE U64 set_u64(uint64_t value) { return {vdupq_n_u64(value)}; }
COVN_INLINE U64 load_u64(const uint64_t* p) { return {vld1q_u64(p)}; }
COVN_INLINE void store(uint64_t* p, U64 a) { vst1q_u64(p, a.v); }
COVN_INLINE U64 add(U64 a, U64 b) { return {vaddq_u64(a.v, b.v)}; }
COVN_INLINE U64 sub(U64 a, U64 b) { return {vsubq_u64(a.v, b.v)}; }
COVN_INLINE U64 bit_and(U64 a, U64 b) { return {vandq_u64(a.v, b.v)}; }
COVN_INLINE U64 bit_xor(U64 a, U64 b) { return {veorq_u64(a.v, b.v)}; }
COVN_INLINE U64 bit_xor(U64 a, U64 b, U64 c) { return bit_xor(a, bit_xor(b, c)); }
template <int bits>
COVN_INLINE U64 shift_right(U64 a) {
  return {vshrq_n_u64(a.v, bits)};
}
template <int bits>
COVN_INLINE U64 shift_left(U64 a) {
  return {vshlq_n_u64(a.v, bits)};
}
COVN_INLINE F64 as_doubles(U64 a) { return {vreinterpretq_f64_u64(a.v)}; }
COVN_INLINE U64 multiply_low_halves(U64 a, U64 b) { return {vmull_u32(vmovn_u64(a.v), vmovn_u64(b.v))}; }
COVN_INLINE bool any_below(U64 a, U64 b) {
  const uint64x2_t below = vcltq_u64(a.v, b.v);
  return (vgetq_lane_u64(below, 0) | vgetq_lane_u64(below, 1)) != 0;
}
COVN_INLINE U64 select_below(U64 a, U64 b, U64 yes, U64 no) { return {vbslq_u64(vcltq_u64(a.v, b.v), yes.v, no.v)}; }
template <class T>
COVN_INLINE U64 gather(const T* p, U64 index) {
  const uint64_t lane[2] = {p[vgetq_lane_u64(index.v, 0)], p[vgetq_lane_u64(index.v, 1)]};
  return {vld1q_u64(lane)};
}
COVN_INLINE F64 gather64(const double* p, U64 index) {
  const double lane[2] = {p[vgetq_lane_u64(index.v, 0)], p[vgetq_lane_u64(index.v, 1)]};
  return {vld1q_f64(lane)};
}
COVN_INLINE U64 add_at_least(U64 n, F64 x, F64 bound) { return {vsubq_u64(n.v, vcgeq_f64(x.v, bound.v))}; }

// Every threshold is compared with the difference's magnitude.
struct LadderRank {
  const double* thresholds;
  size_t steps;
  COVN_MEMBER_INLINE explicit LadderRank(const Ladder& ladder)
      : thresholds(ladder.bounds + Ladder::kSteps), steps(ladder.steps) {}
  COVN_MEMBER_INLINE U64 one_at(F64 difference) const {
    const float64x2_t magnitude = vabsq_f64(difference.v);
    uint64x2_t reached = vdupq_n_u64(0);  // thresholds reached, negated
    for (size_t k = 0; k < steps; k++) {
      reached = vaddq_u64(reached, vcgeq_f64(magnitude, vdupq_n_f64(thresholds[k])));
    }
    const uint64x2_t negative = vcltq_f64(difference.v, vdupq_n_f64(0.0));
    const uint64x2_t signed_reached = vsubq_u64(veorq_u64(reached, negative), negative);
    const uint64x2_t rank = vsubq_u64(vdupq_n_u64(Ladder::kSteps), signed_reached);
    return {vshlq_u64(vdupq_n_u64(1), vreinterpretq_s64_u64(vshlq_n_u64(rank, 2)))};
  }
};
// Matrix products: 24 sums, two vectors of rows and a weight fit 32 registers.
constexpr size_t kStepWeights = 12, kStepVectors = 2;
COVN_INLINE void store64(float* p, F64 a) { vst1_f32(p, vcvt_f32_f64(a.v)); }
COVN_INLINE void add_bytes(uint32_t* sums, const uint8_t* bytes) {
  for (size_t i = 0; i < kReplicateGroup; i += 8) {
    const uint16x8_t eight = vmovl_u8(vld1_u8(bytes + i));
    vst1q_u32(sums + i, vaddw_u16(vld1q_u32(sums + i), vget_low_u16(eight)));
    vst1q_u32(sums + i + 4, vaddw_u16(vld1q_u32(sums + i + 4), vget_high_u16(eight)));
  }
}
