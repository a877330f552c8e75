// exp(d/T) for vectors of d = x - origin, as RowParameters describes it. Included by kernels/targets/*.cpp inside a
// target's namespace and region, after its simd wrapper; it names no instruction set.
//
// Lane type float; d from the floor to 90 octaves above the place, NaN stays NaN. Largest relative error 1.5e-7 for
// b = 3 and 5, 6e-8 for b = 0, mean below 1e-9; d itself is exact when origin is 0, else rounded once.

struct Terms {
  F32 rate, step_high, step_low;
  F32 c[kExpDegree];
  PowerTable powers;
};

// One value a lane: the same everywhere when the lanes are logits of one row, different when they are rows.
struct Window {
  F32 origin, magic, floor;
};

// A term is scale * polynomial: kept apart so that a sum of terms is one fused operation.
struct Term {
  F32 scale, polynomial;
};

COVN_INLINE Terms load_terms(const RowParameters& p) {
  Terms t;
  t.rate = set(p.rate);
  t.step_high = set(-p.step_high);
  t.step_low = set(-p.step_low);
  for (size_t j = 0; j < kExpDegree; j++) t.c[j] = set(p.c[j]);
  t.powers = power_table();
  return t;
}

COVN_INLINE Window window_at(Place place, const RowParameters& p) {
  return {set(place.origin), set(magic_of(place, p)), set(floor_of(place, p))};
}

// d of a logit: below the floor it counts as the floor, so that -inf needs no code of its own. Not shifted: the origin
// is 0.
template <bool Shifted = true>
COVN_INLINE F32 distance_of(F32 x, const Window& w) {
  return max_keeping_nan(w.floor, Shifted ? sub(x, w.origin) : x);
}

COVN_INLINE Term term_of(F32 d, const Terms& t, const Window& w) {
  const F32 shifted = fma(d, t.rate, w.magic);
  const F32 k = sub(shifted, w.magic);
  // The fused steps are exact but for their last rounding: |r| is small, so r carries 2^-30 or less.
  const F32 r = fma(k, t.step_low, fma(k, t.step_high, d));
  F32 p = t.c[kExpDegree - 1];
  for (size_t j = kExpDegree - 1; j > 0; j--) p = fma(p, r, t.c[j - 1]);
  return {power(shifted, t.powers), fma(p, r, set(1.0f))};
}

COVN_INLINE F32 product(Term e) { return mul(e.scale, e.polynomial); }

// exp(x) 2^octave where that is within the double range; relative error 2e-10. With x = k ln(2) + r, |r| <= 0.347:
// 2^(k + octave) (1 + r + r^2/2! + ...). The octave changes no rounding.
COVN_INLINE F64 exp64(F64 x, F64 octave) {
  const F64 magic = set64(0x1.8p52);
  const F64 shifted = fma(x, set64(kLog2E), magic);
  const F64 r = fma(sub(magic, shifted), set64(kLn2), x);
  constexpr double kInverseFactorials[] = {1.0,       1.0,       1.0 / 2,    1.0 / 6,    1.0 / 24,
                                           1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320};
  F64 p = set64(kInverseFactorials[8]);
  for (int n = 7; n >= 0; n--) p = fma(p, r, set64(kInverseFactorials[n]));
  return mul(p, power64(add(shifted, octave)));
}

// What a block's sums are made of: how a logit counts, and the term it gives. `scale`: by how much the terms are too
// large.
template <bool Shifted>
struct GeneralFormula {
  static constexpr double scale = 1.0;
  const Terms& terms;
  Window window;

  COVN_MEMBER_INLINE GeneralFormula(Place place, const Terms& t, const RowParameters& p)
      : terms(t), window(window_at(place, p)) {}
  COVN_MEMBER_INLINE F32 distance(F32 x) const { return distance_of<Shifted>(x, window); }
  COVN_MEMBER_INLINE Term term(F32 d) const { return term_of(d, terms, window); }
  // For vectors that are padded with -inf.
  COVN_MEMBER_INLINE const GeneralFormula& padded() const { return *this; }
};
