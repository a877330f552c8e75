// One pass over rows of logits: the sum of a row's terms, and on request what the entropy and the rank of the target
// need. After kernels/row_block.inl.hpp.
//
// Structure: blocks of kRowBlock logits, of several rows at once. A block's terms are formed at the place chosen
// before, its maximum on the way; only the block of a row that the place does not fit is done again, from the cache,
// alone.

// Which kernel read some blocks.
enum class Reading { general, packed };

// The blocks of so many rows at a place, by the packed kernel where that can.
template <class T, bool Weighted, bool Greater, size_t Rows>
COVN_INLINE Reading read_blocks(const T* const* blocks, size_t n, Place place, const float* centres,
                                const float* targets, const Terms& terms, const RowParameters& parameters,
                                bool& clamped, BlockSums* sums) {
  if constexpr (PackedBlock<T>::available) {
    if (PackedBlock<T>::place_fits(place, parameters)) {
      PackedBlock<T>::template terms<Weighted, Greater, Rows>(blocks, n, place, centres, targets, terms, parameters,
                                                              clamped, sums);
      return Reading::packed;
    }
  }
  block_terms<T, Weighted, Greater, false, Rows>(blocks, n, place, centres, targets, terms, parameters, sums);
  return Reading::general;
}

// Which kernel a place is for, if the logits allow it.
template <class T>
COVN_INLINE Reading packed_at(Place place, const RowParameters& parameters) {
  if constexpr (PackedBlock<T>::available) {
    if (PackedBlock<T>::place_fits(place, parameters)) return Reading::packed;
  }
  return Reading::general;
}

// How a block of one row was read, and what it adds there.
struct BlockReading {
  Place place;
  float centre;
  Reading reading;
  BlockSums sums;
};

// Whether the block was read where and as its row's largest logit so far says; if not, changes that for the next time.
template <class T, bool Weighted>
COVN_INLINE bool holds(BlockReading& block, float running, const RowParameters& parameters) {
  if (!(block.sums.max > -COVN_INFINITY && block.sums.max < COVN_INFINITY)) return true;
  bool good = place_fits(block.place, running, parameters);
  if (!good) block.place = place_of(running, parameters);
  if constexpr (PackedBlock<T>::available) {
    // Which kernel forms a block must not depend on where it was tried.
    const bool packed = parameters.unit_temperature && PackedBlock<T>::fits(running);
    if (packed && !PackedBlock<T>::place_fits(block.place, parameters)) block.place = place_of(running, parameters);
    good = good && packed == (block.reading == Reading::packed);
    block.reading = packed ? Reading::packed : Reading::general;
  }
  // Weights relative to a logit this far below the largest would round too much.
  if (Weighted && block.sums.max - block.centre > static_cast<float>(8.0 * parameters.temperature)) {
    block.centre = block.sums.max;
    good = false;
  }
  return good;
}

// Reads a block again, until that holds. Seldom called, so it is not made part of its callers.
template <class T, bool Weighted, bool Greater>
COVN_NOINLINE void read_again(const T* x, size_t n, float target, float row_max, const Terms& terms,
                              const RowParameters& parameters, bool& clamped, BlockReading& block) {
  do {
    if (block.reading == Reading::packed) {
      read_blocks<T, Weighted, Greater, 1>(&x, n, block.place, &block.centre, &target, terms, parameters, clamped,
                                           &block.sums);
    } else {
      block_terms<T, Weighted, Greater, true, 1>(&x, n, block.place, &block.centre, &target, terms, parameters,
                                                 &block.sums);
    }
  } while (!holds<T, Weighted>(block, block.sums.max > row_max ? block.sums.max : row_max, parameters));
}

// Adds a block to its row.
COVN_INLINE void add_block(const BlockReading& block, const RowParameters& parameters, RowState& row) {
  const BlockSums& sums = block.sums;
  // Nothing but -inf: what the sum holds are the floor's terms. A NaN shows in the packed kernel's maximum, or in the
  // general one's sum.
  if (sums.max == -COVN_INFINITY && (block.reading == Reading::packed || sums.sum == sums.sum)) return;
  if (sums.sum != sums.sum || !(sums.max < COVN_INFINITY)) {
    row.sums.sum = COVN_NAN;
    return;
  }
  const bool packed = block.reading == Reading::packed, rises = sums.max > row.max;
  const float largest = rises ? sums.max : row.max;
  row.move(block.place, largest, parameters);
  row.greater += sums.greater;
  row.sums.sum += sums.sum;
  if (packed) row.sums.packed += sums.sum;
  row.sums.weighted += sums.weighted;
  if (rises) row.packed_max = packed;
  row.max = largest;
}

// Entries row .. row + Rows of the batch. Rows are tried first at `place`, which follows the first of them.
template <class T, bool Weighted, bool Greater, size_t Rows>
COVN_INLINE void accumulate_together(const T* const* rows, size_t n, const float* targets, const Terms& terms,
                                     const RowParameters& parameters, Place& place, size_t row, RowBatch& batch) {
  RowState states[Rows];
  for (RowState& state : states) state = empty_row();
  bool clamped = false, apart = false;
  for (size_t start = 0; start < n; start += kRowBlock) {
    const size_t size = n - start < kRowBlock ? n - start : kRowBlock;
    const T* blocks[Rows];
    float centres[Rows];
    for (size_t r = 0; r < Rows; r++) {
      blocks[r] = rows[r] + start;
      if (!Weighted) continue;
      centres[r] = states[r].max > -COVN_INFINITY ? states[r].max : block_maximum(blocks[r], size);
      if (centres[r] == -COVN_INFINITY || centres[r] == COVN_INFINITY) centres[r] = 0.0f;
    }
    BlockSums sums[Rows];
    Reading reading = Reading::general;
    if (!apart) {
      reading = read_blocks<T, Weighted, Greater, Rows>(blocks, size, place, centres, targets, terms, parameters,
                                                        clamped, sums);
    }
    bool misfits = false;
    for (size_t r = 0; r < Rows; r++) {
      if (states[r].sums.sum != states[r].sums.sum) continue;  // NaN
      BlockReading block{place, Weighted ? centres[r] : 0.0f, reading, {}};
      bool good = false;
      if (apart) {
        if (!states[r].empty()) block.place = states[r].place;
        block.reading = packed_at<T>(block.place, parameters);
      } else {
        block.sums = sums[r];
        good = holds<T, Weighted>(block, sums[r].max > states[r].max ? sums[r].max : states[r].max, parameters);
      }
      if (!good) {
        read_again<T, Weighted, Greater>(blocks[r], size, Greater ? targets[r] : 0.0f, states[r].max, terms, parameters,
                                         clamped, block);
      }
      add_block(block, parameters, states[r]);
      // Row 0 is followed; another that has no place in common with it is read alone from here on, not twice.
      misfits = misfits || (r > 0 && start > 0 && !good);
    }
    apart = apart || misfits;
    // A place with an origin is for its own row.
    if (!states[0].empty() && states[0].place.origin == 0.0f) place = states[0].place;
  }
  // For the rows that come next.
  if (!states[0].empty() && is_small(states[0].max, parameters)) place = place_of(states[0].max, parameters);
  for (size_t r = 0; r < Rows; r++) {
    // Field by field: a row that was written as a whole could not be read in parts without a stall.
    batch.set_place(row + r, states[r].place, parameters);
    batch.max[row + r] = states[r].max;
    batch.packed_max[row + r] = states[r].packed_max;
    batch.set_sums(row + r, states[r].sums);
    batch.greater[row + r] = states[r].greater;
  }
}

// rows [count], each of n logits; targets [count] for Greater. Up to kRowStreams that follow one another are read at
// the same time.
template <class T, bool Weighted, bool Greater>
void accumulate_rows(const T* const* rows, size_t count, size_t n, const float* targets,
                     const RowParameters& parameters, RowBatch& batch) {
  if (n <= kGroupVocab) return accumulate_groups<T, Weighted, Greater>(rows, count, n, targets, parameters, batch);
  if (count == 0) return;
  const Terms terms = load_terms(parameters);
  Place place = shared_place(rows[0], n < kRowBlock ? n : kRowBlock, parameters);
  // As many as fit the registers.
  constexpr size_t together = F32::lanes >= 16 && !Weighted ? kRowStreams : kRowStreams / 2;
  size_t row = 0;
  for (; row + together <= count; row += together) {
    accumulate_together<T, Weighted, Greater, together>(rows + row, n, targets + row, terms, parameters, place, row,
                                                        batch);
  }
  for (; row < count; row++) {
    accumulate_together<T, Weighted, Greater, 1>(rows + row, n, targets + row, terms, parameters, place, row, batch);
  }
}
