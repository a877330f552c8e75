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
COVN_INLINE F32 neg(F32 a) {
  for (float& x : a.v) x = -x;
  return a;
}
// a * b + c with one rounding of the product's sum to double and one to float: without a fused instruction, libm's
// fmaf is a slow call, and the second rounding is far below what the callers need.
COVN_INLINE F32 fma(F32 a, F32 b, F32 c) {
  for (size_t i = 0; i < F32::lanes; i++) {
    a.v[i] = static_cast<float>(static_cast<double>(a.v[i]) * b.v[i] + c.v[i]);
  }
  return a;
}
// max(x, m) where a NaN in x is passed over.
COVN_INLINE F32 max_ignoring_nan(F32 x, F32 m) {
  for (size_t i = 0; i < F32::lanes; i++) m.v[i] = x.v[i] > m.v[i] ? x.v[i] : m.v[i];
  return m;
}
// max(t, bound) where a NaN in t stays.
COVN_INLINE F32 clamp_low(F32 t, float bound) {
  for (float& x : t.v) x = x < bound ? bound : x;
  return t;
}
// value, or 0 where t < bound; a NaN in t keeps the value.
COVN_INLINE F32 zero_below(F32 value, F32 t, float bound) {
  for (size_t i = 0; i < F32::lanes; i++) value.v[i] = t.v[i] < bound ? 0.0f : value.v[i];
  return value;
}
// 2^k for a whole k in [-126, 127] given as k + 1.5 * 2^23: k sits in the low bits of the float's own representation.
COVN_INLINE F32 power_of_two(F32 rounded) {
  for (float& x : rounded.v) x = std::bit_cast<float>((std::bit_cast<uint32_t>(x) << 23) + 0x3f800000u);
  return rounded;
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

// Counts lanes with x > bound.
struct GreaterCounter {
  int64_t n = 0;
  COVN_MEMBER_INLINE void count(F32 x, F32 bound) {
    for (size_t i = 0; i < F32::lanes; i++) n += x.v[i] > bound.v[i];
  }
  COVN_MEMBER_INLINE int64_t total() const { return n; }
};

struct F64 {
  static constexpr size_t lanes = 4;
  double v[lanes];
};

COVN_INLINE F64 set64(double value) { return {{value, value, value, value}}; }
COVN_INLINE F64 load64(const double* p) { return {{p[0], p[1], p[2], p[3]}}; }
COVN_INLINE F64 sub(F64 a, F64 b) {
  for (size_t i = 0; i < F64::lanes; i++) a.v[i] -= b.v[i];
  return a;
}

// Counts lanes with x >= bound.
struct AtLeastCounter {
  uint64_t n = 0;
  COVN_MEMBER_INLINE void count(F64 x, F64 bound) {
    for (size_t i = 0; i < F64::lanes; i++) n += x.v[i] >= bound.v[i];
  }
  COVN_MEMBER_INLINE uint64_t total() const { return n; }
};
