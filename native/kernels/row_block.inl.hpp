// The terms of a block of logits at a given place, and what they are made of. After kernels/exponential.inl.hpp.

constexpr size_t kChains = 4;  // vectors taken together: hides latency, and shares the widening of sums to double
constexpr size_t kStep = kChains * F32::lanes;

// What a block adds to its row, at the place given.
struct BlockSums {
  float max;
  double sum, weighted;
  int64_t greater;
};

COVN_INLINE F32 tree_sum(const F32* v) { return add(add(v[0], v[1]), add(v[2], v[3])); }

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

// The place for a row that begins with these logits.
template <class T>
COVN_INLINE Place first_place(const T* x, size_t n, const RowParameters& parameters) {
  // The largest of the first few is near enough to the block's.
  float guess = block_maximum(x, n < kStep ? n : kStep);
  if (guess == -COVN_INFINITY) guess = block_maximum(x, n);
  return place_of(guess > -COVN_INFINITY && guess < COVN_INFINITY ? guess : 0.0f, parameters);
}

// Lanes of one block's sums.
template <bool Weighted, bool Greater>
struct BlockLanes {
  F32 max[2];
  F32 sum[kChains], weighted[kChains];  // of the current run
  WideSum wide_sum, wide_weighted;
  GreaterCounter greater;

  COVN_MEMBER_INLINE BlockLanes() {  // written out: an implicit one would be made outside the target region
    max[0] = max[1] = set(-COVN_INFINITY);
    start_run();
  }
  COVN_MEMBER_INLINE void start_run() {
    for (size_t k = 0; k < kChains; k++) sum[k] = weighted[k] = set(0.0f);
  }
  COVN_MEMBER_INLINE void end_run() {
    wide_sum.add(tree_sum(sum));
    if (Weighted) wide_weighted.add(tree_sum(weighted));
    start_run();
  }
  template <bool Shifted>
  COVN_MEMBER_INLINE void step(const F32* x, const Terms& terms, const Window& w, F32 largest, F32 target) {
    for (size_t k = 0; k < kChains; k++) {
      max[k % 2] = max_ignoring_nan(x[k], max[k % 2]);
      const F32 d = distance<Shifted>(x[k], w);
      const Term e = term(d, terms, w);
      sum[k] = fma(e.scale, e.polynomial, sum[k]);
      if (Weighted) weighted[k] = fma(product(e), sub(d, largest), weighted[k]);
      if (Greater) greater.count(x[k], target);
    }
  }
  COVN_MEMBER_INLINE BlockSums total() const {
    return {reduce_max(max_ignoring_nan(max[0], max[1])), wide_sum.total(), Weighted ? wide_weighted.total() : 0.0,
            Greater ? greater.total() : 0};
  }
};

// Weights are formed relative to `centre`, a finite logit of the row near its largest: they then round little, and the
// same wherever the terms are placed.
template <class T, bool Weighted, bool Greater, bool Shifted>
COVN_INLINE BlockSums block_terms(const T* x, size_t n, Place place, float centre, float target, const Terms& terms,
                                  const RowParameters& parameters) {
  const Window w = window_at(place, parameters);
  const F32 largest = set(Weighted ? centre - place.origin : 0.0f), bound = set(target);
  BlockLanes<Weighted, Greater> lanes;
  F32 v[kChains];
  size_t i = 0;
  while (i + kStep <= n) {
    for (size_t left = parameters.run; left > 0 && i + kStep <= n; left--, i += kStep) {
      for (size_t k = 0; k < kChains; k++) {
        prefetch(x + i + k * F32::lanes);
        v[k] = load(x + i + k * F32::lanes);
      }
      lanes.template step<Shifted>(v, terms, w, largest, bound);
    }
    lanes.end_run();
  }
  if (i < n) {
    load_step(v, x + i, n - i);
    lanes.template step<Shifted>(v, terms, w, largest, bound);
    lanes.end_run();
  }
  BlockSums sums = lanes.total();
  if (Weighted) sums.weighted += static_cast<double>(centre - place.origin) * sums.sum;
  return sums;
}

// How logits of a packed format are read without widening each to float first; see kernels/row_packed.inl.hpp.
template <class T>
struct PackedBlock {
  static constexpr bool available = false;
};
