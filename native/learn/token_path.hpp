// One step of Eq. 21 for each token: how token-level SGD walks along a response, and test-time training too.
#pragma once

#include <cmath>
#include <vector>

#include "covn/fit.hpp"
#include "learn/linear_machine.hpp"
#include "learn/norm.hpp"

namespace covn {

Status check_projection(const Projection& projection, size_t dimension);

// Euclidean projection of theta [dimension]; what pads it is 0.
inline void project(const Projection& projection, size_t dimension, double* theta) {
  if (projection.kind == Projection::Kind::ball) {
    const double length = norm(theta, dimension);
    if (!(length > projection.radius) || std::isinf(length)) return;  // the latter is for the caller to refuse
    const double scale = projection.radius / length;
    for (size_t k = 0; k < dimension; k++) theta[k] *= scale;
  } else if (projection.kind == Projection::Kind::box) {
    for (size_t k = 0; k < dimension; k++) {
      if (theta[k] < projection.lower[k]) theta[k] = projection.lower[k];
      if (theta[k] > projection.upper[k]) theta[k] = projection.upper[k];
    }
  }
}

class TokenPath {
 public:
  TokenPath(const LinearMachine& machine, double step_size, const Projection& projection)
      : machine_(machine),
        step_size_(step_size),
        projection_(projection),
        row_(machine, best_target()),
        pull_(padded(machine.widest())) {}

  // The distribution of the next token.
  void load(size_t state, const double* theta) { row_.load(state, theta); }
  const StateRow& row() const { return row_; }
  // Moves theta towards the entry taken in the state loaded; gives that entry's log-prob before.
  double step(size_t entry, double* theta) {
    const size_t taken = entry - row_.first();
    for (size_t i = 0; i < row_.size(); i++) pull_[i] = -step_size_ * row_.probabilities()[i];
    pull_[taken] += step_size_;
    machine_.features()->add(row_.kernels(), row_.first(), row_.size(), pull_.data(), theta);
    project(projection_, machine_.features()->dimension(), theta);
    return row_.log_prob(taken);
  }

 private:
  const LinearMachine& machine_;
  const double step_size_;
  const Projection& projection_;
  StateRow row_;
  std::vector<double> pull_;
};

}  // namespace covn
