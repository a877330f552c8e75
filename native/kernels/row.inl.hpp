// One pass over a row of logits: the sum of its terms, and on request what the entropy and the rank of the target need.
// After kernels/row_block.inl.hpp.
//
// Structure: blocks of kRowBlock logits. A block's terms are formed at the place chosen before, its maximum on the way;
// only a block that rises 60 octaves above it is done again, from the first-level cache.

// Adds a row's blocks to entry `row` of the batch, from `place` on, and leaves there where it ended.
template <class T, bool Weighted, bool Greater>
COVN_INLINE void accumulate_row(const T* x, size_t n, float target, const Terms& terms, const RowParameters& parameters,
                                Place& place, size_t row, RowBatch& batch) {
  float max = -COVN_INFINITY;
  RowSums total = no_sums();
  int64_t greater = 0;
  bool packed_max = false, clamped = false;
  // Weights relative to a logit this far below the largest would round too much.
  const float reach = static_cast<float>(8.0 * parameters.temperature);
  float centre = -COVN_INFINITY;  // not chosen yet for the block
  for (size_t start = 0; start < n;) {
    const T* block = x + start;
    const size_t size = n - start < kRowBlock ? n - start : kRowBlock;
    if (Weighted && centre == -COVN_INFINITY) centre = max > -COVN_INFINITY ? max : block_maximum(block, size);
    if (centre == -COVN_INFINITY || centre == COVN_INFINITY) centre = 0.0f;
    BlockSums sums;
    bool packed = false;
    if constexpr (PackedBlock<T>::available) {
      if (PackedBlock<T>::place_fits(place, parameters)) {
        sums = PackedBlock<T>::template terms<Weighted, Greater>(block, size, place, centre, target, terms, parameters,
                                                                 clamped);
        packed = sums.max != sums.max || PackedBlock<T>::fits(sums.max > max ? sums.max : max);
      }
    }
    if (!packed) {
      sums = place.origin == 0.0f
                 ? block_terms<T, Weighted, Greater, false>(block, size, place, centre, target, terms, parameters)
                 : block_terms<T, Weighted, Greater, true>(block, size, place, centre, target, terms, parameters);
    }
    if constexpr (PackedBlock<T>::available) {
      // Which kernel forms a block must not depend on where it was tried.
      const float running = sums.max > max ? sums.max : max;
      if (!packed && parameters.unit_temperature && PackedBlock<T>::fits(running)) {
        const Place to = place_of(running, parameters);
        total.move(place, to, parameters);
        place = to;
        continue;
      }
    }
    const bool finite_max = sums.max > -COVN_INFINITY && sums.max < COVN_INFINITY;
    if (finite_max && !place_fits(place, sums.max, total.sum == 0.0, parameters)) {
      const Place to = place_of(sums.max, parameters);
      total.move(place, to, parameters);
      place = to;
      continue;
    }
    if (Weighted && finite_max && sums.max - centre > reach) {
      centre = sums.max;
      continue;
    }
    if (sums.sum != sums.sum || !(sums.max < COVN_INFINITY)) {
      total.sum = COVN_NAN;
      break;
    }
    greater += sums.greater;
    start += size;
    centre = -COVN_INFINITY;
    if (!finite_max) continue;  // nothing but -inf: what the sum holds are the floor's terms
    if (sums.max > max) {
      max = sums.max;
      packed_max = packed;
    }
    total.sum += sums.sum;
    if (packed) total.packed += sums.sum;
    total.weighted += sums.weighted;
  }
  // Field by field: a row that was written as a whole could not be read in parts without a stall.
  batch.set_place(row, place, parameters);
  batch.max[row] = max;
  batch.packed_max[row] = packed_max;
  batch.set_sums(row, total);
  batch.greater[row] = greater;
}

// rows [count], each of n logits; targets [count] for Greater. Each row is tried first at the place of the one before;
// any would do.
template <class T, bool Weighted, bool Greater>
void accumulate_rows(const T* const* rows, size_t count, size_t n, const float* targets,
                     const RowParameters& parameters, RowBatch& batch) {
  if (n <= kGroupVocab) return accumulate_groups<T, Weighted, Greater>(rows, count, n, targets, parameters, batch);
  const Terms terms = load_terms(parameters);
  Place place{0.0f, 0};
  for (size_t row = 0; row < count; row++) {
    // A place with an origin is for its own row.
    if (row == 0 || place.origin != 0.0f) place = first_place(rows[row], n < kRowBlock ? n : kRowBlock, parameters);
    accumulate_row<T, Weighted, Greater>(rows[row], n, Greater ? targets[row] : 0.0f, terms, parameters, place, row,
                                         batch);
  }
}
