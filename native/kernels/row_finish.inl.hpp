// From rows' sums to their log-sum-exps and entropies. After kernels/row_block.inl.hpp.
//
// The term of the largest logit, as the kernels formed it, is taken out of the sum and its exact value put in its
// place: what is certain has log-prob 0 exactly, no log-prob is above 0, and the place leaves no trace.

// log(x) for x in [1, 2^1000]; absolute error below 1e-15 log(x) + 2e-11, exactly 0 at 1. With x = 2^e z, z around 1,
// and f = (z - 1)/(z + 1): log(z) = 2 (f + f^3/3 + f^5/5 + ...), |f| <= 0.172.
COVN_INLINE F64 log64(F64 x) {
  F64 exponent;
  const F64 z = split_exponent(x, exponent);
  const F64 f = div(sub(z, set64(1.0)), add(z, set64(1.0)));
  const F64 f2 = mul(f, f);
  F64 p = set64(1.0 / 11);
  for (int odd = 9; odd > 1; odd -= 2) p = fma(p, f2, set64(1.0 / odd));
  const F64 twice = add(f, f);
  return fma(exponent, set64(kLn2), fma(mul(twice, f2), p, twice));
}

// Results of the first `count` rows. A token's log-prob is (x_t - m)/T - log(s), never x_t/T - (m/T + log s), which
// loses the bits of log(s) when m is large.
template <bool Weighted>
void finish_rows(const RowBatch& batch, size_t count, const RowParameters& parameters, RowResults& results) {
  const Terms terms = load_terms(parameters);
  const F64 temperature = set64(parameters.temperature), zero = set64(0.0), one = set64(1.0);
  const auto per_temperature = [&](F64 x) { return parameters.unit_temperature ? x : div(x, temperature); };
  // In two loops, since a core looks ahead over few of these long chains of operations.
  double sums[RowBatch::kSize];  // of the terms, as multiples of the largest
  for (size_t start = 0; start < count; start += F32::lanes) {
    const Window w{load(batch.origin + start), load(batch.magic + start), load(batch.floor + start)};
    // The terms of the largest logits, by either formula.
    float general[F32::lanes], unit[F32::lanes];
    store(general, product(term_of(distance_of(load(batch.max + start), w), terms, w)));
    const bool units = kHasUnitTerms && parameters.unit_temperature;
    if (units) store(unit, unit_terms_of_maxima(batch, start, parameters));
    for (size_t i = 0; i < F32::lanes; i += F64::lanes) {
      const size_t at = start + i;
      const F64 rest = units ? unit_rest(batch, at, load64(general + i), load64(unit + i), parameters)
                             : sub(load64(batch.sum + at), load64(general + i));
      // One over the largest logit's exact term.
      const F64 max = sub(load64(batch.max + at), load64(batch.origin + at));
      const F64 inverse = exp64(sub(zero, per_temperature(max)), load64(batch.octave + at));
      store64(sums + at, fma(rest, inverse, one));
    }
  }
  for (size_t at = 0; at < count; at += F64::lanes) {
    const F64 log_sum = max_keeping_nan(zero, log64(load64(sums + at)));
    const F64 row_max = load64(batch.max + at);
    store64(results.log_sum + at, log_sum);
    store64(results.token + at, sub(per_temperature(sub(load64(batch.target + at), row_max)), log_sum));
    if (!Weighted) continue;
    const F64 mean = div(load64(batch.weighted + at), load64(batch.sum + at));
    const F64 below = per_temperature(sub(sub(row_max, load64(batch.origin + at)), mean));
    // Rounded as a number near 1 is: the rest may be the floor's terms, which depend on the place.
    const F64 entropy = sub(add(add(log_sum, below), one), one);
    store64(results.entropy + at, max_keeping_nan(zero, entropy));
  }
  size_t not_finite = 0;
  for (size_t row = 0; row < count; row++) not_finite += !(batch.sum[row] > 0.0);
  results.finite = not_finite == 0;
}
