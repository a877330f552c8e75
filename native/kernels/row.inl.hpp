// One pass over a row of logits: the log-sum-exp relative to a running maximum, and on request the sums for the entropy
// and the rank of the target. Included by kernels/targets/*.cpp inside a target's namespace and region, after its simd
// wrapper; it names no instruction set.
//
// Lane type float; valid for every float logit (NaN and infinities included, see RowState) and for log2(e)/T within the
// float range. Largest error of log(sum) + max/T against a long double: 5e-7 nats for rows of up to 2^20 logits, from
// the rounding of x - max (at most 2^-24 |x - max| / T nats, weighted by its exponential) and 3e-9 relative from 2^f.
//
// Structure: blocks of kRowBlock logits; in each, the maximum first (that reads memory), then the exponentials (from
// the first-level cache), added to doubles in a fixed order.

constexpr float kRoundMagic = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number, kept in the low bits
constexpr float kLowestExponent = -126.0f;  // 2^-126 is the least normal float; smaller terms cannot change a sum

// 2^f for f in [-0.5, 0.5], exactly 1 at 0. Coefficients: relative minimax with the constant held at 1, each rounded to
// float in turn and the rest fitted again. Largest relative error 3.0e-9, mean 6e-13.
COVN_INLINE F32 exp2_fraction(F32 f) {
  F32 p = set(1.53264627e-4f);
  p = fma(p, f, set(1.33908063e-3f));
  p = fma(p, f, set(9.61850584e-3f));
  p = fma(p, f, set(5.55035993e-2f));
  p = fma(p, f, set(2.40226477e-1f));
  p = fma(p, f, set(6.93147182e-1f));
  return fma(p, f, set(1.0f));
}

struct RowConstants {
  F32 max, scale_high, scale_low;
};

// exp((x - max)/T), with the exponent to base 2 in `exponent` (0 where the result is 0). NaN in, NaN out; -inf gives 0.
COVN_INLINE F32 scaled_exp(F32 x, const RowConstants& c, F32& exponent) {
  const F32 difference = sub(x, c.max);
  const F32 t = clamp_low(mul(difference, c.scale_high), kLowestExponent);
  const F32 rounded = add(t, set(kRoundMagic));
  const F32 whole = sub(rounded, set(kRoundMagic));
  // Two fused steps: the fraction carries only the rounding of `difference`, not that of t.
  const F32 fraction = fma(difference, c.scale_low, fma(difference, c.scale_high, neg(whole)));
  exponent = zero_below(t, t, kLowestExponent + 1.0f);
  return zero_below(mul(exp2_fraction(fraction), power_of_two(rounded)), t, kLowestExponent + 1.0f);
}

// Vectors taken together: hides latency, and shares the widening of sums to double.
constexpr size_t kChains = 4;
constexpr size_t kStep = kChains * F32::lanes;

template <class T>
COVN_INLINE float block_maximum(const T* x, size_t n) {
  F32 m[kChains];
  for (size_t k = 0; k < kChains; k++) m[k] = set(-COVN_INFINITY);
  size_t i = 0;
  for (; i + kStep <= n; i += kStep) {
    for (size_t k = 0; k < kChains; k++) m[k] = max_ignoring_nan(load(x + i + k * F32::lanes), m[k]);
  }
  for (; i < n; i += F32::lanes) m[0] = max_ignoring_nan(load_padded(x + i, n - i), m[0]);
  return reduce_max(max_ignoring_nan(max_ignoring_nan(m[0], m[1]), max_ignoring_nan(m[2], m[3])));
}

// Adds the terms of kChains vectors. Two vectors are added in float and their sums as doubles: if every term went to a
// float lane, those below 2^-25 beside a term near 1 would vanish one by one, always downwards: a bias of 3.5e-8 nats a
// token at a vocabulary of 1000 and standard deviation 5.
template <bool Weighted, bool Greater>
struct RowSums {
  WideSum sum, weighted;
  GreaterCounter greater;

  COVN_MEMBER_INLINE RowSums() {}  // written out: an implicit one would be made outside the target region
  COVN_MEMBER_INLINE void step(const F32* x, const RowConstants& c, F32 target) {
    F32 e[kChains], product[kChains];
    for (size_t k = 0; k < kChains; k++) {
      F32 exponent;
      e[k] = scaled_exp(x[k], c, exponent);
      if (Weighted) product[k] = mul(e[k], exponent);
      if (Greater) greater.count(x[k], target);
    }
    for (size_t k = 0; k < kChains; k += 2) {
      sum.add(add(e[k], e[k + 1]));
      if (Weighted) weighted.add(add(product[k], product[k + 1]));
    }
  }
};

template <class T, bool Weighted, bool Greater>
void accumulate_row(RowState& state, const T* x, size_t n, const RowParameters& parameters) {
  const F32 target = set(parameters.target);
  for (size_t start = 0; start < n; start += kRowBlock) {
    const T* block = x + start;
    const size_t size = n - start < kRowBlock ? n - start : kRowBlock;
    rescale(state, block_maximum(block, size), parameters);
    // With nothing but -inf so far, any finite reference gives the right sum: 0.
    const float reference = state.max == -COVN_INFINITY ? 0.0f : state.max;
    const RowConstants c{set(reference), set(parameters.scale_high), set(parameters.scale_low)};
    RowSums<Weighted, Greater> sums;
    F32 v[kChains];
    size_t i = 0;
    for (; i + kStep <= size; i += kStep) {
      for (size_t k = 0; k < kChains; k++) v[k] = load(block + i + k * F32::lanes);
      sums.step(v, c, target);
    }
    if (i < size) {
      for (size_t k = 0; k < kChains; k++) {
        const size_t at = i + k * F32::lanes;
        v[k] = at < size ? load_padded(block + at, size - at) : set(-COVN_INFINITY);
      }
      sums.step(v, c, target);
    }
    state.sum += sums.sum.total();
    if (Weighted) state.weighted += sums.weighted.total();
    if (Greater) state.greater += sums.greater.total();
  }
}
