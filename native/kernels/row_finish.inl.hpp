// From rows' sums to their log-sum-exps and entropies. After kernels/row_block.inl.hpp.
//
// The term of the largest logit, as the kernels formed it, is taken out of the sum and its exact value put in its
// place: what is certain has log-prob 0 exactly, no log-prob is above 0, and the place leaves no trace.

// log(x) for x in [1, 2^1000]; absolute error below 1e-15 log(x) + 1e-14, exactly 0 at 1. With x = 2^e z, z around 1,
// and f = (z - 1)/(z + 1): log(z) = 2 (f + f^3/3 + f^5/5 + ...), |f| <= 0.172.
COVN_INLINE F64 log64(F64 x) {
  F64 exponent;
  const F64 z = split_exponent(x, exponent);
  const F64 f = div(sub(z, set64(1.0)), add(z, set64(1.0)));
  const F64 f2 = mul(f, f);
  F64 p = set64(1.0 / 15);
  for (int odd = 13; odd > 1; odd -= 2) p = fma(p, f2, set64(1.0 / odd));
  const F64 twice = add(f, f);
  return fma(exponent, set64(kLn2), fma(mul(twice, f2), p, twice));
}

// exp(x) / 2^octave where that is within the double range; relative error below 1e-12. With x = k ln(2) + r:
// 2^(k - octave) (1 + r + r^2/2! + ...), |r| <= 0.347. The octave changes no rounding.
COVN_INLINE F64 exp64(F64 x, F64 octave) {
  const F64 magic = set64(0x1.8p52);
  const F64 shifted = fma(x, set64(kLog2E), magic);
  const F64 r = fma(sub(magic, shifted), set64(kLn2), x);
  constexpr double kInverseFactorials[] = {1.0,       1.0,        1.0 / 2,     1.0 / 6,      1.0 / 24,     1.0 / 120,
                                           1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880, 1.0 / 3628800};
  F64 p = set64(kInverseFactorials[10]);
  for (int n = 9; n >= 0; n--) p = fma(p, r, set64(kInverseFactorials[n]));
  return mul(p, power64(sub(shifted, octave)));
}

// Results of the first `count` rows; those of rows that are not finite mean nothing.
template <bool Weighted>
void finish_rows(const RowBatch& batch, size_t count, const RowParameters& parameters, RowResults& results) {
  const Terms terms = load_terms(parameters);
  const F64 temperature = set64(parameters.temperature), zero = set64(0.0), one = set64(1.0);
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
      const F64 row_max = load64(batch.max + at);
      const F64 max = sub(row_max, load64(batch.origin + at));
      const F64 scaled = parameters.unit_temperature ? max : div(max, temperature);
      const F64 largest = exp64(scaled, load64(batch.octave + at));
      const F64 log_sum = max_keeping_nan(zero, log64(add(div(rest, largest), one)));
      store64(results.log_sum + at, log_sum);
      if (!Weighted) continue;
      const F64 mean = div(load64(batch.weighted + at), load64(batch.sum + at));
      // Rounded as a number near 1 is: the rest may be the floor's terms, which depend on the place.
      const F64 entropy = sub(add(add(log_sum, div(sub(max, mean), temperature)), one), one);
      store64(results.entropy + at, max_keeping_nan(zero, entropy));
    }
  }
}
