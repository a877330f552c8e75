// As many short rows at once as a vector has lanes: the sums across lanes, which cost a short row more than its terms,
// are taken for all of them together. After kernels/row_block.inl.hpp.
//
// The rows share a place, which is tried before their largest logits are known. A row that it does not fit is done
// again at its own; as places change no rounding, a row's bits do not depend on its company.

// One value a row.
struct GroupSums {
  float max[F32::lanes], sum[F32::lanes];
  double weighted[F32::lanes];
  int64_t greater[F32::lanes];
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
template <class T, bool Weighted, bool Greater, bool Shifted>
COVN_INLINE void group_terms(const T* const* rows, size_t count, size_t n, const float* targets, Place place,
                             const Terms& terms, const RowParameters& parameters, GroupSums& sums) {
  const Window w = window_at(place, parameters);
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
    for (size_t i = 0; i < whole; i += F32::lanes) {
      prefetch(x + i);
      lanes.template add<Shifted>(load(x + i), terms, w, largest, target);
    }
    if (whole < n) lanes.template add<Shifted>(load_padded(x + whole, n - whole), terms, w, largest, target);
    max[row] = lanes.max;
    sum[row] = lanes.sum;
    if (Weighted) weighted[row] = lanes.weighted;
    if (Greater) sums.greater[row] = lanes.greater.total();
  }
  store(sums.max, row_maxima(max));
  store(sums.sum, row_sums(sum));
  if (!Weighted) return;
  float by_centre[F32::lanes];
  store(by_centre, row_sums(weighted));
  for (size_t row = 0; row < count; row++) {
    const float centre = sums.max[row] > -COVN_INFINITY ? sums.max[row] - place.origin : 0.0f;
    sums.weighted[row] = by_centre[row] + static_cast<double>(centre) * sums.sum[row];
  }
}

// A row that the group's place does not fit: its entry of the batch at its own place.
template <class T, bool Weighted, bool Greater>
COVN_INLINE void place_alone(const T* const* rows, size_t n, const float* targets, float max, size_t row,
                             const Terms& terms, const RowParameters& parameters, RowBatch& batch) {
  if (max == COVN_INFINITY) {
    batch.sum[row] = COVN_NAN;
  } else if (max == -COVN_INFINITY) {
    if (batch.sum[row] == batch.sum[row]) batch.sum[row] = 0.0;
  } else {
    const Place place = place_of(max, parameters);
    GroupSums sums;
    group_terms<T, Weighted, Greater, true>(rows, 1, n, targets, place, terms, parameters, sums);
    batch.set_place(row, place, parameters);
    batch.sum[row] = sums.sum[0];
    if (Weighted) batch.weighted[row] = sums.weighted[0];
  }
}

// rows [count], each of n <= kGroupVocab logits.
template <class T, bool Weighted, bool Greater>
void accumulate_groups(const T* const* rows, size_t count, size_t n, const float* targets,
                       const RowParameters& parameters, RowBatch& batch) {
  const Terms terms = load_terms(parameters);
  Place place{0.0f, kNoOctave};
  float lowest = 0.0f, highest = 0.0f;
  for (size_t start = 0; start < count; start += F32::lanes) {
    const size_t group = count - start < F32::lanes ? count - start : F32::lanes;
    if (place.octave == kNoOctave) {
      place = shared_place(rows[start], n, parameters);
      lowest = offset_of(place.octave - kPlaceBelow, parameters);
      highest = offset_of(place.octave + kPlaceAbove, parameters);
    }
    GroupSums sums;
    group_terms<T, Weighted, Greater, false>(rows + start, group, n, targets + start, place, terms, parameters, sums);
    store(batch.origin + start, set(0.0f));
    store(batch.magic + start, set(magic_of(place, parameters)));
    store(batch.floor + start, set(floor_of(place, parameters)));
    store(batch.octave + start, set(static_cast<float>(place.octave)));
    store(batch.max + start, load(sums.max));
    for (size_t i = 0; i < F32::lanes; i += F64::lanes) store64(batch.sum + start + i, load64(sums.sum + i));
    for (size_t row = 0; row < group; row++) {
      batch.packed_max[start + row] = false;
      batch.packed[start + row] = 0.0;
      batch.weighted[start + row] = Weighted ? sums.weighted[row] : 0.0;
      batch.greater[start + row] = Greater ? sums.greater[row] : 0;
    }
    bool moved = false;
    for (size_t row = 0; row < group; row++) {
      if (sums.max[row] >= lowest && sums.max[row] <= highest && is_small(sums.max[row], parameters)) continue;
      place_alone<T, Weighted, Greater>(rows + start + row, n, targets + start + row, sums.max[row], start + row, terms,
                                        parameters, batch);
      moved = true;
    }
    if (moved) place.octave = kNoOctave;
  }
}
