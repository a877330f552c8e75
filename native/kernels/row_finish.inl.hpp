// From a row's sums to its log-sum-exp and entropy. After kernels/row_block.inl.hpp.
//
// The sum is divided by the term of the largest logit, formed as the kernels form it: what is certain has log-prob 0
// exactly, no log-prob is above 0, and the place leaves no trace.

// log(x) for x in [1, 2^1000]; absolute error below 1e-15 log(x) + 1e-16, exactly 0 at 1. With x = 2^e z, z around 1, and
// f = (z - 1)/(z + 1): log(z) = 2 (f + f^3/3 + f^5/5 + ...), |f| <= 0.172.
COVN_INLINE F64 log64(F64 x) {
  F64 exponent;
  const F64 z = split_exponent(x, exponent);
  const F64 f = div(sub(z, set64(1.0)), add(z, set64(1.0)));
  const F64 f2 = mul(f, f);
  F64 p = set64(1.0 / 19);
  for (int odd = 17; odd > 1; odd -= 2) p = fma(p, f2, set64(1.0 / odd));
  const F64 twice = add(f, f);
  return fma(exponent, set64(0.6931471805599453), fma(mul(twice, f2), p, twice));
}

// results [count] of states [count]; those of rows that are not finite mean nothing.
template <class T, bool Weighted>
void finish_rows(const RowState* states, size_t count, const RowParameters& parameters, RowResult* results) {
  const Terms terms = load_terms(parameters);
  for (size_t start = 0; start < count; start += F32::lanes) {
    const size_t rows = count - start < F32::lanes ? count - start : F32::lanes;
    float max[F32::lanes], origin[F32::lanes], magic[F32::lanes], floor[F32::lanes];
    double sum[F32::lanes], log_sum[F32::lanes];
    for (size_t i = 0; i < F32::lanes; i++) {
      const RowState& s = states[start + (i < rows ? i : 0)];
      max[i] = s.max;
      origin[i] = s.place.origin;
      magic[i] = magic_of(s.place, parameters);
      floor[i] = floor_of(s.place, parameters);
      sum[i] = s.sum;
    }
    const Window w{load(origin), load(magic), load(floor)};
    float largest[F32::lanes];
    store(largest, product(term(distance(load(max), w), terms, w)));
    if constexpr (PackedBlock<T>::available) {
      if (parameters.unit_temperature) {
        PackedBlock<T>::finish(states + start, rows, max, magic, terms, parameters, largest, sum);
      }
    }
    for (size_t i = 0; i < F32::lanes; i += F64::lanes) {
      store64(log_sum + i, log64(div(load64(sum + i), load64(largest + i))));
    }
    for (size_t i = 0; i < rows; i++) {
      const RowState& s = states[start + i];
      RowResult& r = results[start + i];
      r.log_sum = log_sum[i];
      if (!Weighted) continue;
      const double entropy = log_sum[i] + (s.max - base_of(s.place, parameters) - s.weighted / s.sum) / parameters.temperature;
      r.entropy = entropy > 0.0 ? entropy : 0.0;
    }
  }
}
