// One pass over the logits of two models for one token: the sums of which KernelTable's PairState speaks.
// After kernels/row_block.inl.hpp.
//
// With u = e^(a/2), v = e^(b/2) two exponentials give e^a = u u, e^b = v v and sqrt(e^a e^b) = u v. Most terms are
// formed in float, as in kernels/exponential.inl.hpp or, at temperature 1, kernels/unit_terms.inl.hpp. A vector that
// holds a term of 2^-5 or more of the sum so far is done in double instead: the KL multiplies a term's relative error
// by its log ratio, and the errors of the small ones average out. Origins and limits follow from the row alone, so that
// its bits do not depend on its company; equal logits go through equal operations, so that equal distributions are at
// distance 0 exactly.

// Pairs whose origins and limits are chosen together: at a row's start, where the sum grows fast, and at most.
constexpr size_t kFirstPairBlock = 2048, kMaxPairBlock = 16384;

constexpr double kPreciseFloor = -690.0;  // e^-690, squared, is 0
constexpr double kLowest = -1e300;        // stands for -inf where 0 * inf must not be formed

// e^z for z < 700; NaN stays NaN.
COVN_INLINE F64 precise_exp(F64 z) { return exp64(max_keeping_nan(set64(kPreciseFloor), z), set64(0.0)); }

// Where the terms of a block lie, the logits whose terms the sums are so far, and the terms above which a vector is
// done in double.
struct PairWindow {
  double reference_origin, model_origin;
  float reference_level, model_level;
  double reference_limit, model_limit;
};

// Logits above -inf, to tell whether some b is -inf where a is not.
struct SupportCounter {
  GreaterCounter either, model;

  // Written out: an implicit one would be made outside the target region.
  COVN_MEMBER_INLINE SupportCounter() {}
  COVN_MEMBER_INLINE void count(F32 a, F32 b) {
    either.count(max_ignoring_nan(a, b), set(-COVN_INFINITY));
    model.count(b, set(-COVN_INFINITY));
  }
  COVN_MEMBER_INLINE bool unsupported() const { return either.total() > model.total(); }
};

// The vectors of a block that were done in double.
struct PrecisePairs {
  F64 reference, model, affinity, weighted;
  F32 max_reference, max_model;

  COVN_MEMBER_INLINE PrecisePairs()
      : reference(set64(0.0)),
        model(set64(0.0)),
        affinity(set64(0.0)),
        weighted(set64(0.0)),
        max_reference(set(-COVN_INFINITY)),
        max_model(set(-COVN_INFINITY)) {}
};

COVN_NOINLINE void add_precisely(F32 a, F32 b, const PairWindow& window, double inverse, PrecisePairs& sums) {
  float x[F32::lanes], y[F32::lanes];
  store(x, a);
  store(y, b);
  sums.max_reference = max_ignoring_nan(a, sums.max_reference);
  sums.max_model = max_ignoring_nan(b, sums.max_model);
  const F64 reference_origin = set64(window.reference_origin), model_origin = set64(window.model_origin);
  const F64 rate = set64(inverse), lowest = set64(kLowest);
  for (size_t i = 0; i < F32::lanes; i += F64::lanes) {
    const F64 da = sub(load64(x + i), reference_origin), db = sub(load64(y + i), model_origin);
    const F64 u = precise_exp(mul(da, rate)), v = precise_exp(mul(db, rate));
    const F64 d = sub(max_keeping_nan(lowest, da), max_keeping_nan(lowest, db));
    sums.reference = fma(u, u, sums.reference);
    sums.model = fma(v, v, sums.model);
    sums.affinity = fma(u, v, sums.affinity);
    sums.weighted = fma(mul(u, u), d, sums.weighted);
  }
}

// u, v and a - b of some pairs, origins subtracted. `Clamped`: -inf of either is kept out of a - b, and those of the
// model that matter are to be counted; otherwise they may make the block's sums NaN or infinite.
struct PairTerms {
  F32 u, v, difference;
};

constexpr float kLowestFloat = -3.40282347e+38f;

template <bool Clamped>
struct GeneralPairs {
  const Terms& terms;
  Window reference, model;
  F32 ceiling;  // of the float range of squares

  COVN_MEMBER_INLINE GeneralPairs(const PairWindow& w, const Terms& t, const RowParameters& half)
      : terms(t),
        reference(window_at({static_cast<float>(w.reference_origin), 0}, half)),
        model(window_at({static_cast<float>(w.model_origin), 0}, half)),
        ceiling(set(offset_of(2 * kOriginOctaves, half))) {}
  // A logit below the floor has a square of 0; the model's stays as it is in the difference.
  COVN_MEMBER_INLINE PairTerms of(F32 a, F32 b) const {
    const F32 da = distance_of(a, reference), db = sub(b, model.origin);
    const F32 bounded = max_keeping_nan(model.floor, db);
    return {product(term_of(min_keeping_nan(ceiling, da), terms, reference)),
            product(term_of(min_keeping_nan(ceiling, bounded), terms, model)),
            sub(da, Clamped ? max_keeping_nan(set(kLowestFloat), db) : db)};
  }
  // What the sums are to be multiplied by, and what is to be taken from the differences.
  COVN_MEMBER_INLINE static PairFactors factors(const PairWindow&, const PairFactors&, const RowParameters&) {
    return {0.0, 0.0, 1.0, 1.0, 1.0, 0.0};
  }
};

#if COVN_TARGET_UNIT_TERMS
// At temperature 1, without origins.
template <bool Clamped>
struct UnitPairs {
  UnitTerms terms;
  F32 gap;

  COVN_MEMBER_INLINE UnitPairs(const PairWindow& w, const Terms&, const RowParameters& half)
      : terms(unit_terms(0, half)), gap(set(gap_of(w))) {}
  // What is common to the differences: the smaller those are, the less their weights' errors show.
  COVN_MEMBER_INLINE static float gap_of(const PairWindow& w) {
    return static_cast<float>(w.reference_origin - w.model_origin);
  }
  COVN_MEMBER_INLINE PairTerms of(F32 a, F32 b) const {
    const F32 floor = set(-200.0f);  // its term is 0
    const F32 x = Clamped ? max_keeping_nan(floor, a) : a, y = Clamped ? max_keeping_nan(floor, b) : b;
    return {product(unit_term(x, terms)), product(unit_term(y, terms)),
            sub(sub(x, Clamped ? max_keeping_nan(set(kLowestFloat), b) : b), gap)};
  }
  // Sums of squares are too small by a share that grows with the logits (unit_step_excess): those that matter, of those
  // done in float, lie some nats below the sum's level.
  COVN_MEMBER_INLINE static PairFactors factors(const PairWindow& w, const PairFactors& exact,
                                                const RowParameters& half) {
    constexpr double kScale = 16.0 * kSquareScale * kSquareScale, kBelow = 5.0;
    const double excess = unit_step_excess(half);
    const double reference = excess * (w.reference_level - kBelow), model = excess * (w.model_level - kBelow);
    PairFactors factors = exact;
    factors.reference *= (1.0 + reference) / kScale;
    factors.model *= (1.0 + model) / kScale;
    factors.affinity *= (1.0 + 0.5 * (reference + model)) / kScale;
    factors.difference -= gap_of(w);
    return factors;
  }
};
#else
template <bool Clamped>
using UnitPairs = GeneralPairs<Clamped>;
#endif

// A value a lane of what PairState holds.
struct PairLanes {
  F32 reference, model, affinity, weighted;

  COVN_MEMBER_INLINE PairLanes() : reference(set(0.0f)), model(set(0.0f)), affinity(set(0.0f)), weighted(set(0.0f)) {}
  COVN_MEMBER_INLINE void add_terms(PairTerms t) {
    reference = fma(t.u, t.u, reference);
    model = fma(t.v, t.v, model);
    affinity = fma(t.u, t.v, affinity);
    weighted = fma(mul(t.u, t.u), t.difference, weighted);
  }
  COVN_MEMBER_INLINE void add_lanes(const PairLanes& other) {
    reference = add(reference, other.reference);
    model = add(model, other.model);
    affinity = add(affinity, other.affinity);
    weighted = add(weighted, other.weighted);
  }
};

// Their sums in double.
struct WidePairs {
  WideSum reference, model, affinity, weighted;

  // Written out: an implicit one would be made outside the target region.
  COVN_MEMBER_INLINE WidePairs() {}
  COVN_MEMBER_INLINE void add(const PairLanes& lanes) {
    reference.add(lanes.reference);
    model.add(lanes.model);
    affinity.add(lanes.affinity);
    weighted.add(lanes.weighted);
  }
};

// What a block adds to its row.
struct PairBlockSums {
  double reference, model, affinity, weighted;
  float max_reference, max_model;  // of the vectors done in double
  bool unsupported;
};

COVN_INLINE double total(F64 v) {
  double lane[F64::lanes];
  store64(lane, v);
  double sum = 0.0;
  for (double x : lane) sum += x;
  return sum;
}

COVN_INLINE void add_precise(const PrecisePairs& precise, PairBlockSums& sums) {
  sums.reference += total(precise.reference);
  sums.model += total(precise.model);
  sums.affinity += total(precise.affinity);
  sums.weighted += total(precise.weighted);
  sums.max_reference = reduce_max(precise.max_reference);
  sums.max_model = reduce_max(precise.max_model);
}

// What a block is read with.
struct PairBlock {
  const PairWindow& window;
  const PairFactors& exact;
  const Terms& terms;
  const RowParameters& half;
};

// The largest sums of squares in a lane that are added in float.
struct PairLimits {
  F32 reference, model;

  COVN_MEMBER_INLINE PairLimits(const PairWindow& w, const PairFactors& factors)
      : reference(set(static_cast<float>(w.reference_limit / factors.reference))),
        model(set(static_cast<float>(w.model_limit / factors.model))) {}
  COVN_MEMBER_INLINE bool hold(const PairLanes& lanes) const {
    return !any_greater(lanes.reference, reference) && !any_greater(lanes.model, model);
  }
};

// Steps whose sums of each lane are added in float before those are widened: the largest terms are not among them, and
// sums of four, one after the other, lose little.
constexpr size_t kPairRun = 8;

// The steps of a block that hold large terms, read vector by vector, and its rest. Not part of the loop over the
// others, whose registers it would take.
template <template <bool> class Formula>
struct SinglePairs {
  const PairBlock& block;
  const Formula<true> formula;
  const PairLimits limits;
  PairLanes run;
  size_t steps = 0;
  WidePairs wide;
  PrecisePairs precise;
  SupportCounter support;

  COVN_MEMBER_INLINE SinglePairs(const PairBlock& block, const PairLimits& limits)
      : block(block), formula(block.window, block.terms, block.half), limits(limits) {}

  // n <= kStep pairs.
  template <class T>
  COVN_NOINLINE void add_step(const T* a, const T* b, size_t n) {
    for (size_t i = 0; i < n; i += F32::lanes) {
      const F32 x = load_padded(a + i, n - i), y = load_padded(b + i, n - i);
      PairLanes lanes;
      lanes.add_terms(formula.of(x, y));
      support.count(x, y);
      if (limits.hold(lanes)) {
        run.add_lanes(lanes);
      } else {
        add_precisely(x, y, block.window, 1.0 / block.half.temperature, precise);
      }
    }
    if (++steps % kPairRun == 0) end_run();
  }
  COVN_MEMBER_INLINE void end_run() {
    wide.add(run);
    run = PairLanes();
  }
};

template <template <bool> class Formula, bool Clamped, class T>
COVN_INLINE void pair_block(const T* a, const T* b, size_t n, const PairBlock& block, PairBlockSums& sums) {
  const Formula<Clamped> formula(block.window, block.terms, block.half);
  const PairFactors factors = formula.factors(block.window, block.exact, block.half);
  const PairLimits limits(block.window, factors);
  SinglePairs<Formula> single(block, limits);
  WidePairs wide;
  SupportCounter support;
  size_t i = 0;
  while (i + kStep <= n) {
    PairLanes run;
    for (size_t left = kPairRun; left > 0 && i + kStep <= n; left--, i += kStep) {
      F32 v[kChains], w[kChains];
      for (size_t k = 0; k < kStep; k += 64 / sizeof(T)) {
        prefetch(a + i + k);
        prefetch(b + i + k);
      }
      load_in_any_order(v, a + i);
      load_in_any_order(w, b + i);
      PairLanes step;
      for (size_t k = 0; k < kChains; k++) {
        step.add_terms(formula.of(v[k], w[k]));
        if (Clamped) support.count(v[k], w[k]);
      }
      if (limits.hold(step)) {
        run.add_lanes(step);
      } else {
        single.add_step(a + i, b + i, kStep);
      }
    }
    wide.add(run);
  }
  if (i < n) single.add_step(a + i, b + i, n - i);
  single.end_run();
  sums.reference = (wide.reference.total() + single.wide.reference.total()) * factors.reference;
  sums.model = (wide.model.total() + single.wide.model.total()) * factors.model;
  sums.affinity = (wide.affinity.total() + single.wide.affinity.total()) * factors.affinity;
  sums.weighted =
      (wide.weighted.total() + single.wide.weighted.total()) * factors.reference - factors.difference * sums.reference;
  sums.unsupported = support.unsupported() || single.support.unsupported();
  add_precise(single.precise, sums);
}

// Every vector in double, for what no float holds.
template <class T>
COVN_NOINLINE void precise_block(const T* a, const T* b, size_t n, const PairBlock& block, PairBlockSums& sums) {
  PrecisePairs precise;
  SupportCounter support;
  for (size_t i = 0; i < n; i += F32::lanes) {
    const F32 x = load_padded(a + i, n - i), y = load_padded(b + i, n - i);
    support.count(x, y);
    add_precisely(x, y, block.window, 1.0 / block.half.temperature, precise);
  }
  sums.reference = sums.model = sums.affinity = sums.weighted = 0.0;
  sums.unsupported = support.unsupported();
  add_precise(precise, sums);
}

COVN_INLINE bool are_finite(const PairBlockSums& sums) {
  // Differences of what is not finite are NaN. A model's logit far below all others may spoil its terms alone.
  return sums.reference - sums.reference == 0.0 && sums.model - sums.model == 0.0 &&
         sums.affinity - sums.affinity == 0.0 && sums.weighted - sums.weighted == 0.0;
}

// `clamped`: whether -inf is to be expected; found out if not known.
template <template <bool> class Formula, class T>
COVN_INLINE void read_pairs(const T* a, const T* b, size_t n, const PairBlock& block, bool& clamped,
                            PairBlockSums& sums) {
  if (!clamped) {
    pair_block<Formula, false>(a, b, n, block, sums);
    if (are_finite(sums)) return;
    clamped = true;
  }
  pair_block<Formula, true>(a, b, n, block, sums);
  if (!are_finite(sums)) precise_block(a, b, n, block, sums);
}

// The origin of a sum that is empty so far: the block's largest logit. False where that is not finite.
template <class T>
COVN_INLINE bool first_origin(const T* x, size_t n, double& origin) {
  const float max = block_maximum(x, n);
  const bool finite = max > -COVN_INFINITY && max < COVN_INFINITY;
  origin = finite ? max : 0.0f;
  return finite;
}

// `half`: the parameters of twice the temperature.
template <class T>
void accumulate_pair(const T* reference, const T* model, size_t n, const RowParameters& half, PairState& state) {
  const Terms terms = load_terms(half);
  state.reference_origin = state.model_origin = 0.0;
  state.reference = state.model = state.affinity = state.weighted = 0.0;
  state.unsupported = false;
  bool unit = kHasUnitTerms && half.temperature == 2.0, clamped = false;
  PairFactors factors = no_factors();
  for (size_t start = 0; start < n;) {
    const T *a = reference + start, *b = model + start;
    const size_t next = start < kFirstPairBlock ? kFirstPairBlock : start < kMaxPairBlock ? start : kMaxPairBlock;
    const size_t size = n - start < next ? n - start : next;
    const bool has_reference = state.reference != 0.0 || first_origin(a, size, state.reference_origin);
    const bool has_model = state.model != 0.0 || first_origin(b, size, state.model_origin);
    const PairWindow window{state.reference_origin,
                            state.model_origin,
                            level_of(state.reference_origin, state.reference, half),
                            level_of(state.model_origin, state.model, half),
                            precise_above(state.reference),
                            precise_above(state.model)};
    const PairBlock block{window, factors, terms, half};
    PairBlockSums sums;
    unit = unit && needs_no_origins(window.reference_level, window.model_level);
    if (unit) {
      factors.follow(state);
      read_pairs<UnitPairs>(a, b, size, block, clamped, sums);
    } else {
      read_pairs<GeneralPairs>(a, b, size, block, clamped, sums);
    }
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
