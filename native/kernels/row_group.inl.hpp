// As many short rows at once as a vector has lanes: the sums across lanes, which cost a short row more than its terms,
// are taken for all of them together. After kernels/row.inl.hpp.
//
// The rows share a place, which is tried before their largest logits are known. A row that it does not fit is done again
// at its own; as places change no rounding, a row's bits do not depend on its company.

// One value a row.
struct GroupSums {
  float max[F32::lanes], sum[F32::lanes], weighted[F32::lanes];
  int64_t greater[F32::lanes];
};

// Fills the first `count` rows of the sums.
template <class T, bool Weighted, bool Greater>
COVN_INLINE void group_terms(const T* const* rows, size_t count, size_t n, const float* targets, Place place,
                             const Terms& terms, const RowParameters& parameters, GroupSums& sums) {
  const Window w = window_at(place, parameters);
  const F32 centre = set(centre_of(place, parameters)), lowest = set(-COVN_INFINITY);
  F32 max[F32::lanes], sum[F32::lanes], weighted[F32::lanes];
  for (size_t row = count; row < F32::lanes; row++) max[row] = sum[row] = weighted[row] = set(0.0f);
  for (size_t row = 0; row < count; row++) {
    const float target = Greater ? targets[row] : 0.0f;
    F32 m = lowest, s = set(0.0f), ws = s;
    GreaterCounter greater;
    for (size_t i = 0; i < n; i += F32::lanes) {
      prefetch(rows[row] + i);
      const F32 x = load_padded(rows[row] + i, n - i);
      m = max_ignoring_nan(x, m);
      const F32 d = distance(x, w);
      const Term e = term(d, terms, w);
      s = fma(e.scale, e.polynomial, s);
      if (Weighted) ws = fma(product(e), sub(d, centre), ws);
      if (Greater) greater.count(x, set(target));
    }
    max[row] = m;
    sum[row] = s;
    if (Weighted) weighted[row] = ws;
    if (Greater) sums.greater[row] = greater.total();
  }
  store(sums.max, row_maxima(max));
  store(sums.sum, row_sums(sum));
  if (Weighted) store(sums.weighted, row_sums(weighted));
}

// rows [lanes], each of n <= kGroupVocab logits; the same pointer may stand for several.
template <class T, bool Weighted, bool Greater>
void accumulate_group(const T* const* rows, size_t n, const float* targets, const RowParameters& parameters, Place hint,
                      RowState* states) {
  const Terms terms = load_terms(parameters);
  // A place with an origin is for one row.
  const Place shared = hint.octave != kNoPlace.octave && hint.origin == 0.0f ? hint : first_place(rows[0], n, parameters);
  GroupSums together, alone;
  group_terms<T, Weighted, Greater>(rows, F32::lanes, n, targets, shared, terms, parameters, together);
  for (size_t row = 0; row < F32::lanes; row++) {
    RowState& state = states[row];
    const float max = together.max[row];
    state.max = max;
    state.place = shared;
    state.packed_max = false;
    state.sum = together.sum[row];
    state.weighted = Weighted ? together.weighted[row] : 0.0;
    state.greater = Greater ? together.greater[row] : 0;
    if (shared.origin == 0.0f && place_fits(shared, max, true, parameters)) continue;
    if (max == COVN_INFINITY) {
      state.sum = COVN_NAN;
    } else if (max == -COVN_INFINITY) {
      if (state.sum == state.sum) state.sum = 0.0;
    } else {
      state.place = place_of(max, parameters);
      group_terms<T, Weighted, Greater>(rows + row, 1, n, targets + row, state.place, terms, parameters, alone);
      state.sum = alone.sum[0];
      if (Weighted) state.weighted = alone.weighted[0];
    }
  }
}
