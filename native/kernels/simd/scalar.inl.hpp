// Portable lanes: arrays that a compiler turns into whatever vectors the baseline has. The reference for what each
// operation of the other wrappers means.

struct F32 {
  static constexpr size_t lanes = 8;
  float v[lanes];
};

COVN_INLINE F32 set(float value) {
  F32 r;
  for (float& x : r.v) x = value;
  return r;
}
template <class T>
COVN_INLINE F32 load(const T* p) {
  F32 r;
  for (size_t i = 0; i < F32::lanes; i++) r.v[i] = to_float(p[i]);
  return r;
}
COVN_INLINE void store(float* p, F32 a) {
  for (size_t i = 0; i < F32::lanes; i++) p[i] = a.v[i];
}
COVN_INLINE F32 add(F32 a, F32 b) {
  for (size_t i = 0; i < F32::lanes; i++) a.v[i] += b.v[i];
  return a;
}
COVN_INLINE F32 sub(F32 a, F32 b) {
  for (size_t i = 0; i < F32::lanes; i++) a.v[i] -= b.v[i];
  return a;
}
COVN_INLINE F32 mul(F32 a, F32 b) {
  for (size_t i = 0; i < F32::lanes; i++) a.v[i] *= b.v[i];
  return a;
}
// a * b + c with one rounding of the product's sum to double and one to float: without a fused instruction, libm's
// fmaf is a slow call, and the second rounding is far below what the callers need. Into a vector of its own: where the
// first argument is reused, GCC 12 vectorises u * u and u * v, of equal u and v, with different results.
COVN_INLINE F32 fma(F32 a, F32 b, F32 c) {
  F32 r;
  for (size_t i = 0; i < F32::lanes; i++) {
    r.v[i] = static_cast<float>(static_cast<double>(a.v[i]) * b.v[i] + c.v[i]);
  }
  return r;
}
// max(x, m) where a NaN in x is passed over.
COVN_INLINE F32 max_ignoring_nan(F32 x, F32 m) {
  for (size_t i = 0; i < F32::lanes; i++) m.v[i] = x.v[i] > m.v[i] ? x.v[i] : m.v[i];
  return m;
}
// The largest lane; no lane is NaN.
COVN_INLINE float reduce_max(F32 a) {
  float m = a.v[0];
  for (float x : a.v) m = x > m ? x : m;
  return m;
}
// max(bound, t) where a NaN in t stays.
COVN_INLINE F32 max_keeping_nan(F32 bound, F32 t) {
  for (size_t i = 0; i < F32::lanes; i++) t.v[i] = t.v[i] < bound.v[i] ? bound.v[i] : t.v[i];
  return t;
}
// min(bound, t) where a NaN in t stays.
COVN_INLINE F32 min_keeping_nan(F32 bound, F32 t) {
  for (size_t i = 0; i < F32::lanes; i++) t.v[i] = t.v[i] > bound.v[i] ? bound.v[i] : t.v[i];
  return t;
}

// 2^(k/2^kTableBits) for a whole k in the low bits of the float's own representation, as adding kMagic leaves it. A
// target looks the fraction up in what fits a register; kExpDegree is the degree of the polynomial for the rest.
constexpr int kTableBits = 0;
constexpr size_t kExpDegree = 6;
struct PowerTable {};
COVN_INLINE PowerTable power_table() { return {}; }
COVN_INLINE F32 power(F32 shifted, const PowerTable&) {
  for (float& x : shifted.v) x = std::bit_cast<float>((std::bit_cast<uint32_t>(x) << 23) + 0x3f800000u);
  return shifted;
}

// Lane i: the sum of the lanes of v[i], for as many vectors as there are lanes; always in the same order.
COVN_INLINE F32 row_sums(const F32* v) {
  F32 r;
  for (size_t i = 0; i < F32::lanes; i++) {
    const float* x = v[i].v;
    r.v[i] = ((x[0] + x[4]) + (x[2] + x[6])) + ((x[1] + x[5]) + (x[3] + x[7]));
  }
  return r;
}
COVN_INLINE F32 row_maxima(const F32* v) {
  F32 r;
  for (size_t i = 0; i < F32::lanes; i++) {
    r.v[i] = v[i].v[0];
    for (float x : v[i].v) r.v[i] = x > r.v[i] ? x : r.v[i];
  }
  return r;
}

// Sums of floats in double, lane by lane, and at the end in a fixed order.
struct WideSum {
  double v[F32::lanes] = {};
  COVN_MEMBER_INLINE void add(F32 a) {
    for (size_t i = 0; i < F32::lanes; i++) v[i] += a.v[i];
  }
  COVN_MEMBER_INLINE double total() const {
    double s = 0.0;
    for (double x : v) s += x;
    return s;
  }
};

// How many lanes have x > bound.
COVN_INLINE int64_t count_greater(F32 x, F32 bound) {
  int64_t n = 0;
  for (size_t i = 0; i < F32::lanes; i++) n += x.v[i] > bound.v[i];
  return n;
}
// The same over up to 2^31 vectors, lane by lane and at the end together.
struct GreaterCounter {
  int64_t n = 0;
  COVN_MEMBER_INLINE void count(F32 x, F32 bound) { n += count_greater(x, bound); }
  COVN_MEMBER_INLINE int64_t total() const { return n; }
};

COVN_INLINE bool any_greater(F32 x, F32 bound) { return count_greater(x, bound) > 0; }
// a where x >= bound, else 0.
COVN_INLINE F32 keep_at_least(F32 a, F32 x, F32 bound) {
  for (size_t i = 0; i < F32::lanes; i++) a.v[i] = x.v[i] >= bound.v[i] ? a.v[i] : 0.0f;
  return a;
}

struct F64 {
  static constexpr size_t lanes = 4;
  double v[lanes];
};

COVN_INLINE F64 set64(double value) { return {{value, value, value, value}}; }
COVN_INLINE F64 load64(const double* p) { return {{p[0], p[1], p[2], p[3]}}; }
COVN_INLINE F64 load64(const float* p) { return {{p[0], p[1], p[2], p[3]}}; }
COVN_INLINE F64 load64(const uint8_t* p) {
  return {{static_cast<double>(p[0]), static_cast<double>(p[1]), static_cast<double>(p[2]), static_cast<double>(p[3])}};
}
COVN_INLINE void store64(double* p, F64 a) {
  for (size_t i = 0; i < F64::lanes; i++) p[i] = a.v[i];
}
COVN_INLINE F64 add(F64 a, F64 b) {
  for (size_t i = 0; i < F64::lanes; i++) a.v[i] += b.v[i];
  return a;
}
COVN_INLINE F64 sub(F64 a, F64 b) {
  for (size_t i = 0; i < F64::lanes; i++) a.v[i] -= b.v[i];
  return a;
}
COVN_INLINE F64 mul(F64 a, F64 b) {
  for (size_t i = 0; i < F64::lanes; i++) a.v[i] *= b.v[i];
  return a;
}
COVN_INLINE F64 div(F64 a, F64 b) {
  for (size_t i = 0; i < F64::lanes; i++) a.v[i] /= b.v[i];
  return a;
}
COVN_INLINE F64 fma(F64 a, F64 b, F64 c) {
  for (size_t i = 0; i < F64::lanes; i++) a.v[i] = a.v[i] * b.v[i] + c.v[i];
  return a;
}
COVN_INLINE F64 max_keeping_nan(F64 bound, F64 t) {
  for (size_t i = 0; i < F64::lanes; i++) t.v[i] = t.v[i] < bound.v[i] ? bound.v[i] : t.v[i];
  return t;
}
// 2^k for a whole k given as k + 1.5 * 2^52: it sits in the low bits.
COVN_INLINE F64 power64(F64 shifted) {
  for (double& x : shifted.v) x = std::bit_cast<double>((std::bit_cast<uint64_t>(x) << 52) + kOneBits);
  return shifted;
}
// z in [sqrt(1/2), sqrt(2)) and a whole exponent with x = 2^exponent z, for positive normal x.
COVN_INLINE F64 split_exponent(F64 x, F64& exponent) {
  for (size_t i = 0; i < F64::lanes; i++) {
    const int64_t bits = std::bit_cast<int64_t>(x.v[i]);
    const int64_t above = bits - kSqrtHalfBits;
    exponent.v[i] = static_cast<double>(above >> 52);
    x.v[i] = std::bit_cast<double>(bits - (above & kExponentBits));
  }
  return x;
}

// Counts lanes with x >= bound.
struct AtLeastCounter {
  uint64_t n = 0;
  COVN_MEMBER_INLINE void count(F64 x, F64 bound) {
    for (size_t i = 0; i < F64::lanes; i++) n += x.v[i] >= bound.v[i];
  }
  COVN_MEMBER_INLINE uint64_t total() const { return n; }
};

struct U64 {
  static constexpr size_t lanes = F64::lanes;
  uint64_t v[lanes];
};

COVN_INLINE U64 set_u64(uint64_t value) { return {{value, value, value, value}}; }
COVN_INLINE U64 load_u64(const uint64_t* p) { return {{p[0], p[1], p[2], p[3]}}; }
COVN_INLINE void store(uint64_t* p, U64 a) {
  for (size_t i = 0; i < U64::lanes; i++) p[i] = a.v[i];
}
COVN_INLINE U64 add(U64 a, U64 b) {
  for (size_t i = 0; i < U64::lanes; i++) a.v[i] += b.v[i];
  return a;
}
COVN_INLINE U64 sub(U64 a, U64 b) {
  for (size_t i = 0; i < U64::lanes; i++) a.v[i] -= b.v[i];
  return a;
}
COVN_INLINE U64 bit_and(U64 a, U64 b) {
  for (size_t i = 0; i < U64::lanes; i++) a.v[i] &= b.v[i];
  return a;
}
COVN_INLINE U64 bit_xor(U64 a, U64 b) {
  for (size_t i = 0; i < U64::lanes; i++) a.v[i] ^= b.v[i];
  return a;
}
COVN_INLINE U64 bit_xor(U64 a, U64 b, U64 c) { return bit_xor(a, bit_xor(b, c)); }
template <int bits>
COVN_INLINE U64 shift_right(U64 a) {
  for (uint64_t& x : a.v) x >>= bits;
  return a;
}
template <int bits>
COVN_INLINE U64 shift_left(U64 a) {
  for (uint64_t& x : a.v) x <<= bits;
  return a;
}
// The doubles of these bits.
COVN_INLINE F64 as_doubles(U64 a) {
  F64 r;
  for (size_t i = 0; i < F64::lanes; i++) r.v[i] = std::bit_cast<double>(a.v[i]);
  return r;
}
// The 64-bit products of the lanes' low 32 bits, whatever the high ones hold.
COVN_INLINE U64 multiply_low_halves(U64 a, U64 b) {
  for (size_t i = 0; i < U64::lanes; i++) a.v[i] = (a.v[i] & 0xffffffffu) * (b.v[i] & 0xffffffffu);
  return a;
}
// Whether a < b in any lane.
COVN_INLINE bool any_below(U64 a, U64 b) {
  bool any = false;
  for (size_t i = 0; i < U64::lanes; i++) any = any || a.v[i] < b.v[i];
  return any;
}
// `yes` where a < b, else `no`; a, b < 2^63.
COVN_INLINE U64 select_below(U64 a, U64 b, U64 yes, U64 no) {
  for (size_t i = 0; i < U64::lanes; i++) no.v[i] = a.v[i] < b.v[i] ? yes.v[i] : no.v[i];
  return no;
}
template <class T>
COVN_INLINE U64 gather(const T* p, U64 index) {
  for (uint64_t& x : index.v) x = p[x];
  return index;
}
COVN_INLINE F64 gather64(const double* p, U64 index) {
  return {{p[index.v[0]], p[index.v[1]], p[index.v[2]], p[index.v[3]]}};
}
// Adds 1 where x >= bound.
COVN_INLINE U64 add_at_least(U64 n, F64 x, F64 bound) {
  for (size_t i = 0; i < U64::lanes; i++) n.v[i] += x.v[i] >= bound.v[i];
  return n;
}

// The rank of a difference on a ladder is how many of its sixteen bounds the difference reaches; NaN has the middle
// rank, which counts for neither direction.
struct LadderRank {
  const double* thresholds;
  size_t steps;
  COVN_MEMBER_INLINE explicit LadderRank(const Ladder& ladder)
      : thresholds(ladder.bounds + Ladder::kSteps), steps(ladder.steps) {}
  static constexpr uint64_t kOnes[2 * Ladder::kSteps + 1] = {
      1u << 0,    1u << 4,    1u << 8,    1u << 12,   1u << 16,   1u << 20,   1u << 24,   1u << 28, 1ull << 32,
      1ull << 36, 1ull << 40, 1ull << 44, 1ull << 48, 1ull << 52, 1ull << 56, 1ull << 60, 0};
  // 1 << 4 * rank, or 0 for rank 16: a one for the rank's counter among sixteen of four bits.
  COVN_MEMBER_INLINE U64 one_at(F64 difference) const {
    F64 magnitude;
    for (size_t i = 0; i < F64::lanes; i++) magnitude.v[i] = difference.v[i] < 0.0 ? -difference.v[i] : difference.v[i];
    U64 one = set_u64(0);
    for (size_t k = 0; k < steps; k++) {
      for (size_t i = 0; i < F64::lanes; i++) one.v[i] += magnitude.v[i] >= thresholds[k];
    }
    for (size_t i = 0; i < F64::lanes; i++) {
      one.v[i] = kOnes[difference.v[i] < 0.0 ? Ladder::kSteps - one.v[i] : Ladder::kSteps + one.v[i]];
    }
    return one;
  }
};
// Matrix products: weights, and vectors of rows, whose products are summed in registers at the same time.
constexpr size_t kStepWeights = 4, kStepVectors = 1;
// Rounded to float.
COVN_INLINE void store64(float* p, F64 a) {
  for (size_t i = 0; i < F64::lanes; i++) p[i] = static_cast<float>(a.v[i]);
}
// Adds kReplicateGroup bytes to as many sums.
COVN_INLINE void add_bytes(uint32_t* sums, const uint8_t* bytes) {
  uint32_t sum[kReplicateGroup];  // of its own: a byte may alias anything, which would keep a compiler from vectors
  for (size_t i = 0; i < kReplicateGroup; i++) sum[i] = sums[i] + bytes[i];
  for (size_t i = 0; i < kReplicateGroup; i++) sums[i] = sum[i];
}
