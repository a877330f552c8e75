// A slow oracle for pairs of models, in long double and in the plainest way. It shares no code with the kernels.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

namespace covn::reference {

struct Pair {
  long double log_ratio, kl, hellinger;
};

// log of the sum of exp(x / temperature), less max / temperature.
template <class Logit>
long double log_sum(const Logit* x, std::size_t n, long double max, long double temperature) {
  long double sum = 0;
  for (std::size_t i = 0; i < n; i++) sum += std::exp((static_cast<long double>(x[i]) - max) / temperature);
  return std::log(sum);
}

// a, b [n]: logits of the reference and of the model, as their storage format gives them.
template <class Logit>
Pair score_pair(const Logit* a, const Logit* b, std::size_t n, std::size_t target, long double temperature) {
  long double max_a = -std::numeric_limits<long double>::infinity(), max_b = max_a;
  for (std::size_t i = 0; i < n; i++) {
    max_a = std::fmax(max_a, static_cast<long double>(a[i]));
    max_b = std::fmax(max_b, static_cast<long double>(b[i]));
  }
  const long double sum_a = log_sum(a, n, max_a, temperature), sum_b = log_sum(b, n, max_b, temperature);
  Pair result{0, 0, 0};
  for (std::size_t i = 0; i < n; i++) {
    const long double log_p = (static_cast<long double>(a[i]) - max_a) / temperature - sum_a;
    const long double log_q = (static_cast<long double>(b[i]) - max_b) / temperature - sum_b;
    const long double p = std::exp(log_p), q = std::exp(log_q), difference = std::sqrt(p) - std::sqrt(q);
    if (!std::isinf(log_p)) result.kl += std::isinf(log_q) ? -log_q : p * (log_p - log_q);
    result.hellinger += difference * difference / 2;
    if (i == target) result.log_ratio = log_p - log_q;
  }
  return result;
}

}  // namespace covn::reference
