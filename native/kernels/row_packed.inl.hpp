// Terms of half and bfloat16 logits by the formula of kernels/unit_terms.inl.hpp. After kernels/row_block.inl.hpp.
//
// Both formats are sign and magnitude, so that as 16-bit integers non-negative ones are in order and negative ones in
// reverse: largest, smallest and comparing take one instruction for 32 logits, before they are widened.
template <class T>
struct PackedRows {
  // As block_terms with UnitFormula<Clamped>.
  template <bool Weighted, bool Greater, bool Clamped, size_t Rows>
  COVN_MEMBER_INLINE static void terms(const T* const* blocks, size_t n, Place place, const float* centres,
                                       const float* targets, const RowParameters& parameters, BlockSums* sums) {
    const UnitTerms t = unit_terms(place.octave, parameters);
    const size_t whole = n / kPackedStep * kPackedStep, run = parameters.run * kPackedStep;
    const bool clamps = Clamped || whole < n;
    const Packed floor = set_packed(clamps ? narrow_toward_zero<T>(floor_of(place, parameters)) : uint16_t{0});
    Lanes<Weighted, Greater> lanes[Rows];
    const T* x[Rows];
    F32 largest[Rows];
    for (size_t r = 0; r < Rows; r++) {
      x[r] = blocks[r];
      largest[r] = set(Weighted ? centres[r] : 0.0f);
      if (Greater) lanes[r].set_target(targets[r]);
    }
    for (size_t i = 0; i < whole;) {
      const size_t end = whole - i < run ? whole : i + run;
      Run runs[Rows];
      for (; i < end; i += kPackedStep) {
        for (size_t r = 0; r < Rows; r++) {
          prefetch(x[r] + i);
          const Packed v = load_packed(x[r] + i);
          lanes[r].scanned.template add<Clamped>(v);
          lanes[r].template step<Clamped>(v, t, floor, largest[r], runs[r]);
        }
      }
      for (size_t r = 0; r < Rows; r++) lanes[r].end(runs[r]);
      note_spans<UnitFormula<Clamped>, Rows>(lanes, i, sums);
    }
    for (size_t r = 0; r < Rows; r++) {
      if (whole < n) {
        // -0 is the least as a signed word, and as an unsigned negative one.
        lanes[r].scanned.template add<true>(load_rest(x[r] + whole, n - whole, 0x8000));
        Run rest;
        lanes[r].template step<true>(load_rest(x[r] + whole, n - whole, kNegativeInfinity<T>), t, floor, largest[r],
                                     rest);
        lanes[r].end(rest);
      }
      sums[r].sum = lanes[r].wide_sum.total() * (1.0 / kSquareScale);
      // A NaN's term may have been clamped.
      const bool hidden = clamps && lanes[r].scanned.smallest() > kNegativeInfinity<T>;
      sums[r].max = hidden ? static_cast<float>(COVN_NAN) : lanes[r].scanned.max(x[r], n);
      sums[r].greater = lanes[r].greater;
      sums[r].weighted =
          Weighted ? lanes[r].wide_weighted.total() * (1.0 / kSquareScale) + centres[r] * sums[r].sum : 0.0;
    }
  }

 private:
  // What integers tell of the logits.
  struct Scan {
    Packed largest_signed, largest_unsigned;

    COVN_MEMBER_INLINE Scan() : largest_signed(set_packed(0x8000)), largest_unsigned(set_packed(0)) {}
    // `Smallest`: for smallest() too.
    template <bool Smallest>
    COVN_MEMBER_INLINE void add(Packed v) {
      largest_signed = max_signed(v, largest_signed);
      if (Smallest) largest_unsigned = max_unsigned(v, largest_unsigned);
    }
    // Of all the n logits of x, which were added; NaN for a NaN without the sign bit.
    COVN_MEMBER_INLINE float max(const T* x, size_t n) const {
      const int16_t largest = reduce_max_signed(largest_signed);
      return largest < 0 ? block_maximum(x, n) : to_float(T{static_cast<uint16_t>(largest)});
    }
    // The bits of the smallest negative logit, above those of -inf for a NaN with the sign bit set.
    COVN_MEMBER_INLINE uint16_t smallest() const { return reduce_max_unsigned(largest_unsigned); }
  };

  // The sums of a run: apart from Lanes, so that compilers keep them in registers.
  struct Run {
    F32 sum[2], weighted[2];
    COVN_MEMBER_INLINE Run() {
      for (size_t k = 0; k < 2; k++) sum[k] = weighted[k] = set(0.0f);
    }
  };

  // Lanes of one row's sums, and the target as an unsigned integer: x > target when the bits that turn the order are
  // flipped in both.
  template <bool Weighted, bool Greater>
  struct Lanes {
    Scan scanned;
    WideSum wide_sum, wide_weighted;
    Packed flip, bound;
    int64_t greater;

    // Written out: an implicit one would be made outside the target region.
    COVN_MEMBER_INLINE Lanes() : greater(0) {}
    COVN_MEMBER_INLINE void set_target(float target) {
      const uint16_t bits = target == 0.0f ? 0 : narrow_toward_zero<T>(target);  // -0 is 0
      const uint16_t turn = bits & 0x8000 ? 0xffff : 0x8000;
      flip = set_packed(turn);
      bound = set_packed(static_cast<uint16_t>(bits ^ turn));
    }
    template <bool Clamped>
    COVN_MEMBER_INLINE void step(Packed v, const UnitTerms& t, Packed floor, F32 largest, Run& run) {
      if (Greater) greater += count_greater(flip_bits(v, flip), bound);
      F32 x[2];
      widen(Clamped ? min_unsigned(v, floor) : v, T{}, x[0], x[1]);
      for (size_t k = 0; k < 2; k++) {
        const Term e = unit_term(x[k], t);
        run.sum[k] = fma(e.scale, e.polynomial, run.sum[k]);
        if (Weighted) run.weighted[k] = fma(product(e), sub(x[k], largest), run.weighted[k]);
      }
    }
    COVN_MEMBER_INLINE void end(const Run& run) {
      wide_sum.add(add(run.sum[0], run.sum[1]));
      if (Weighted) wide_weighted.add(add(run.weighted[0], run.weighted[1]));
    }
  };

  static constexpr size_t kPackedStep = 2 * F32::lanes;

  // The last n < kPackedStep logits, then `padding`.
  COVN_MEMBER_INLINE static Packed load_rest(const T* x, size_t n, uint16_t padding) {
    T rest[kPackedStep];
    for (size_t k = 0; k < kPackedStep; k++) rest[k].bits = k < n ? x[k].bits : padding;
    return load_packed(rest);
  }
};
