// One pass over rows of logits: the sum of a row's terms, and on request what the entropy and the rank of the target
// need. After kernels/row_block.inl.hpp and row_packed.inl.hpp.
//
// Structure: blocks of kRowBlock logits, of several rows at once. A block's terms are formed at the place chosen
// before, its maximum on the way; only the block of a row that the place does not fit is done again, from the cache,
// alone.

// Which formula made the terms of some blocks.
enum class Reading { general, unit };

template <class T, bool Weighted, bool Greater, bool Clamped, size_t Rows>
COVN_INLINE void unit_terms_of(const T* const* blocks, size_t n, Place place, const float* centres,
                               const float* targets, const Terms& terms, const RowParameters& parameters,
                               BlockSums* sums) {
#if COVN_TARGET_UNIT_TERMS
  if constexpr (sizeof(T) == 2) {
    return PackedRows<T>::template terms<Weighted, Greater, Clamped, Rows>(blocks, n, place, centres, targets,
                                                                           parameters, sums);
  }
#endif
  block_terms<UnitFormula<Clamped>, Weighted, Greater, Rows>(blocks, n, place, centres, targets, terms, parameters,
                                                             sums);
}

COVN_INLINE Reading reading_at(Place place, const RowParameters& parameters) {
  return is_unit_place(place, parameters) ? Reading::unit : Reading::general;
}

// The blocks of so many rows at a place of origin 0. `clamped`: whether unit rows are to be expected to hold -inf, as
// those with masked tokens do; found out if not known.
template <class T, bool Weighted, bool Greater, size_t Rows>
COVN_INLINE Reading read_blocks(const T* const* blocks, size_t n, Place place, const float* centres,
                                const float* targets, const Terms& terms, const RowParameters& parameters,
                                bool& clamped, BlockSums* sums) {
  const Reading reading = reading_at(place, parameters);
  if (reading == Reading::general) {
    block_terms<GeneralFormula<false>, Weighted, Greater, Rows>(blocks, n, place, centres, targets, terms, parameters,
                                                                sums);
  } else if constexpr (kHasUnitTerms) {
    if (!clamped) {
      unit_terms_of<T, Weighted, Greater, false, Rows>(blocks, n, place, centres, targets, terms, parameters, sums);
      for (size_t r = 0; r < Rows; r++) clamped = clamped || sums[r].sum != sums[r].sum;
    }
    if (clamped) {
      unit_terms_of<T, Weighted, Greater, true, Rows>(blocks, n, place, centres, targets, terms, parameters, sums);
    }
  }
  return reading;
}

// How a block of one row was read, and what it adds there.
struct BlockReading {
  Place place;
  float centre;
  Reading reading;
  BlockSums sums;
};

// Whether the block was read where and as its row's largest logit so far says; if not, changes that for the next time.
template <bool Weighted>
COVN_INLINE bool holds(BlockReading& block, float running, const RowParameters& parameters) {
  if (!(block.sums.max > -COVN_INFINITY && block.sums.max < COVN_INFINITY)) return true;
  bool good = place_fits(block.place, running, parameters);
  if (!good) block.place = place_of(running, parameters);
  if (kHasUnitTerms) {
    // Which formula is used must not depend on where the block was tried.
    const bool unit = is_unit(running, parameters);
    if (unit && !is_unit_place(block.place, parameters)) block.place = place_of(running, parameters);
    good = good && unit == (block.reading == Reading::unit);
    block.reading = unit ? Reading::unit : Reading::general;
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
    if (block.reading == Reading::unit) {
      read_blocks<T, Weighted, Greater, 1>(&x, n, block.place, &block.centre, &target, terms, parameters, clamped,
                                           &block.sums);
    } else {
      block_terms<GeneralFormula<true>, Weighted, Greater, 1>(&x, n, block.place, &block.centre, &target, terms,
                                                              parameters, &block.sums);
    }
  } while (!holds<Weighted>(block, block.sums.max > row_max ? block.sums.max : row_max, parameters));
}

// Adds a block to its row.
COVN_INLINE void add_block(const BlockReading& block, const RowParameters& parameters, RowState& row) {
  const BlockSums& sums = block.sums;
  // Nothing but -inf: what the sum holds are the floor's terms.
  if (sums.max == -COVN_INFINITY && sums.sum == sums.sum) return;
  if (sums.sum != sums.sum || !(sums.max < COVN_INFINITY)) {
    row.sums.sum = COVN_NAN;
    return;
  }
  const bool unit = block.reading == Reading::unit, rises = sums.max > row.max;
  const float largest = rises ? sums.max : row.max;
  row.move(block.place, largest, parameters);
  row.greater += sums.greater;
  row.sums.sum += sums.sum;
  if (unit) row.sums.unit += sums.sum;
  row.sums.weighted += sums.weighted;
  if (rises) row.unit_max = unit;
  row.max = largest;
}

// Moves the place to one that fits all rows so far; false if there is none.
COVN_INLINE bool common_place(const RowState* states, size_t count, const RowParameters& parameters, Place& place) {
  float lowest = COVN_INFINITY, highest = -COVN_INFINITY;
  for (size_t r = 0; r < count; r++) {
    if (!(states[r].sums.sum > 0.0)) continue;
    if (states[r].max < lowest) lowest = states[r].max;
    if (states[r].max > highest) highest = states[r].max;
  }
  if (lowest > highest) return true;
  Place common = place_of(highest, parameters);
  if (common.origin != 0.0f) return false;
  if (!place_fits(common, lowest, parameters)) {
    // As high as the lowest row allows.
    if (!is_small(lowest, parameters)) return false;
    common.octave = octave_of(lowest, parameters) + kPlaceBelow;
    if (!place_fits(common, highest, parameters)) return false;
  }
  place = common;
  return true;
}

// Where the sums of the spans of a row's block are wanted.
COVN_INLINE double* spans_of(const RowBatch& batch, size_t row, size_t start) {
  return batch.spans != nullptr ? batch.spans + row * batch.row_spans + start / kSpanLogits : nullptr;
}

// How often rows read together may change their place before each is read at its own.
constexpr size_t kMaxMoves = 8;

// Entries row .. row + Rows of the batch. Rows are tried first at `place`, which follows them.
template <class T, bool Weighted, bool Greater, size_t Rows>
COVN_INLINE void accumulate_together(const T* const* rows, size_t n, const float* targets, const Terms& terms,
                                     const RowParameters& parameters, bool& clamped, Place& place, size_t row,
                                     RowBatch& batch) {
  RowState states[Rows];
  for (RowState& state : states) state = empty_row();
  bool apart = false;
  size_t moves = 0;
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
    for (size_t r = 0; r < Rows; r++) sums[r].spans = spans_of(batch, row + r, start);
    Reading reading = Reading::general;
    if (!apart) {
      reading = read_blocks<T, Weighted, Greater, Rows>(blocks, size, place, centres, targets, terms, parameters,
                                                        clamped, sums);
    }
    bool moved = false;
    for (size_t r = 0; r < Rows; r++) {
      if (states[r].sums.sum != states[r].sums.sum) continue;  // NaN
      BlockReading block{place, Weighted ? centres[r] : 0.0f, reading, {}};
      block.sums.spans = sums[r].spans;
      bool good = false;
      if (apart) {
        if (!states[r].empty()) block.place = states[r].place;
        block.reading = reading_at(block.place, parameters);
      } else {
        block.sums = sums[r];
        good = holds<Weighted>(block, sums[r].max > states[r].max ? sums[r].max : states[r].max, parameters);
      }
      if (!good) {
        read_again<T, Weighted, Greater>(blocks[r], size, Greater ? targets[r] : 0.0f, states[r].max, terms, parameters,
                                         clamped, block);
      }
      add_block(block, parameters, states[r]);
      if (batch.blocks != nullptr && n > kRowBlock) {
        // As if there were no other block: how one is formed within its row depends on those before.
        BlockReading own = block;
        if (!holds<Weighted>(own, own.sums.max, parameters)) {
          read_again<T, Weighted, Greater>(blocks[r], size, Greater ? targets[r] : 0.0f, -COVN_INFINITY, terms,
                                           parameters, clamped, own);
        }
        RowState& state = batch.blocks[(row + r) * batch.row_blocks + start / kRowBlock];
        state = empty_row();
        add_block(own, parameters, state);
      }
      moved = moved || !(block.place == place) || block.reading != reading;
    }
    if (moved && !apart) apart = ++moves > kMaxMoves || !common_place(states, Rows, parameters, place);
  }
  // For the rows that come next.
  if (!states[0].empty() && is_small(states[0].max, parameters)) place = place_of(states[0].max, parameters);
  for (size_t r = 0; r < Rows; r++) {
    // Field by field: a row that was written as a whole could not be read in parts without a stall.
    batch.set_place(row + r, states[r].place, parameters);
    batch.max[row + r] = states[r].max;
    batch.unit_max[row + r] = states[r].unit_max ? 1.0f : 0.0f;
    batch.set_sums(row + r, states[r].sums);
    batch.greater[row + r] = states[r].greater;
  }
}

// The same of rows of one block that all fit the place; false, and nothing written, if they do not.
template <class T, bool Weighted, bool Greater, size_t Rows>
COVN_INLINE bool accumulate_fitting(const T* const* rows, size_t n, const float* targets, const Terms& terms,
                                    const RowParameters& parameters, bool& clamped, const TriedPlace& tried, size_t row,
                                    RowBatch& batch) {
  float centres[Rows];
  for (size_t r = 0; Weighted && r < Rows; r++) {
    centres[r] = block_maximum(rows[r], n);
    if (centres[r] == -COVN_INFINITY || centres[r] == COVN_INFINITY) return false;
  }
  bool fit = true;
  BlockSums sums[Rows];
  for (size_t r = 0; r < Rows; r++) sums[r].spans = spans_of(batch, row + r, 0);
  read_blocks<T, Weighted, Greater, Rows>(rows, n, tried.place, centres, targets, terms, parameters, clamped, sums);
  for (size_t r = 0; r < Rows; r++) {
    fit = fit && sums[r].max >= tried.lowest && sums[r].max <= tried.highest && sums[r].sum == sums[r].sum;
  }
  if (!fit) return false;
  for (size_t r = 0; r < Rows; r++) {
    batch.origin[row + r] = 0.0f;
    batch.octave[row + r] = static_cast<float>(tried.place.octave);
    batch.magic[row + r] = tried.magic;
    batch.floor[row + r] = tried.floor;
    batch.max[row + r] = sums[r].max;
    batch.unit_max[row + r] = tried.unit ? 1.0f : 0.0f;
    batch.sum[row + r] = sums[r].sum;
    batch.unit[row + r] = tried.unit ? sums[r].sum : 0.0;
    batch.weighted[row + r] = sums[r].weighted;
    batch.greater[row + r] = sums[r].greater;
  }
  return true;
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
  TriedPlace tried = tried_place(place, parameters);
  // As many as fit the registers.
  constexpr size_t together = F32::lanes >= 16 ? kRowStreams : kRowStreams / 2;
  bool clamped = false;
  size_t row = 0;
  for (; row + together <= count; row += together) {
    if (n <= kRowBlock && accumulate_fitting<T, Weighted, Greater, together>(rows + row, n, targets + row, terms,
                                                                             parameters, clamped, tried, row, batch)) {
      continue;
    }
    accumulate_together<T, Weighted, Greater, together>(rows + row, n, targets + row, terms, parameters, clamped, place,
                                                        row, batch);
    tried = tried_place(place, parameters);
  }
  for (; row < count; row++) {
    accumulate_together<T, Weighted, Greater, 1>(rows + row, n, targets + row, terms, parameters, clamped, place, row,
                                                 batch);
  }
}
