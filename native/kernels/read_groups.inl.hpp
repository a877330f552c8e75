// Rows that are drawn from: one reading of a piece gives its sum, as kernels/row.inl.hpp has it, and the sums of its
// groups, as kernels/sample.inl.hpp has them. After both.

// As RowLanes. Not clamped: of logits that are no less than the place's floor, which `low` tells.
template <class Formula>
struct GroupedLanes {
  const RowTerms<Formula> terms;
  F32 max, low;
  WideSum sum;

  COVN_MEMBER_INLINE explicit GroupedLanes(const RowTerms<Formula>& t)
      : terms(t), max(set(-COVN_INFINITY)), low(set(COVN_INFINITY)) {}
  // Gives the terms.
  template <bool Clamped>
  COVN_MEMBER_INLINE F32 add(F32 x, F32& run_sum) {
    max = max_ignoring_nan(x, max);
    if (!Clamped) low = min_keeping_nan(low, x);
    const Term e = terms.formula.term(Clamped ? terms.formula.distance(x) : x);
    run_sum = fma(e.scale, e.polynomial, run_sum);
    return Clamped ? keep_at_least(product(e), x, terms.least) : product(e);
  }
};

struct GroupedSums {
  float max, low;
  double sum;
};

template <bool Clamped, class Formula, class T>
COVN_INLINE GroupedSums read_groups_by(const RowTerms<Formula>& terms, const T* x, size_t n, ReadAhead& ahead,
                                       float* groups) {
  constexpr size_t vectors = GroupTerms::vectors, block = kGroupLogits * F32::lanes;
  constexpr size_t run = run_length(kPieceLogits, F32::lanes);
  GroupedLanes<Formula> lanes(terms);
  size_t i = 0;
  for (; i + block <= n; i += block) {
    F32 v[F32::lanes], sum = set(0.0f);
    if (F32::lanes == kMaxLanes) ahead.step();  // narrower vectors ask for what they read
#pragma GCC unroll 16
    for (size_t k = 0; k < kGroupLogits; k++) {
      if (F32::lanes < kMaxLanes && k * F32::lanes * sizeof(T) % kLineBytes == 0) prefetch(x + i + k * F32::lanes);
      const F32 term = lanes.template add<Clamped>(load(x + i + k * F32::lanes), sum);
      F32& group = v[k / vectors];
      group = k % vectors == 0 ? term : add(group, term);
      if ((k + 1) % run > 0) continue;
      lanes.sum.add(sum);
      sum = set(0.0f);
    }
    store(groups + i / kGroupLogits, row_sums(v));
  }
  if (i < n) {
    F32 v[F32::lanes], sum = set(0.0f);
    for (F32& group : v) group = set(0.0f);
    const size_t whole = n / F32::lanes * F32::lanes;
    for (size_t at = i, k = 0; at < n; at += F32::lanes, k++) {
      // What does not fill a vector is a run of its own.
      if (at == whole || (k > 0 && k % run == 0)) {
        lanes.sum.add(sum);
        sum = set(0.0f);
      }
      const F32 term = lanes.template add<true>(load_padded(x + at, n - at), sum);
      F32& group = v[k / vectors];
      group = k % vectors == 0 ? term : add(group, term);
    }
    lanes.sum.add(sum);
    store(groups + i / kGroupLogits, row_sums(v));
  }
  const float low = -reduce_max(sub(set(0.0f), lanes.low));
  return {reduce_max(lanes.max), low, lanes.sum.total() * (1.0 / Formula::scale)};
}

template <class Formula, class T>
COVN_INLINE GroupedSums read_groups_from(const RowTerms<Formula>& terms, const T* x, size_t n, ReadAhead& ahead,
                                         float floor, bool& clamped, float* groups) {
  if (!clamped) {
    const GroupedSums sums = read_groups_by<false>(terms, x, n, ahead, groups);
    clamped = !(sums.low >= floor);
    if (!clamped) return sums;
  }
  return read_groups_by<true>(terms, x, n, ahead, groups);
}

// Of a piece of n <= kPieceLogits logits: `state` to the bit as if it were a row, and sums of groups [.], memory for a
// multiple of 16. Terms are formed at the place given, by the formula that is the place's. `clamped`: whether logits
// below the place's floor are to be expected; found out if not known. False where the piece does not suit: of logits
// that do not fit the place, or of another order of sums.
template <class T>
bool read_groups(const T* x, size_t n, ReadAhead& ahead, const RowParameters& parameters, Place place, bool& clamped,
                 RowState& state, float* groups) {
  const TriedPlace tried = tried_place(place, parameters);
  if (n <= kGroupVocab || parameters.run != run_length(kPieceLogits, F32::lanes) || place.origin != 0.0f) return false;
  GroupedSums sums;
  const TermRule rule{place, tried.unit, std::numeric_limits<float>::lowest(), &parameters};
#if COVN_TARGET_UNIT_TERMS
  if (tried.unit && sizeof(T) == 2) return false;  // PackedRows
  if (tried.unit) {
    sums = read_groups_from(unit_row_terms(rule), x, n, ahead, tried.floor, clamped, groups);
  } else
#endif
  {
    const Terms terms = load_terms(parameters);
    const RowTerms<GeneralFormula<false>> general{{place, terms, parameters}, set(rule.least)};
    sums = read_groups_from(general, x, n, ahead, tried.floor, clamped, groups);
  }
  if (!(sums.max >= tried.lowest && sums.max <= tried.highest && sums.sum == sums.sum)) return false;
  state = empty_row();
  state.max = sums.max;
  state.place = place;
  state.unit_max = tried.unit;
  state.sums.sum = sums.sum;
  state.sums.unit = tried.unit ? sums.sum : 0.0;
  return true;
}
