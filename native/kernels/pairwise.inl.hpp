// Pairwise empirical coverage (Eq. 28, arXiv 2510.15020) of two models on the same responses: how often one's log-prob
// exceeds the other's by at least a threshold. Exact: `>=` on the double difference, both directions from one
// subtraction (a - b = -(b - a) exactly). A NaN difference (both log-probs -inf) counts for neither.
// Included by kernels/targets/*.cpp after the simd wrapper.

// Any thresholds, each by its own comparisons.
inline void count_pairs(const double* a, const double* b, size_t n, const double* thresholds, size_t threshold_count,
                        uint64_t* forward, uint64_t* backward) {
  for (size_t k = 0; k < threshold_count; k++) {
    const F64 above = set64(thresholds[k]);
    const F64 below = set64(-thresholds[k]);
    AtLeastCounter more, less;
    size_t i = 0;
    for (; i + F64::lanes <= n; i += F64::lanes) {
      const F64 difference = sub(load64(a + i), load64(b + i));
      more.count(difference, above);
      less.count(below, difference);
    }
    uint64_t more_total = more.total(), less_total = less.total();
    for (; i < n; i++) {
      const double difference = a[i] - b[i];
      more_total += difference >= thresholds[k];
      less_total += -difference >= thresholds[k];
    }
    forward[k] += more_total;
    backward[k] += less_total;
  }
}

// A lane counts ranks 0 to 15 in sixteen counters of four bits, which are spread to eight bits before they overflow;
// rank 16 falls off the end of the word.
constexpr size_t kNibbleVectors = 15;
constexpr size_t kByteRun = 17 * kNibbleVectors * F64::lanes;

// Adds to counts[r] the differences of rank r < 16 among n <= kByteRun, and with `zero` counts those at most 0. Lanes
// beyond n hold NaN, of the middle rank.
template <bool zero, class Rank>
inline void count_ranks(const Rank& rank, const double* a, const double* b, size_t n, uint64_t* counts,
                        AtLeastCounter& at_most_zero) {
  const U64 low_nibbles = set_u64(0x0f0f0f0f0f0f0f0fu), low_bytes = set_u64(0x00ff00ff00ff00ffu);
  U64 even = set_u64(0), odd = set_u64(0);
  for (size_t i = 0; i < n;) {
    U64 run = set_u64(0);
    if (n - i >= kNibbleVectors * F64::lanes) {
      // A loop of fixed length, which compilers unroll.
      for (size_t v = 0; v < kNibbleVectors; v++, i += F64::lanes) {
        const F64 difference = sub(load64(a + i), load64(b + i));
        if constexpr (zero) at_most_zero.count(set64(0.0), difference);
        run = add(run, rank.one_at(difference));
      }
    } else {
      for (; i < n; i += F64::lanes) {
        const F64 difference = sub(load64_padded(a + i, n - i), load64_padded(b + i, n - i));
        if constexpr (zero) at_most_zero.count(set64(0.0), difference);
        run = add(run, rank.one_at(difference));
      }
    }
    even = add(even, bit_and(run, low_nibbles));
    odd = add(odd, bit_and(shift_right<4>(run), low_nibbles));
  }
  // Sixteen bits hold 255 counts of each lane.
  const uint64_t sums[4] = {sum(bit_and(even, low_bytes)), sum(bit_and(odd, low_bytes)),
                            sum(bit_and(shift_right<8>(even), low_bytes)),
                            sum(bit_and(shift_right<8>(odd), low_bytes))};
  for (size_t r = 0; r < 16; r++) counts[r] += sums[r % 4] >> (16 * (r / 4)) & 0xffff;
}

// The thresholds of a ladder, all at once: a histogram of how many of its bounds the differences reach.
template <class Rank, bool zero>
inline void count_pairs_by_rank(const double* a, const double* b, size_t n, const Ladder& ladder, uint64_t* forward,
                                uint64_t* backward) {
  const Rank rank(ladder);
  uint64_t counts[16] = {};
  AtLeastCounter at_most_zero;
  for (size_t i = 0; i < n; i += kByteRun) {
    count_ranks<zero>(rank, a + i, b + i, n - i < kByteRun ? n - i : kByteRun, counts, at_most_zero);
  }
  uint64_t more = (n + F64::lanes - 1) / F64::lanes * F64::lanes;  // of rank 16
  for (uint64_t count : counts) more -= count;
  uint64_t less = 0;
  for (size_t k = Ladder::kSteps; k-- > 0;) {
    less += counts[Ladder::kSteps - 1 - k];
    if (k < ladder.steps) {
      forward[k] += more;
      backward[k] += zero && k == 0 ? at_most_zero.total() : less;
    }
    more += counts[Ladder::kSteps + k];
  }
}

template <class Rank>
inline void count_pairs_on_ladder(const double* a, const double* b, size_t n, const Ladder& ladder, uint64_t* forward,
                                  uint64_t* backward) {
  if (ladder.bounds[Ladder::kSteps] == 0.0) {
    count_pairs_by_rank<Rank, true>(a, b, n, ladder, forward, backward);
  } else {
    count_pairs_by_rank<Rank, false>(a, b, n, ladder, forward, backward);
  }
}

// How many of n values are below +inf; NaN is not.
inline size_t count_below_infinity(const double* x, size_t n) {
  const F64 largest = set64(COVN_LARGEST);
  AtLeastCounter counter;
  size_t i = 0;
  for (; i + F64::lanes <= n; i += F64::lanes) counter.count(largest, load64(x + i));
  size_t total = counter.total();
  for (; i < n; i++) total += COVN_LARGEST >= x[i];
  return total;
}
