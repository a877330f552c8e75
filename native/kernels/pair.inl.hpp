// One pass over the logits of two models for one token: the sums of which KernelTable's PairState speaks.
// After kernels/row_block.inl.hpp.
//
// With u = e^(a/2), v = e^(b/2) two exponentials give e^a = u u, e^b = v v and sqrt(e^a e^b) = u v. Most terms are
// formed in float, as in kernels/exponential.inl.hpp. A step that holds a term of 2^-5 or more of the sum so far is
// done in double instead: the KL multiplies a term's relative error by its log ratio, and the errors of the small ones
// average out. Origins and bounds follow from the row alone, so that its bits do not depend on its company; equal
// logits go through equal operations, so that equal distributions are at distance 0 exactly.

// Pairs whose origins and bounds are chosen together.
constexpr size_t kPairBlock = 2048;

constexpr double kMagic64 = 6755399441055744.0;  // 1.5 * 2^52
constexpr double kPreciseFloor = -690.0;         // e^-690, squared, is 0
constexpr double kLowest = -1e300;               // stands for -inf where 0 * inf must not be formed
// 1/j!: the Taylor series of e^r, |r| <= ln(2)/2; relative error 2e-10.
constexpr double kTaylor[] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320};
constexpr int kTaylorDegree = 8;

// e^z for z < 700; NaN stays NaN.
COVN_INLINE F64 precise_exp(F64 z) {
  const F64 bounded = max_keeping_nan(set64(kPreciseFloor), z);
  const F64 shifted = fma(bounded, set64(kLog2E), set64(kMagic64));
  const F64 k = sub(shifted, set64(kMagic64));
  const F64 r = fma(k, set64(-kLn2), bounded);
  F64 p = set64(kTaylor[kTaylorDegree]);
  for (int j = kTaylorDegree; j > 0; j--) p = fma(p, r, set64(kTaylor[j - 1]));
  return mul(p, power64(shifted));
}

// One block's origins, and the logits above which a step is done in double.
struct PairWindow {
  float reference_origin, model_origin;
  float reference_bound, model_bound;
};

// The steps of a block that were done in double.
struct PrecisePairs {
  F64 reference, model, affinity, weighted;
  F32 max_reference, max_model;
  GreaterCounter either, model_only;  // logits above -inf
  bool any = false;

  COVN_MEMBER_INLINE PrecisePairs()
      : reference(set64(0.0)),
        model(set64(0.0)),
        affinity(set64(0.0)),
        weighted(set64(0.0)),
        max_reference(set(-COVN_INFINITY)),
        max_model(set(-COVN_INFINITY)) {}
};

// Four vectors of each, of which n <= kStep logits are there.
template <class T>
void precise_step(const T* a, const T* b, size_t n, const PairWindow& window, double inverse, PrecisePairs& sums) {
  F32 v[kChains], w[kChains];
  float x[kStep], y[kStep];
  load_step(v, a, n);
  load_step(w, b, n);
  for (size_t k = 0; k < kChains; k++) {
    store(x + k * F32::lanes, v[k]);
    store(y + k * F32::lanes, w[k]);
    sums.max_reference = max_ignoring_nan(v[k], sums.max_reference);
    sums.max_model = max_ignoring_nan(w[k], sums.max_model);
    sums.either.count(max_ignoring_nan(v[k], w[k]), set(-COVN_INFINITY));
    sums.model_only.count(w[k], set(-COVN_INFINITY));
  }
  sums.any = true;
  const F64 reference_origin = set64(window.reference_origin), model_origin = set64(window.model_origin);
  const F64 rate = set64(inverse), lowest = set64(kLowest);
  F64 reference = sums.reference, model = sums.model, affinity = sums.affinity, weighted = sums.weighted;
  for (size_t i = 0; i < kStep; i += F64::lanes) {
    const F64 da = sub(load64(x + i), reference_origin), db = sub(load64(y + i), model_origin);
    const F64 u = precise_exp(mul(da, rate)), t = precise_exp(mul(db, rate));
    const F64 d = sub(max_keeping_nan(lowest, da), max_keeping_nan(lowest, db));
    reference = fma(u, u, reference);
    model = fma(t, t, model);
    affinity = fma(u, t, affinity);
    weighted = fma(mul(u, u), d, weighted);
  }
  sums.reference = reference;
  sums.model = model;
  sums.affinity = affinity;
  sums.weighted = weighted;
}

// The steps of a block that were done in float.
struct PairLanes {
  F32 reference, model, affinity, weighted;  // of the current run
  WideSum wide_reference, wide_model, wide_affinity, wide_weighted;

  COVN_MEMBER_INLINE PairLanes() { start_run(); }
  COVN_MEMBER_INLINE void start_run() { reference = model = affinity = weighted = set(0.0f); }
  COVN_MEMBER_INLINE void end_run() {
    wide_reference.add(reference);
    wide_model.add(model);
    wide_affinity.add(affinity);
    wide_weighted.add(weighted);
    start_run();
  }
  // A reference logit below the floor has u u = 0. The model's stays as it is in the log ratio; where it is -inf,
  // `weighted` ends as NaN or infinite.
  COVN_MEMBER_INLINE void add(F32 a, F32 b, const Terms& terms, const Window& reference_window,
                              const Window& model_window) {
    const F32 da = distance_of(a, reference_window);
    const F32 raw = sub(b, model_window.origin);
    const F32 u = product(term_of(da, terms, reference_window));
    const F32 v = product(term_of(max_keeping_nan(model_window.floor, raw), terms, model_window));
    reference = fma(u, u, reference);
    model = fma(v, v, model);
    affinity = fma(u, v, affinity);
    weighted = fma(mul(u, u), sub(da, raw), weighted);
  }
};

// What a block adds to its row.
struct PairBlockSums {
  double reference, model, affinity, weighted;
  float max_reference, max_model;  // of the steps done in double
  bool unsupported;
};

COVN_INLINE F32 tree_max(const F32* v) {
  return max_ignoring_nan(max_ignoring_nan(v[0], v[1]), max_ignoring_nan(v[2], v[3]));
}

COVN_INLINE double total(F64 v) {
  double lane[F64::lanes];
  store64(lane, v);
  double sum = 0.0;
  for (double x : lane) sum += x;
  return sum;
}

// `all_precise`: every step in double, which alone can tell what a -inf of the model means.
template <class T>
COVN_INLINE void pair_block(const T* a, const T* b, size_t n, const PairWindow& window, const Terms& terms,
                            const RowParameters& half, bool all_precise, PairBlockSums& sums) {
  const Window reference_window = window_at({window.reference_origin, 0}, half);
  const Window model_window = window_at({window.model_origin, 0}, half);
  const F32 reference_bound = set(window.reference_bound), model_bound = set(window.model_bound);
  const double inverse = 1.0 / half.temperature;
  PairLanes lanes;
  PrecisePairs precise;
  F32 v[kChains], w[kChains];
  size_t i = 0;
  while (i + kStep <= n) {
    for (size_t left = half.run; left > 0 && i + kStep <= n; left -= kChains, i += kStep) {
      for (size_t k = 0; k < kStep; k += 64 / sizeof(T)) {
        prefetch(a + i + k);
        prefetch(b + i + k);
      }
      for (size_t k = 0; k < kChains; k++) {
        v[k] = load(a + i + k * F32::lanes);
        w[k] = load(b + i + k * F32::lanes);
      }
      if (all_precise || any_greater(tree_max(v), reference_bound) || any_greater(tree_max(w), model_bound)) {
        precise_step(a + i, b + i, kStep, window, inverse, precise);
      } else {
        for (size_t k = 0; k < kChains; k++) lanes.add(v[k], w[k], terms, reference_window, model_window);
      }
    }
    lanes.end_run();
  }
  if (i < n) precise_step(a + i, b + i, n - i, window, inverse, precise);
  sums.reference = lanes.wide_reference.total();
  sums.model = lanes.wide_model.total();
  sums.affinity = lanes.wide_affinity.total();
  sums.weighted = lanes.wide_weighted.total();
  sums.max_reference = sums.max_model = -COVN_INFINITY;
  sums.unsupported = false;
  if (!precise.any) return;
  sums.reference += total(precise.reference);
  sums.model += total(precise.model);
  sums.affinity += total(precise.affinity);
  sums.weighted += total(precise.weighted);
  sums.max_reference = reduce_max(precise.max_reference);
  sums.max_model = reduce_max(precise.max_model);
  sums.unsupported = precise.either.total() > precise.model_only.total();
}

// The origin of a sum that is empty so far: the block's largest logit. False where that is not finite.
template <class T>
COVN_INLINE bool first_origin(const T* x, size_t n, float& origin) {
  const float max = block_maximum(x, n);
  const bool finite = max > -COVN_INFINITY && max < COVN_INFINITY;
  origin = finite ? max : 0.0f;
  return finite;
}

// `half`: the parameters of twice the temperature.
template <class T>
void accumulate_pair(const T* reference, const T* model, size_t n, const RowParameters& half, PairState& state) {
  const Terms terms = load_terms(half);
  state.reference_origin = state.model_origin = 0.0f;
  state.reference = state.model = state.affinity = state.weighted = 0.0;
  state.unsupported = false;
  for (size_t start = 0; start < n;) {
    const T *a = reference + start, *b = model + start;
    const size_t size = n - start < kPairBlock ? n - start : kPairBlock;
    const bool has_reference = state.reference != 0.0 || first_origin(a, size, state.reference_origin);
    const bool has_model = state.model != 0.0 || first_origin(b, size, state.model_origin);
    const PairWindow window{state.reference_origin, state.model_origin,
                            precise_above(state.reference_origin, state.reference, half),
                            precise_above(state.model_origin, state.model, half)};
    PairBlockSums sums;
    pair_block(a, b, size, window, terms, half, false, sums);
    // Neither NaN nor infinite.
    if (!(sums.weighted - sums.weighted == 0.0)) pair_block(a, b, size, window, terms, half, true, sums);
    const bool reference_rises = rises_above(sums.max_reference, state.reference_origin, half);
    const bool model_rises = rises_above(sums.max_model, state.model_origin, half);
    if (reference_rises || model_rises) {
      move_origins(state, reference_rises ? sums.max_reference : state.reference_origin,
                   model_rises ? sums.max_model : state.model_origin, half);
      continue;
    }
    start += size;
    state.reference += sums.max_reference == COVN_INFINITY ? COVN_NAN : sums.reference;
    state.model += sums.max_model == COVN_INFINITY ? COVN_NAN : sums.model;
    state.weighted += sums.weighted;
    state.unsupported = state.unsupported || sums.unsupported;
    // The floor's terms vanish when squared; here one of them meets an origin that means nothing yet.
    if (has_reference && has_model) state.affinity += sums.affinity;
  }
}
