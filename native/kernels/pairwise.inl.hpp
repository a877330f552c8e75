// Pairwise empirical coverage (Eq. 28, arXiv 2510.15020) of two models on the same responses: how often one's log-prob
// exceeds the other's by at least a threshold. Exact: `>=` on the double difference, both directions from one
// subtraction (a - b = -(b - a) exactly). A NaN difference (both log-probs -inf) counts for neither.
// Included by kernels/targets/*.cpp after the simd wrapper.

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
