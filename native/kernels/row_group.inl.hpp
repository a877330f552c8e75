// As many short rows at once as a vector has lanes: the sums across lanes, which cost a short row more than its terms,
// are taken for all of them together. After kernels/row_block.inl.hpp.
//
// The rows share a place, which is tried before their largest logits are known. A row that it does not fit is done
// again at its own; as places change no rounding, a row's bits do not depend on its company.

// One value a row.
struct GroupSums {
  float max[F32::lanes];
  double sum[F32::lanes], weighted[F32::lanes];
  int64_t greater[F32::lanes];
  bool nan;  // in some sum
};

// The largest logits of the first `count` rows.
template <class T>
COVN_INLINE void group_maxima(const T* const* rows, size_t count, size_t n, float* maxima) {
  F32 max[F32::lanes];
  for (size_t row = 0; row < F32::lanes; row++) {
    F32 m = set(-COVN_INFINITY);
    for (size_t i = 0; row < count && i < n; i += F32::lanes)
      m = max_ignoring_nan(load_padded(rows[row] + i, n - i), m);
    max[row] = m;
  }
  store(maxima, row_maxima(max));
}

// Fills the first `count` rows of the sums.
template <class Formula, bool Weighted, bool Greater, class T>
COVN_INLINE void group_terms(const T* const* rows, size_t count, size_t n, const float* targets, Place place,
                             const Terms& terms, const RowParameters& parameters, GroupSums& sums) {
  const Formula formula(place, terms, parameters);
  const size_t whole = n / F32::lanes * F32::lanes;
  F32 max[F32::lanes], sum[F32::lanes], weighted[F32::lanes];
  if (Weighted) group_maxima(rows, count, n, sums.max);
  for (size_t row = count; row < F32::lanes; row++) max[row] = sum[row] = weighted[row] = set(0.0f);
  for (size_t row = 0; row < count; row++) {
    const T* x = rows[row];
    const F32 target = set(Greater ? targets[row] : 0.0f);
    // Weights are relative to the row's own largest logit, as in block_terms.
    const float centre = Weighted && sums.max[row] > -COVN_INFINITY ? sums.max[row] - place.origin : 0.0f;
    const F32 largest = set(centre);
    RowLanes<Weighted, Greater> lanes;
    RowRun run;
    for (size_t i = 0; i < whole; i += F32::lanes) {
      prefetch(x + i);
      lanes.add(load(x + i), formula, largest, target, run);
    }
    if (whole < n) lanes.add(load_padded(x + whole, n - whole), formula.padded(), largest, target, run);
    max[row] = run.max;
    sum[row] = run.sum;
    if (Weighted) weighted[row] = run.weighted;
    if (Greater) sums.greater[row] = lanes.greater.total();
  }
  float lanes_of_sums[F32::lanes];
  store(sums.max, row_maxima(max));
  const F32 row_sum = row_sums(sum);
  sums.nan = any_greater(set(0.0f), max_ignoring_nan(row_sum, set(-1.0f)));
  store(lanes_of_sums, row_sum);
  const F64 scale = set64(1.0 / Formula::scale);
  for (size_t i = 0; i < F32::lanes; i += F64::lanes) store64(sums.sum + i, mul(load64(lanes_of_sums + i), scale));
  if (!Weighted) return;
  store(lanes_of_sums, row_sums(weighted));
  for (size_t row = 0; row < count; row++) {
    const float centre = sums.max[row] > -COVN_INFINITY ? sums.max[row] - place.origin : 0.0f;
    sums.weighted[row] = lanes_of_sums[row] * (1.0 / Formula::scale) + static_cast<double>(centre) * sums.sum[row];
  }
}

// A row that the group's place or formula does not fit: its entry of the batch at its own.
template <class T, bool Weighted, bool Greater>
COVN_NOINLINE void place_alone(const T* const* rows, size_t n, const float* targets, float max, size_t row,
                               const Terms& terms, const RowParameters& parameters, RowBatch& batch) {
  const bool finite = max > -COVN_INFINITY && max < COVN_INFINITY;
  const bool unit = finite && is_unit(max, parameters);
  const Place place = finite ? place_of(max, parameters) : Place{0.0f, 0};
  GroupSums sums;
  if (unit) {
    group_terms<UnitFormula<true>, Weighted, Greater>(rows, 1, n, targets, place, terms, parameters, sums);
  } else {
    group_terms<GeneralFormula<true>, Weighted, Greater>(rows, 1, n, targets, place, terms, parameters, sums);
  }
  double sum = sums.sum[0];
  if (max == COVN_INFINITY) sum = COVN_NAN;
  // What it holds are the floor's terms.
  if (max == -COVN_INFINITY && sum == sum) sum = 0.0;
  batch.set_place(row, place, parameters);
  batch.sum[row] = sum;
  batch.unit[row] = unit ? sum : 0.0;
  batch.unit_max[row] = unit ? 1.0f : 0.0f;
  if (Weighted) batch.weighted[row] = sums.weighted[0];
}

// rows [count], each of n <= kGroupVocab logits.
template <class T, bool Weighted, bool Greater>
void accumulate_groups(const T* const* rows, size_t count, size_t n, const float* targets,
                       const RowParameters& parameters, RowBatch& batch) {
  const Terms terms = load_terms(parameters);
  TriedPlace tried{};
  bool chosen = false, clamped = false;
  for (size_t start = 0; start < count; start += F32::lanes) {
    const size_t group = count - start < F32::lanes ? count - start : F32::lanes;
    if (!chosen) tried = tried_place(shared_place(rows[start], n, parameters), parameters);
    chosen = true;
    const Place place = tried.place;
    const bool unit = tried.unit;
    GroupSums sums;
    if (!unit) {
      group_terms<GeneralFormula<false>, Weighted, Greater>(rows + start, group, n, targets + start, place, terms,
                                                            parameters, sums);
    } else if (!clamped) {
      group_terms<UnitFormula<false>, Weighted, Greater>(rows + start, group, n, targets + start, place, terms,
                                                         parameters, sums);
      clamped = sums.nan;
    }
    if (unit && clamped) {
      group_terms<UnitFormula<true>, Weighted, Greater>(rows + start, group, n, targets + start, place, terms,
                                                        parameters, sums);
    }
    store(batch.origin + start, set(0.0f));
    store(batch.magic + start, set(tried.magic));
    store(batch.floor + start, set(tried.floor));
    store(batch.octave + start, set(static_cast<float>(place.octave)));
    store(batch.unit_max + start, set(unit ? 1.0f : 0.0f));
    store(batch.max + start, load(sums.max));
    for (size_t i = 0; i < F32::lanes; i += F64::lanes) {
      const F64 sum = load64(sums.sum + i);
      store64(batch.sum + start + i, sum);
      store64(batch.unit + start + i, unit ? sum : set64(0.0));
    }
    for (size_t i = 0; i < F32::lanes; i++) {
      batch.weighted[start + i] = Weighted ? sums.weighted[i] : 0.0;
      batch.greater[start + i] = Greater ? sums.greater[i] : 0;
    }
    const F32 max = load(batch.max + start);
    if (!sums.nan && !any_greater(max, set(tried.highest)) && !any_greater(set(tried.lowest), max)) continue;
    for (size_t row = 0; row < group; row++) {
      const float row_max = sums.max[row];
      if (row_max >= tried.lowest && row_max <= tried.highest && sums.sum[row] == sums.sum[row]) continue;
      place_alone<T, Weighted, Greater>(rows + start + row, n, targets + start + row, row_max, start + row, terms,
                                        parameters, batch);
    }
    chosen = false;
  }
}
