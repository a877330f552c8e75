// The terms of a block of logits at a given place, and what they are made of. After kernels/exponential.inl.hpp.

constexpr size_t kChains = 4;  // vectors taken together, to hide latency
constexpr size_t kStep = kChains * F32::lanes;

// What a block adds to its row, at the place given.
struct BlockSums {
  float max;
  double sum, weighted;
  int64_t greater;
  double* spans;  // [.], the caller's, or null: `sum` up to the end of each whole span
};

// Four vectors from x, of which n < kStep logits are there; the rest is -inf.
template <class T>
COVN_INLINE void load_step(F32* v, const T* x, size_t n) {
  for (size_t k = 0; k < kChains; k++) {
    const size_t at = k * F32::lanes;
    v[k] = at < n ? load_padded(x + at, n - at) : set(-COVN_INFINITY);
  }
}

template <class T>
COVN_INLINE float block_maximum(const T* x, size_t n) {
  F32 m[kChains];
  for (size_t k = 0; k < kChains; k++) m[k] = set(-COVN_INFINITY);
  for (size_t i = 0; i < n; i += kStep) {
    F32 v[kChains];
    if (i + kStep <= n) {
      for (size_t k = 0; k < kChains; k++) v[k] = load(x + i + k * F32::lanes);
    } else {
      load_step(v, x + i, n - i);
    }
    for (size_t k = 0; k < kChains; k++) m[k] = max_ignoring_nan(v[k], m[k]);
  }
  return reduce_max(max_ignoring_nan(max_ignoring_nan(m[0], m[1]), max_ignoring_nan(m[2], m[3])));
}

// A place for rows of which one begins with these logits. Rows that need an origin are done again at their own.
template <class T>
COVN_INLINE Place shared_place(const T* x, size_t n, const RowParameters& parameters) {
  // The largest of the first few is near enough to the block's.
  float guess = block_maximum(x, n < kStep ? n : kStep);
  if (guess == -COVN_INFINITY) guess = block_maximum(x, n);
  const Place place = place_of(guess > -COVN_INFINITY && guess < COVN_INFINITY ? guess : 0.0f, parameters);
  return place.origin == 0.0f ? place : Place{0.0f, 0};
}

// A place of origin 0 where rows are tried, and what follows from it.
struct TriedPlace {
  Place place;
  bool unit;              // the formula
  float lowest, highest;  // of the largest logits that fit both
  float magic, floor;
};

COVN_INLINE TriedPlace tried_place(Place place, const RowParameters& p) {
  TriedPlace tried{place, is_unit_place(place, p), 0.0f, 0.0f, magic_of(place, p), floor_of(place, p)};
  fitting_maxima(place, p, tried.lowest, tried.highest);
  bound_by_formula(place, p, tried.lowest, tried.highest);
  return tried;
}

// What a run of one row gives: apart from RowLanes, so that compilers keep them in registers.
struct RowRun {
  F32 max, sum, weighted;
  // Written out: an implicit one would be made outside the target region.
  COVN_MEMBER_INLINE RowRun() : max(set(-COVN_INFINITY)), sum(set(0.0f)), weighted(set(0.0f)) {}
};

// What else is kept of a row.
template <bool Weighted, bool Greater>
struct RowLanes {
  F32 max;
  WideSum wide_sum, wide_weighted;
  GreaterCounter greater;

  COVN_MEMBER_INLINE RowLanes() : max(set(-COVN_INFINITY)) {}

  template <class Formula>
  COVN_MEMBER_INLINE void add(F32 x, const Formula& formula, F32 largest, F32 target, RowRun& run) {
    run.max = max_ignoring_nan(x, run.max);
    const F32 d = formula.distance(x);
    const Term e = formula.term(d);
    run.sum = fma(e.scale, e.polynomial, run.sum);
    if (Weighted) run.weighted = fma(product(e), sub(d, largest), run.weighted);
    if (Greater) greater.count(x, target);
  }
  COVN_MEMBER_INLINE void end(const RowRun& run) {
    max = max_ignoring_nan(run.max, max);
    wide_sum.add(run.sum);
    if (Weighted) wide_weighted.add(run.weighted);
  }
};

// At the end of runs.
template <class Formula, size_t Rows, class Lanes>
COVN_INLINE void note_spans(const Lanes* lanes, size_t end, BlockSums* sums) {
  if (sums[0].spans == nullptr || end % kSpanLogits > 0) return;
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++) {
    sums[r].spans[end / kSpanLogits - 1] = lanes[r].wide_sum.total() * (1.0 / Formula::scale);
  }
}

// Reads a block of n logits of each of so many rows at once: a vector of the first, one of the second, and so on. Rows
// that lie far apart are so many streams, which memory serves faster than one.
//
// Weights are formed relative to a row's `centre`, a finite logit of it near its largest: they then round little, and
// the same wherever the terms are placed.
template <class Formula, bool Weighted, bool Greater, size_t Rows, class T>
COVN_INLINE void block_terms(const T* const* blocks, size_t n, Place place, const float* centres, const float* targets,
                             const Terms& terms, const RowParameters& parameters, BlockSums* sums) {
  const Formula formula(place, terms, parameters);
  RowLanes<Weighted, Greater> lanes[Rows];
  const T* x[Rows];
  F32 largest[Rows], target[Rows];
  for (size_t r = 0; r < Rows; r++) {
    x[r] = blocks[r];
    largest[r] = set(Weighted ? centres[r] - place.origin : 0.0f);
    target[r] = set(Greater ? targets[r] : 0.0f);
  }
  const size_t whole = n / F32::lanes * F32::lanes, run = parameters.run * F32::lanes;
  size_t i = 0;
  // Where runs have one length, they are written out.
  constexpr size_t vectors = run_length(kRowBlock, F32::lanes);
  for (; F32::lanes < kMaxLanes && i + vectors * F32::lanes <= whole; i += vectors * F32::lanes) {
    RowRun runs[Rows];
#pragma GCC unroll 4
    for (size_t k = 0; k < vectors; k++) {
      for (size_t r = 0; r < Rows; r++) {
        if (k * F32::lanes * sizeof(T) % kLineBytes == 0) prefetch(x[r] + i + k * F32::lanes);
        lanes[r].add(load(x[r] + i + k * F32::lanes), formula, largest[r], target[r], runs[r]);
      }
    }
    for (size_t r = 0; r < Rows; r++) lanes[r].end(runs[r]);
    note_spans<Formula, Rows>(lanes, i + vectors * F32::lanes, sums);
  }
  while (i < whole) {
    const size_t end = whole - i < run ? whole : i + run;
    RowRun runs[Rows];
    for (; i < end; i += F32::lanes) {
      for (size_t r = 0; r < Rows; r++) {
        prefetch(x[r] + i);
        lanes[r].add(load(x[r] + i), formula, largest[r], target[r], runs[r]);
      }
    }
    for (size_t r = 0; r < Rows; r++) lanes[r].end(runs[r]);
    note_spans<Formula, Rows>(lanes, i, sums);
  }
  for (size_t r = 0; r < Rows; r++) {
    if (whole < n) {
      RowRun rest;
      lanes[r].add(load_padded(x[r] + whole, n - whole), formula.padded(), largest[r], target[r], rest);
      lanes[r].end(rest);
    }
    sums[r].max = reduce_max(lanes[r].max);
    sums[r].sum = lanes[r].wide_sum.total() * (1.0 / Formula::scale);
    sums[r].greater = Greater ? lanes[r].greater.total() : 0;
    sums[r].weighted = Weighted ? lanes[r].wide_weighted.total() * (1.0 / Formula::scale) +
                                      static_cast<double>(centres[r] - place.origin) * sums[r].sum
                                : 0.0;
  }
}
