// Terms of half and bfloat16 logits at temperature 1, for targets whose vectors hold a whole table of 32 powers: half
// as many instructions a logit as the general kernel. After kernels/row_block.inl.hpp.
//
// Both formats are sign and magnitude, so that as 16-bit integers non-negative ones are in order and negative ones in
// reverse: largest, smallest, clamping and comparing take one instruction for 32 logits, before they are widened. They
// have at most 11 significant bits, so x + 1 + 2^-16 is exact, and with s = r + 1 + 2^-16
//   2 e^r ~ s^2 + 1 - 2^-15     (largest relative error 5.6e-8, mean 1.4e-10)
// comes without a chain of coefficients. ln(2)/32 is one float here, 2.7e-9 too large: over the distance of the terms
// from the largest a bias below 1e-8 nats a token; the part that grows with the logits themselves is taken out.
constexpr float kSquareShift = 1.0f + 0x1p-16f;
constexpr float kSquareConstant = 1.0f - 0x1p-15f;

// Twice the term of x, for a place of origin 0.
COVN_INLINE Term packed_term(F32 x, const Terms& t, F32 magic) {
  const F32 shifted = fma(x, t.rate, magic);
  const F32 k = sub(shifted, magic);
  const F32 s = fma(k, t.step_high, add(x, set(kSquareShift)));
  return {power(shifted, t.powers), fma(s, s, set(kSquareConstant))};
}

// What sums of packed terms are multiplied by: a half, and the place's share of the error of ln(2)/32.
COVN_INLINE double packed_factor(int32_t octave, const RowParameters& p) {
  constexpr double kSteps = 32.0;
  return 0.5 * (1.0 + octave * (kSteps * p.step_high - kLn2));
}

template <class T>
struct PackedBlockTerms {
  static constexpr bool available = true;

  // For rows whose largest logit came packed, its term formed likewise; their sums are divided by packed_factor instead.
  COVN_MEMBER_INLINE static void finish(const RowState* states, size_t rows, const float* max, const float* magic,
                                        const Terms& terms, const RowParameters& p, float* largest, double* sum) {
    float packed[F32::lanes];
    store(packed, product(packed_term(load(max), terms, load(magic))));
    for (size_t i = 0; i < rows; i++) {
      if (!states[i].packed_max) continue;
      largest[i] = packed[i];
      sum[i] /= packed_factor(states[i].place.octave, p);
    }
  }

  // Whether blocks of this largest logit, and places chosen by it, are read packed: x + 1 + 2^-16 is then exact, and
  // every floor negative. It decides for a block whatever its place is, so that bits depend on the row alone.
  COVN_MEMBER_INLINE static bool fits(float max, const RowParameters& p) {
    return p.unit_temperature && max > -70.0f && max < 70.0f;
  }

  template <bool Weighted, bool Greater>
  struct Lanes {
    Packed largest_signed, largest_unsigned;
    F32 sum[kChains], weighted[kChains];
    WideSum wide_sum, wide_weighted;
    int64_t greater = 0;

    COVN_MEMBER_INLINE Lanes() : largest_signed(set_packed(0x8000)), largest_unsigned(set_packed(0)) { start_run(); }
    COVN_MEMBER_INLINE void start_run() {
      for (size_t k = 0; k < kChains; k++) sum[k] = weighted[k] = set(0.0f);
    }
    COVN_MEMBER_INLINE void end_run() {
      wide_sum.add(tree_sum(sum));
      if (Weighted) wide_weighted.add(tree_sum(weighted));
      start_run();
    }
    COVN_MEMBER_INLINE void step(const Packed* p, const Terms& t, F32 magic, Packed floor, Packed flip, Packed bound) {
      F32 x[kChains];
      for (size_t k = 0; k < kChains; k += 2) {
        const Packed v = p[k / 2];
        largest_signed = max_signed(v, largest_signed);
        largest_unsigned = max_unsigned(v, largest_unsigned);
        if (Greater) greater += count_greater(flip_bits(v, flip), bound);
        widen(min_unsigned(v, floor), T{}, x[k], x[k + 1]);
      }
      for (size_t k = 0; k < kChains; k++) {
        const Term e = packed_term(x[k], t, magic);
        sum[k] = fma(e.scale, e.polynomial, sum[k]);
        if (Weighted) weighted[k] = fma(product(e), x[k], weighted[k]);
      }
    }
  };

  template <bool Weighted, bool Greater>
  COVN_MEMBER_INLINE static BlockSums terms(const T* x, size_t n, Place place, float target, const Terms& t,
                                            const RowParameters& parameters) {
    const F32 magic = set(magic_of(place, parameters));
    const Packed floor = set_packed(narrow_toward_zero<T>(floor_of(place, parameters)));
    // x > target as unsigned integers, once the bits that turn the order are flipped; -0 is 0.
    const uint16_t bits = target == 0.0f ? 0 : narrow_toward_zero<T>(target);
    const uint16_t turn = bits & 0x8000 ? 0xffff : 0x8000;
    const Packed flip = set_packed(turn), bound = set_packed(static_cast<uint16_t>(bits ^ turn));
    Lanes<Weighted, Greater> lanes;
    Packed v[kChains / 2];
    size_t i = 0;
    while (i + kStep <= n) {
      for (size_t left = parameters.run; left > 0 && i + kStep <= n; left--, i += kStep) {
        for (size_t k = 0; k < kChains / 2; k++) {
          prefetch(x + i + 2 * k * F32::lanes);
          v[k] = load_packed(x + i + 2 * k * F32::lanes);
        }
        lanes.step(v, t, magic, floor, flip, bound);
      }
      lanes.end_run();
    }
    if (i < n) {
      T rest[kStep];
      for (size_t k = 0; k < kStep; k++) rest[k].bits = i + k < n ? x[i + k].bits : kNegativeInfinity<T>;
      for (size_t k = 0; k < kChains / 2; k++) v[k] = load_packed(rest + 2 * k * F32::lanes);
      lanes.step(v, t, magic, floor, flip, bound);
      lanes.end_run();
    }
    const double factor = packed_factor(place.octave, parameters);
    BlockSums sums{0.0f, factor * lanes.wide_sum.total(), 0.0, lanes.greater};
    if (Weighted) sums.weighted = factor * lanes.wide_weighted.total() - centre_of(place, parameters) * sums.sum;
    const int16_t largest = reduce_max_signed(lanes.largest_signed);
    sums.max = largest < 0 ? block_maximum(x, n) : to_float(T{static_cast<uint16_t>(largest)});
    // A NaN with the sign bit set was clamped like a large negative number.
    if (reduce_max_unsigned(lanes.largest_unsigned) > kNegativeInfinity<T>) sums.sum = COVN_NAN;
    return sums;
  }
};
template <>
struct PackedBlock<Float16> : PackedBlockTerms<Float16> {};
template <>
struct PackedBlock<BFloat16> : PackedBlockTerms<BFloat16> {};
