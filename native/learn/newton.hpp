// Steps of Newton's method for a concave function on a convex set: the maximum of its quadratic model on the set.
#pragma once

#include <vector>

#include "covn/fit.hpp"
#include "model/tabular_machine.hpp"

namespace covn {

// Symmetric, positive semidefinite, [n, n]; the lower triangle counts.
class Curvature {
 public:
  // Gives up, what it gives meaning nothing, when `stop` says so.
  Curvature(size_t n, Stop stop) : n_(n), stop_(std::move(stop)), entries_(n * n), factor_(n * n) {}

  void clear() { entries_.assign(entries_.size(), 0.0); }
  // += x x^T
  void add_square(const double* x);
  double* row(size_t i) { return &entries_[i * n_]; }
  const double* row(size_t i) const { return &entries_[i * n_]; }
  size_t size() const { return n_; }
  double largest() const;

  // Cholesky's factor of the part of the entries that are `free`, with `shift` on the diagonal; false where that is not
  // positive definite to rounding. True where it gave up.
  bool factorize(double shift, const std::vector<uint8_t>& free);
  // Solves with the last factor, in place; what is not free becomes 0.
  void solve(std::vector<double>& x) const;
  // The lower factor alone: for norms of derivatives.
  void solve_lower(std::vector<double>& x) const;

 private:
  size_t n_;
  Stop stop_;
  std::vector<double> entries_, factor_;
};

// theta + the step, inside the set up to rounding (in a box: the step alone is Newton's, and its end is projected).
std::vector<double> newton_target(Curvature& curvature, const std::vector<double>& theta,
                                  const std::vector<double>& gradient, const Projection& projection);

}  // namespace covn
