// Slow oracles for linear models, in long double: a state's distribution, gradients, and paths of SGD. They share no
// code with the models.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "covn/tabular.hpp"

namespace covn::reference {

using Vector = std::vector<long double>;

// A dense machine with dense features.
struct Linear {
  TabularRows rows;
  std::size_t dimension;
  std::vector<double> features;  // [states, vocab, dimension]

  const double* phi(std::size_t state, std::size_t token) const {
    return &features[(state * rows.vocab + token) * dimension];
  }

  // [vocab], nats
  Vector log_probs(std::size_t state, const Vector& theta) const {
    Vector x(rows.vocab);
    long double most = -INFINITY, sum = 0;
    for (std::size_t v = 0; v < rows.vocab; v++) {
      for (std::size_t k = 0; k < dimension; k++) x[v] += theta[k] * phi(state, v)[k];
      most = x[v] > most ? x[v] : most;
    }
    for (long double each : x) sum += std::exp(each - most);
    for (long double& each : x) each -= most + std::log(sum);
    return x;
  }

  // gradient += weight * (phi - phibar) of a token; gives its log-prob.
  long double add_gradient(std::size_t state, std::size_t token, const Vector& theta, long double weight,
                           Vector& gradient) const {
    const Vector x = log_probs(state, theta);
    for (std::size_t k = 0; k < dimension; k++) {
      gradient[k] += weight * phi(state, token)[k];
      for (std::size_t v = 0; v < rows.vocab; v++) gradient[k] -= weight * std::exp(x[v]) * phi(state, v)[k];
    }
    return x[token];
  }

  // The same of a response, each token weighing 1.
  long double add_response(std::size_t prompt, const int32_t* tokens, std::size_t count, const Vector& theta,
                           Vector& gradient) const {
    int32_t state = rows.starts[prompt];
    long double sum = 0;
    for (std::size_t h = 0; h < count; h++) {
      const auto s = static_cast<std::size_t>(state), token = static_cast<std::size_t>(tokens[h]);
      sum += add_gradient(s, token, theta, 1, gradient);
      state = rows.next[s * rows.vocab + token];
    }
    return sum;
  }
};

}  // namespace covn::reference
