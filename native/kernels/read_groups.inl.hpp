// Rows that are drawn from many times: one reading of a piece gives its sum, as kernels/row.inl.hpp has it, and the
// sums of its groups, as kernels/sample.inl.hpp has them. After both.

// Of a piece of n <= kPieceLogits logits: `state` to the bit as if it were a row, and sums of groups [.], memory for a
// multiple of 16. False where the piece does not suit: not unit logits, none that fit the place, or of another order
// of sums.
#if COVN_TARGET_UNIT_TERMS
// As RowLanes.
struct GroupedLanes {
  static constexpr size_t run = 8;  // RowParameters::run of the rows that suit

  const RowTerms<UnitFormula<true>> terms;
  F32 max;
  WideSum sum;

  COVN_MEMBER_INLINE explicit GroupedLanes(const RowTerms<UnitFormula<true>>& t) : terms(t), max(set(-COVN_INFINITY)) {}
  // Gives the terms.
  COVN_MEMBER_INLINE F32 add(F32 x, F32& run_sum) {
    max = max_ignoring_nan(x, max);
    const Term e = terms.formula.term(terms.formula.distance(x));
    run_sum = fma(e.scale, e.polynomial, run_sum);
    return keep_at_least(product(e), x, terms.least);
  }
};

inline bool read_groups(const float* x, size_t n, const TermRule& rule, RowState& state, float* groups) {
  static_assert(F32::lanes == kGroupLogits);
  constexpr size_t block = kGroupLogits * F32::lanes;
  const RowParameters& parameters = *rule.parameters;
  if (n <= kGroupVocab || parameters.run != GroupedLanes::run || !is_unit_place(rule.place, parameters)) return false;
  GroupedLanes lanes(unit_row_terms(rule));
  size_t i = 0;
  for (; i + block <= n; i += block) {
    F32 v[F32::lanes];
#pragma GCC unroll 2
    for (size_t half = 0; half < F32::lanes; half += GroupedLanes::run) {
      F32 sum = set(0.0f);
#pragma GCC unroll 8
      for (size_t g = half; g < half + GroupedLanes::run; g++) v[g] = lanes.add(load(x + i + g * kGroupLogits), sum);
      lanes.sum.add(sum);
    }
    store(groups + i / kGroupLogits, row_sums(v));
  }
  if (i < n) {
    F32 v[F32::lanes];
    for (F32& group : v) group = set(0.0f);
    const size_t whole = n / F32::lanes * F32::lanes;
    F32 sum = set(0.0f);
    for (size_t at = i, g = 0; at < n; at += kGroupLogits, g++) {
      // What does not fill a vector is a run of its own.
      if (at == whole || (g > 0 && g % GroupedLanes::run == 0)) {
        lanes.sum.add(sum);
        sum = set(0.0f);
      }
      v[g] = lanes.add(load_padded(x + at, n - at), sum);
    }
    lanes.sum.add(sum);
    store(groups + i / kGroupLogits, row_sums(v));
  }
  const TriedPlace tried = tried_place(rule.place, parameters);
  const float max = reduce_max(lanes.max);
  const double sum = lanes.sum.total() * (1.0 / UnitFormula<true>::scale);
  if (!(max >= tried.lowest && max <= tried.highest && sum == sum)) return false;
  state = empty_row();
  state.max = max;
  state.place = rule.place;
  state.unit_max = true;
  state.sums.sum = state.sums.unit = sum;
  return true;
}
#else
inline bool read_groups(const float*, size_t, const TermRule&, RowState&, float*) { return false; }
#endif
