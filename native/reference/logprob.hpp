// Slow oracles for log-probs, in long double and in the plainest way, for reading and for tests. They share no code
// with the kernels.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

namespace covn::reference {

struct Row {
  long double token, log_z, entropy;
  long rank;
};

// x [n]: logits as their storage format gives them, divided by the temperature here.
template <class Logit>
Row score_row(const Logit* x, std::size_t n, std::size_t target, long double temperature) {
  long double max = -std::numeric_limits<long double>::infinity();
  for (std::size_t i = 0; i < n; i++) max = std::fmax(max, static_cast<long double>(x[i]));
  long double sum = 0, weighted = 0;
  long rank = 1;
  for (std::size_t i = 0; i < n; i++) {
    const long double z = (static_cast<long double>(x[i]) - max) / temperature;
    const long double e = std::exp(z);
    sum += e;
    if (e > 0) weighted += e * z;
    rank += x[i] > x[target];
  }
  const long double log_sum = std::log(sum);
  return {(static_cast<long double>(x[target]) - max) / temperature - log_sum, max / temperature + log_sum,
          log_sum - weighted / sum, rank};
}

}  // namespace covn::reference
