// Tail probabilities for tests of random draws, in long double.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace covn::reference {

// Q(a, x), the regularised upper incomplete gamma function: by the series of 1 - Q, or by the continued fraction
// (Lentz's method; Abramowitz and Stegun 6.5.29 and 6.5.31).
inline long double upper_gamma(long double a, long double x) {
  if (x <= 0) return 1;
  const long double scale = std::exp(a * std::log(x) - x - std::lgamma(a));
  if (x < a + 1) {
    long double term = 1 / a, sum = term;
    for (long double k = a + 1; term > sum * 1e-19L; k++) sum += term *= x / k;
    return 1 - scale * sum;
  }
  constexpr long double kTiny = 1e-300L;
  long double b = x + 1 - a, c = 1 / kTiny, d = 1 / b, fraction = d;
  for (int k = 1; k < 1'000'000; k++) {
    const long double factor = -k * (k - a);
    b += 2;
    d = 1 / (factor * d + b);
    c = b + factor / c;
    fraction *= c * d;
    if (std::fabs(c * d - 1) < 1e-18L) break;
  }
  return scale * fraction;
}

// P(X >= statistic) for chi-square of so many degrees of freedom.
inline long double chi_square_above(long double statistic, long double freedom) {
  return upper_gamma(freedom / 2, statistic / 2);
}

// P(X <= count) for Poisson.
inline long double poisson_at_most(long count, long double mean) {
  return count < 0 ? 0 : upper_gamma(static_cast<long double>(count) + 1, mean);
}

// P(as extreme as `count`), each side doubled.
inline long double poisson_two_sided(long count, long double mean) {
  return 2 * std::fmin(poisson_at_most(count, mean), 1 - poisson_at_most(count - 1, mean));
}

// Pearson's chi-square test: how probable a fit this bad is. Neighbouring cells are merged until 10 are expected in
// each; a cell that cannot occur and did has probability 0.
template <class Count>
long double chi_square_test(const std::vector<Count>& counts, const std::vector<long double>& probabilities,
                            long double draws) {
  long double statistic = 0, expected = 0, count = 0, last_expected = 0, last_count = 0;
  std::size_t cells = 0;
  const auto term = [](long double n, long double e) { return (n - e) * (n - e) / e; };
  for (std::size_t i = 0; i < counts.size(); i++) {
    if (probabilities[i] <= 0 && counts[i] > 0) return 0;
    expected += draws * probabilities[i];
    count += static_cast<long double>(counts[i]);
    if (expected < 10) continue;
    statistic += term(count, expected);
    last_expected = expected;
    last_count = count;
    expected = count = 0;
    cells++;
  }
  if (cells > 0 && expected > 0) {  // the rest joins the last cell
    statistic += term(last_count + count, last_expected + expected) - term(last_count, last_expected);
  }
  return cells < 2 ? 1 : chi_square_above(statistic, static_cast<long double>(cells - 1));
}

}  // namespace covn::reference
