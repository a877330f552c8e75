// Terms of logits at temperature 1, or their square roots, for targets whose vectors hold a whole table of 32 powers: 7
// instructions a logit where the general formula takes 11. After kernels/exponential.inl.hpp.
//
// Everything here is of a target that has such terms, and says so by COVN_TARGET_UNIT_TERMS; for the others no row is a
// unit row.
#if COVN_TARGET_UNIT_TERMS

// ln(2)/32 is one float here, 2.7e-9 too large, which unit_bias takes out. 46 of these steps are nearly 1, so that
//   s = x - (k - 46) step = r + 0.9964,   e^r ~ (s^2 + kSquareConstant) / kSquareScale
// needs neither a chain of coefficients nor an addition for the 1: largest relative error 1.5e-7, mean 0.
constexpr float kSquareShift = 46.0f;
constexpr float kSquareConstant = 0.9999478f;

// The power is multiplied on by an instruction that takes its exponent's floor: what lies too low becomes 0 and what
// lies too high infinite, in place of a number that wrapped around.
constexpr float kUnitMagic = 393216.0f;  // 1.5 * 2^18: adding it to a small number rounds that to 1/32
constexpr float kUnitSteps = 32.0f;

struct UnitTerms {
  F32 rate, magic, shifted_magic, step, constant;
  UnitPowers powers;  // divided by 2^octave of the place
};

// At temperature 2, that of square roots, s is twice as large and its square four times.
COVN_INLINE UnitTerms unit_terms(int32_t octave, const RowParameters& p) {
  const float squared = p.unit_temperature ? 1.0f : 4.0f;
  return {set(p.rate / kUnitSteps),
          set(kUnitMagic),
          set(kUnitMagic + kSquareShift / kUnitSteps),
          set(-p.step_high * kUnitSteps),
          set(squared * kSquareConstant),
          unit_powers(octave)};
}

// The term of x times kSquareScale, or its root times 4 kSquareScale, for a place of origin 0.
COVN_INLINE Term unit_term(F32 x, const UnitTerms& t) {
  const F32 shifted = fma(x, t.rate, t.magic);
  const F32 k = sub(shifted, t.shifted_magic);
  const F32 s = fma(k, t.step, x);
  return {scale_by_power(unit_power(shifted, t.powers), k), fma(s, s, t.constant)};
}

// By how much ln(2)/32 is too large, as a share of it.
COVN_INLINE double unit_step_excess(const RowParameters& p) {
  return kUnitSteps * p.step_high / (p.temperature * kLn2) - 1.0;
}

// How much too small sums of such terms are, as a share of them, for rows of these largest logits: exp(x) comes
// multiplied by exp(-x 2.7e-9). The terms that matter lie 0 to 4 nats below the largest, so that taking them at 1.5
// leaves a bias below 7e-9 nats a token.
COVN_INLINE F64 unit_bias(F64 max, const RowParameters& p) {
  constexpr double kDistance = 1.5;
  return mul(sub(max, set64(kDistance)), set64(unit_step_excess(p)));
}

// The terms of the largest logits of rows start .. start + F32::lanes, of those that are unit rows there.
COVN_INLINE F32 unit_terms_of_maxima(const RowBatch& batch, size_t start, const RowParameters& p) {
  const F32 flag = load(batch.unit_max + start);
  const Term e = unit_term(mul(flag, load(batch.max + start)), unit_terms(0, p));
  return scale_by_power(product(e), sub(set(0.0f), mul(flag, load(batch.octave + start))));
}

// The sums of rows `at` .. at + F64::lanes less the terms of their largest logits, of which `formed` are those by the
// general formula.
COVN_INLINE F64 unit_rest(const RowBatch& batch, size_t at, F64 formed, F64 formed_unit, const RowParameters& p) {
  const F64 flag = load64(batch.unit_max + at), unit = mul(formed_unit, set64(1.0 / kSquareScale));
  // Both are finite and near each other, or the flag is 0: exact.
  const F64 rest = sub(load64(batch.sum + at), fma(flag, sub(unit, formed), formed));
  const F64 others = sub(load64(batch.unit + at), mul(flag, unit));
  return fma(others, unit_bias(load64(batch.max + at), p), rest);
}

constexpr bool kHasUnitTerms = true;
// Whether a block's terms are formed so, from the largest logit of its row up to its end: the powers of all places near
// it are then within the float range, and their floors negative. It decides for a block wherever that is tried, so that
// bits depend on the row alone.
COVN_INLINE bool is_unit(float max, const RowParameters& p) {
  return p.unit_temperature && max >= kMinUnitMax && max <= kMaxUnitMax;
}
// Whether a place serves for them.
COVN_INLINE bool is_unit_place(Place place, const RowParameters& p) {
  return p.unit_temperature && place.origin == 0.0f && place.octave > kBelowUnitPlaces &&
         place.octave < kAboveUnitPlaces;
}
// Leaves of the largest logits that fit a place those whose formula is the place's.
COVN_INLINE void bound_by_formula(Place place, const RowParameters& p, float& lowest, float& highest) {
  if (!p.unit_temperature) return;
  if (place.octave >= kAboveUnitPlaces) {
    lowest = lowest > kMaxUnitMax ? lowest : 70.00001f;  // the next float
  } else if (place.octave <= kBelowUnitPlaces) {
    highest = highest < kMinUnitMax ? highest : -55.000004f;
  } else {
    lowest = lowest > kMinUnitMax ? lowest : kMinUnitMax;
    highest = highest < kMaxUnitMax ? highest : kMaxUnitMax;
  }
}

// `Clamped`: what lies below the floor counts as the floor. Otherwise -inf gives NaN.
template <bool Clamped>
struct UnitFormula {
  static constexpr double scale = kSquareScale;
  UnitTerms terms;
  F32 floor;

  COVN_MEMBER_INLINE UnitFormula(const UnitTerms& t, F32 floor) : terms(t), floor(floor) {}
  COVN_MEMBER_INLINE UnitFormula(Place place, const Terms&, const RowParameters& p)
      : terms(unit_terms(place.octave, p)), floor(set(floor_of(place, p))) {}
  COVN_MEMBER_INLINE F32 distance(F32 x) const { return Clamped ? max_keeping_nan(floor, x) : x; }
  COVN_MEMBER_INLINE Term term(F32 d) const { return unit_term(d, terms); }
  COVN_MEMBER_INLINE UnitFormula<true> padded() const { return {terms, floor}; }
};

#else

constexpr bool kHasUnitTerms = false;
COVN_INLINE bool is_unit(float, const RowParameters&) { return false; }
COVN_INLINE bool is_unit_place(Place, const RowParameters&) { return false; }
COVN_INLINE void bound_by_formula(Place, const RowParameters&, float&, float&) {}
template <bool Clamped>
using UnitFormula = GeneralFormula<false>;
COVN_INLINE F32 unit_terms_of_maxima(const RowBatch&, size_t, const RowParameters&) { return set(0.0f); }
COVN_INLINE F64 unit_rest(const RowBatch&, size_t, F64 formed, F64, const RowParameters&) { return formed; }

#endif
