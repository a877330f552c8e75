// One pass over a row of logits: the sum of its terms, and on request what the entropy and the rank of the target need.
// After kernels/row_block.inl.hpp.
//
// Structure: blocks of kRowBlock logits. A block's terms are formed at the place chosen before, its maximum on the way;
// only a block that rises 60 octaves above it is done again, from the first-level cache.

// The place for a row that begins with these logits.
template <class T>
COVN_INLINE Place first_place(const T* x, size_t n, const RowParameters& parameters) {
  // The largest of the first few is near enough to the block's.
  float guess = block_maximum(x, n < kStep ? n : kStep);
  if (guess == -COVN_INFINITY) guess = block_maximum(x, n);
  return place_of(guess > -COVN_INFINITY && guess < COVN_INFINITY ? guess : 0.0f, parameters);
}

// `hint`: a place to try first, such as that of the row before; any will do.
template <class T, bool Weighted, bool Greater>
RowState accumulate_row(const T* x, size_t n, float target, const RowParameters& parameters, Place hint) {
  const Terms terms = load_terms(parameters);
  RowState state = empty_row();
  Place place = hint.octave != kNoPlace.octave ? hint : first_place(x, n < kRowBlock ? n : kRowBlock, parameters);
  for (size_t start = 0; start < n;) {
    const T* block = x + start;
    const size_t size = n - start < kRowBlock ? n - start : kRowBlock;
    BlockSums sums;
    bool packed = false;
    if constexpr (PackedBlock<T>::available) {
      if (PackedBlock<T>::fits(centre_of(place, parameters), parameters)) {
        sums = PackedBlock<T>::template terms<Weighted, Greater>(block, size, place, target, terms, parameters);
        packed = PackedBlock<T>::fits(sums.max, parameters);
      }
    }
    if (!packed) sums = block_terms<T, Weighted, Greater>(block, size, place, target, terms, parameters);
    const bool finite_max = sums.max > -COVN_INFINITY && sums.max < COVN_INFINITY;
    if (finite_max && !place_fits(place, sums.max, state.empty(), parameters)) {
      place = place_of(sums.max, parameters);
      state.move_to(place, parameters);
      continue;
    }
    if (sums.sum != sums.sum || sums.max == COVN_INFINITY) {
      state.sum = COVN_NAN;
      return state;
    }
    state.greater += sums.greater;
    start += size;
    if (!finite_max) continue;  // nothing but -inf: what the sum holds are the floor's terms
    if (sums.max > state.max) {
      state.max = sums.max;
      state.packed_max = packed;
    }
    state.place = place;
    state.sum += sums.sum;
    state.weighted += sums.weighted;
  }
  return state;
}
