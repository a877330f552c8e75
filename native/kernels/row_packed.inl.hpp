// Terms of half and bfloat16 logits at temperature 1, for targets whose vectors hold a whole table of 32 powers: half
// as many instructions a logit as the general kernel. After kernels/row_block.inl.hpp.
//
// Both formats are sign and magnitude, so that as 16-bit integers non-negative ones are in order and negative ones in
// reverse: largest, smallest and comparing take one instruction for 32 logits, before they are widened.
//
// ln(2)/32 is one float here, 2.7e-9 too large, which packed_bias takes out. 46 of these steps are nearly 1, so that
//   s = x - (k - 46) step = r + 0.9964,   e^r ~ (s^2 + kSquareConstant) / kSquareScale
// needs neither a chain of coefficients nor an addition for the 1: largest relative error 1.5e-7, mean 0.
constexpr float kSquareShift = 46.0f;
constexpr float kSquareConstant = 0.9999478f;
constexpr double kSquareScale = 1.9927590432964382;

// The term of x times kSquareScale, for a place of origin 0.
COVN_INLINE Term packed_term(F32 x, const Terms& t, F32 magic) {
  const F32 shifted = fma(x, t.rate, magic);
  const F32 k = sub(shifted, add(magic, set(kSquareShift)));
  const F32 s = fma(k, t.step_high, x);
  return {power(shifted, t.powers), fma(s, s, set(kSquareConstant))};
}

// How much too small packed sums are, as a share of them, for a row of this largest logit: exp(x) comes multiplied by
// exp(-x 2.7e-9). The terms that matter lie 0 to 4 nats below the largest, so that taking them at 1.5 leaves a bias
// below 7e-9 nats a token.
COVN_INLINE double packed_bias(float max, const RowParameters& p) {
  constexpr double kSteps = 32.0, kDistance = 1.5;
  return (static_cast<double>(max) - kDistance) * (kSteps * p.step_high / kLn2 - 1.0);
}

template <class T>
struct PackedBlockTerms {
  static constexpr bool available = true;

  // For rows with packed terms: that of the largest logit as the kernel formed it, and the bias of the others.
  COVN_MEMBER_INLINE static void finish(const RowBatch& batch, size_t start, const Terms& terms, const RowParameters& p,
                                        double* formed, double* rest) {
    float packed[F32::lanes];
    store(packed, product(packed_term(load(batch.max + start), terms, load(batch.magic + start))));
    for (size_t i = 0; i < F32::lanes; i++) {
      const size_t row = start + i;
      double others = batch.packed[row];
      if (batch.packed_max[row]) {
        formed[i] = packed[i] * (1.0 / kSquareScale);
        others -= formed[i];
        rest[i] = batch.sum[row] - formed[i];
      }
      rest[i] += others * packed_bias(batch.max[row], p);
    }
  }

  // Whether a block is read packed, from the largest logit of its row up to its end: the floors of all places near it
  // are then negative. It decides for a block wherever that is tried, so that bits depend on the row alone.
  COVN_MEMBER_INLINE static bool fits(float max) { return max > -70.0f && max < 70.0f; }
  COVN_MEMBER_INLINE static bool place_fits(Place place, const RowParameters& p) {
    return p.unit_temperature && place.origin == 0.0f && place.octave > -104 && place.octave < 104;
  }

  // `clamped`: whether logits below the floor are to be expected, such as those of masked tokens; found out if not
  // known.
  template <bool Weighted, bool Greater>
  COVN_MEMBER_INLINE static BlockSums terms(const T* x, size_t n, Place place, float centre, float target,
                                            const Terms& t, const RowParameters& parameters, bool& clamped) {
    if (!clamped) {
      bool low = false;
      const BlockSums sums = read<Weighted, Greater, false>(x, n, place, centre, target, t, parameters, low);
      if (!low) return sums;
      clamped = true;
    }
    bool low = false;
    return read<Weighted, Greater, true>(x, n, place, centre, target, t, parameters, low);
  }

 private:
  // What integers tell of the logits.
  struct Scan {
    Packed largest_signed, largest_unsigned;

    COVN_MEMBER_INLINE Scan() : largest_signed(set_packed(0x8000)), largest_unsigned(set_packed(0)) {}
    COVN_MEMBER_INLINE void add(Packed v) {
      largest_signed = max_signed(v, largest_signed);
      largest_unsigned = max_unsigned(v, largest_unsigned);
    }
    // Of all the n logits of x, which were added; NaN for a NaN without the sign bit.
    COVN_MEMBER_INLINE float max(const T* x, size_t n) const {
      const int16_t largest = reduce_max_signed(largest_signed);
      return largest < 0 ? block_maximum(x, n) : to_float(T{static_cast<uint16_t>(largest)});
    }
    // The bits of the smallest negative logit, above those of -inf for a NaN with the sign bit set.
    COVN_MEMBER_INLINE uint16_t smallest() const { return reduce_max_unsigned(largest_unsigned); }
  };

  template <bool Weighted, bool Greater>
  struct Lanes {
    F32 sum[kChains], weighted[kChains];
    WideSum wide_sum, wide_weighted;
    int64_t greater = 0;

    COVN_MEMBER_INLINE Lanes() { start_run(); }
    COVN_MEMBER_INLINE void start_run() {
      for (size_t k = 0; k < kChains; k++) sum[k] = weighted[k] = set(0.0f);
    }
    COVN_MEMBER_INLINE void end_run() {
      wide_sum.add(tree_sum(sum));
      if (Weighted) wide_weighted.add(tree_sum(weighted));
      start_run();
    }
    template <bool Clamped>
    COVN_MEMBER_INLINE void step(const Packed* v, const Terms& t, F32 magic, Packed floor, F32 largest, Packed flip,
                                 Packed bound) {
      F32 x[kChains];
      for (size_t k = 0; k < kChains; k += 2) {
        const Packed p = v[k / 2];
        if (Greater) greater += count_greater(flip_bits(p, flip), bound);
        widen(Clamped ? min_unsigned(p, floor) : p, T{}, x[k], x[k + 1]);
      }
      for (size_t k = 0; k < kChains; k++) {
        const Term e = packed_term(x[k], t, magic);
        sum[k] = fma(e.scale, e.polynomial, sum[k]);
        if (Weighted) weighted[k] = fma(product(e), sub(x[k], largest), weighted[k]);
      }
    }
  };

  // The last n < kStep logits, then `padding`.
  COVN_MEMBER_INLINE static void load_rest(Packed* v, const T* x, size_t n, uint16_t padding) {
    T rest[kStep];
    for (size_t k = 0; k < kStep; k++) rest[k].bits = k < n ? x[k].bits : padding;
    for (size_t k = 0; k < kChains / 2; k++) v[k] = load_packed(rest + 2 * k * F32::lanes);
  }

  template <bool Weighted, bool Greater, bool Clamped>
  COVN_MEMBER_INLINE static BlockSums read(const T* x, size_t n, Place place, float centre, float target,
                                           const Terms& t, const RowParameters& parameters, bool& low) {
    const F32 magic = set(magic_of(place, parameters));
    const uint16_t floor_bits = narrow_toward_zero<T>(floor_of(place, parameters));
    const Packed floor = set_packed(floor_bits);
    // x > target as unsigned integers, once the bits that turn the order are flipped; -0 is 0.
    const uint16_t bits = target == 0.0f ? 0 : narrow_toward_zero<T>(target);
    const uint16_t turn = bits & 0x8000 ? 0xffff : 0x8000;
    const Packed flip = set_packed(turn), bound = set_packed(static_cast<uint16_t>(bits ^ turn));
    const F32 largest = set(centre);
    Scan scanned;
    Lanes<Weighted, Greater> lanes;
    Packed v[kChains / 2];
    size_t i = 0;
    while (i + kStep <= n) {
      for (size_t left = parameters.run; left > 0 && i + kStep <= n; left--, i += kStep) {
        for (size_t k = 0; k < kChains / 2; k++) {
          prefetch(x + i + 2 * k * F32::lanes);
          v[k] = load_packed(x + i + 2 * k * F32::lanes);
          scanned.add(v[k]);
        }
        lanes.template step<Clamped>(v, t, magic, floor, largest, flip, bound);
      }
      lanes.end_run();
    }
    if (i < n) {
      load_rest(v, x + i, n - i, 0x8000);  // -0 is the least as a signed word, and as an unsigned negative one
      for (size_t k = 0; k < kChains / 2; k++) scanned.add(v[k]);
      load_rest(v, x + i, n - i, kNegativeInfinity<T>);
      lanes.template step<true>(v, t, magic, floor, largest, flip, bound);
      lanes.end_run();
    }
    BlockSums sums{scanned.max(x, n), lanes.wide_sum.total() * (1.0 / kSquareScale), 0.0, lanes.greater};
    if (Weighted) sums.weighted = lanes.wide_weighted.total() * (1.0 / kSquareScale) + centre * sums.sum;
    low = scanned.smallest() > floor_bits;
    if (scanned.smallest() > kNegativeInfinity<T>) sums.max = COVN_NAN;  // its term may have been clamped
    return sums;
  }
};
template <>
struct PackedBlock<Float16> : PackedBlockTerms<Float16> {};
template <>
struct PackedBlock<BFloat16> : PackedBlockTerms<BFloat16> {};
