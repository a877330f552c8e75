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
    return p.unit_temperature && place.origin == 0.0f && place.octave > -140 && place.octave < 104;
  }

  // As block_terms. `clamped`: whether logits below the floor are to be expected, such as those of masked tokens; found
  // out if not known.
  template <bool Weighted, bool Greater, size_t Rows>
  COVN_MEMBER_INLINE static void terms(const T* const* blocks, size_t n, Place place, const float* centres,
                                       const float* targets, const Terms& t, const RowParameters& parameters,
                                       bool& clamped, BlockSums* sums) {
    // Two at once: four would not fit the registers.
    constexpr size_t together = Rows % 2 == 0 ? 2 : 1;
    for (size_t r = 0; r < Rows; r += together) {
      bool low = true;
      if (!clamped) {
        low = read<Weighted, Greater, false, together>(blocks + r, n, place, centres + r, targets + r, t, parameters,
                                                       sums + r);
        clamped = low;
      }
      if (low) {
        read<Weighted, Greater, true, together>(blocks + r, n, place, centres + r, targets + r, t, parameters,
                                                sums + r);
      }
    }
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

  // Lanes of one row's sums, and the target as an unsigned integer: x > target when the bits that turn the order are
  // flipped in both.
  template <bool Weighted, bool Greater>
  struct Lanes {
    Scan scanned;
    F32 sum[2], weighted[2];  // of the current run
    WideSum wide_sum, wide_weighted;
    Packed flip, bound;
    int64_t greater = 0;

    COVN_MEMBER_INLINE Lanes() { start_run(); }
    COVN_MEMBER_INLINE void set_target(float target) {
      const uint16_t bits = target == 0.0f ? 0 : narrow_toward_zero<T>(target);  // -0 is 0
      const uint16_t turn = bits & 0x8000 ? 0xffff : 0x8000;
      flip = set_packed(turn);
      bound = set_packed(static_cast<uint16_t>(bits ^ turn));
    }
    COVN_MEMBER_INLINE void start_run() {
      for (size_t k = 0; k < 2; k++) sum[k] = weighted[k] = set(0.0f);
    }
    COVN_MEMBER_INLINE void end_run() {
      wide_sum.add(add(sum[0], sum[1]));
      if (Weighted) wide_weighted.add(add(weighted[0], weighted[1]));
      start_run();
    }
    template <bool Clamped>
    COVN_MEMBER_INLINE void step(Packed v, const Terms& t, F32 magic, Packed floor, F32 largest) {
      if (Greater) greater += count_greater(flip_bits(v, flip), bound);
      F32 x[2];
      widen(Clamped ? min_unsigned(v, floor) : v, T{}, x[0], x[1]);
      for (size_t k = 0; k < 2; k++) {
        const Term e = packed_term(x[k], t, magic);
        sum[k] = fma(e.scale, e.polynomial, sum[k]);
        if (Weighted) weighted[k] = fma(product(e), sub(x[k], largest), weighted[k]);
      }
    }
  };

  static constexpr size_t kPackedStep = 2 * F32::lanes;

  // The last n < kPackedStep logits, then `padding`.
  COVN_MEMBER_INLINE static Packed load_rest(const T* x, size_t n, uint16_t padding) {
    T rest[kPackedStep];
    for (size_t k = 0; k < kPackedStep; k++) rest[k].bits = k < n ? x[k].bits : padding;
    return load_packed(rest);
  }

  // Whether some logit lies below the floor: then only what was read with Clamped holds.
  template <bool Weighted, bool Greater, bool Clamped, size_t Rows>
  COVN_MEMBER_INLINE static bool read(const T* const* blocks, size_t n, Place place, const float* centres,
                                      const float* targets, const Terms& t, const RowParameters& parameters,
                                      BlockSums* sums) {
    const F32 magic = set(magic_of(place, parameters));
    const uint16_t floor_bits = narrow_toward_zero<T>(floor_of(place, parameters));
    const Packed floor = set_packed(floor_bits);
    Lanes<Weighted, Greater> lanes[Rows];
    const T* x[Rows];
    F32 largest[Rows];
    for (size_t r = 0; r < Rows; r++) {
      x[r] = blocks[r];
      largest[r] = set(Weighted ? centres[r] : 0.0f);
      if (Greater) lanes[r].set_target(targets[r]);
    }
    const size_t whole = n / kPackedStep * kPackedStep, run = parameters.run * kPackedStep;
    for (size_t i = 0; i < whole;) {
      const size_t end = whole - i < run ? whole : i + run;
      for (; i < end; i += kPackedStep) {
        for (size_t r = 0; r < Rows; r++) {
          prefetch(x[r] + i);
          const Packed v = load_packed(x[r] + i);
          lanes[r].scanned.add(v);
          lanes[r].template step<Clamped>(v, t, magic, floor, largest[r]);
        }
      }
      for (size_t r = 0; r < Rows; r++) lanes[r].end_run();
    }
    bool low = false;
    for (size_t r = 0; r < Rows; r++) {
      if (whole < n) {
        // -0 is the least as a signed word, and as an unsigned negative one.
        lanes[r].scanned.add(load_rest(x[r] + whole, n - whole, 0x8000));
        lanes[r].template step<true>(load_rest(x[r] + whole, n - whole, kNegativeInfinity<T>), t, magic, floor,
                                     largest[r]);
        lanes[r].end_run();
      }
      const uint16_t smallest = lanes[r].scanned.smallest();
      low = low || smallest > floor_bits;
      // A NaN's term may have been clamped.
      sums[r].max = smallest > kNegativeInfinity<T> ? static_cast<float>(COVN_NAN) : lanes[r].scanned.max(x[r], n);
      sums[r].sum = lanes[r].wide_sum.total() * (1.0 / kSquareScale);
      sums[r].greater = lanes[r].greater;
      sums[r].weighted =
          Weighted ? lanes[r].wide_weighted.total() * (1.0 / kSquareScale) + centres[r] * sums[r].sum : 0.0;
    }
    return low;
  }
};
template <>
struct PackedBlock<Float16> : PackedBlockTerms<Float16> {};
template <>
struct PackedBlock<BFloat16> : PackedBlockTerms<BFloat16> {};
