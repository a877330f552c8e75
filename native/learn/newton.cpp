#include "learn/newton.hpp"

#include <algorithm>
#include <cmath>

namespace covn {

void Curvature::add_square(const double* x) {
  for (size_t i = 0; i < n_; i++) {
    if (x[i] == 0.0) continue;
    double* const to = row(i);
    for (size_t j = 0; j <= i; j++) to[j] += x[i] * x[j];
  }
}

double Curvature::largest() const {
  double most = 0.0;
  for (size_t i = 0; i < n_; i++) most = std::max(most, row(i)[i]);
  return most;
}

bool Curvature::factorize(double shift, const std::vector<uint8_t>& free) {
  constexpr double kRounding = 1e-14;
  for (size_t i = 0; i < n_; i++) {
    if (i % 16 == 0 && stop_()) return true;
    double* const at = &factor_[i * n_];
    if (free[i] == 0) {
      std::fill_n(at, i, 0.0);
      at[i] = 0.0;
      continue;
    }
    const double diagonal = row(i)[i] + shift;
    double rest = diagonal;
    for (size_t j = 0; j < i; j++) {
      const double* const other = &factor_[j * n_];
      if (other[j] == 0.0) {
        at[j] = 0.0;
        continue;
      }
      double sum = row(i)[j];
      for (size_t k = 0; k < j; k++) sum -= at[k] * other[k];
      at[j] = sum / other[j];
      rest -= at[j] * at[j];
    }
    if (!(rest > kRounding * diagonal) || !(rest > 0.0)) return false;
    at[i] = std::sqrt(rest);
  }
  return true;
}

void Curvature::solve_lower(std::vector<double>& x) const {
  for (size_t i = 0; i < n_; i++) {
    const double* const at = &factor_[i * n_];
    if (at[i] == 0.0) {
      x[i] = 0.0;
      continue;
    }
    for (size_t j = 0; j < i; j++) x[i] -= at[j] * x[j];
    x[i] /= at[i];
  }
}

void Curvature::solve(std::vector<double>& x) const {
  solve_lower(x);
  for (size_t i = n_; i-- > 0;) {
    const double* const at = &factor_[i * n_];
    if (at[i] == 0.0) continue;
    x[i] /= at[i];
    for (size_t j = 0; j < i; j++) x[j] -= at[j] * x[i];
  }
}

namespace {

double norm(const std::vector<double>& x) {
  double squares = 0.0;
  for (double each : x) squares += each * each;
  return std::sqrt(squares);
}

// The least shift, of powers of ten, that makes the curvature definite. None does where it overflowed: no step from
// there will make anything better.
double factorize_shifted(Curvature& curvature, const std::vector<uint8_t>& free) {
  double shift = 0.0;
  while (!curvature.factorize(shift, free) && shift < 1e300) {
    shift = shift == 0.0 ? std::max(1e-300, 1e-13 * curvature.largest()) : 10.0 * shift;
  }
  return shift;
}

// argmax of g (z - theta) - (z - theta) H (z - theta) / 2 over ||z|| <= r: (H + l I) z = g + H theta with the l >= 0
// for which ||z|| = r, if that of l = 0 is outside (Moré & Sorensen, 1983).
std::vector<double> ball_target(Curvature& curvature, const std::vector<double>& theta,
                                const std::vector<double>& gradient, double radius) {
  const size_t n = theta.size();
  const std::vector<uint8_t> all(n, 1);
  const double shift = factorize_shifted(curvature, all);
  std::vector<double> right = gradient;
  for (size_t i = 0; i < n; i++) {
    right[i] += shift * theta[i];
    for (size_t j = 0; j <= i; j++) {
      right[i] += curvature.row(i)[j] * theta[j];
      if (j < i) right[j] += curvature.row(i)[j] * theta[i];
    }
  }
  std::vector<double> z = right;
  curvature.solve(z);
  double multiplier = 0.0;
  for (int i = 0; i < 100; i++) {
    const double length = norm(z);
    if (length <= radius * (1.0 + 1e-15)) break;
    std::vector<double> slope = z;
    curvature.solve_lower(slope);
    const double squares = norm(slope) * norm(slope), step = length * length / squares * (length - radius) / radius;
    if (!(multiplier + step > multiplier)) break;
    multiplier += step;
    if (!curvature.factorize(shift + multiplier, all)) break;
    z = right;
    curvature.solve(z);
  }
  return z;
}

}  // namespace

std::vector<double> newton_target(Curvature& curvature, const std::vector<double>& theta,
                                  const std::vector<double>& gradient, const Projection& projection) {
  if (projection.kind == Projection::Kind::ball) return ball_target(curvature, theta, gradient, projection.radius);
  const size_t n = theta.size();
  std::vector<uint8_t> free(n, 1);
  if (projection.kind == Projection::Kind::box) {
    // Held by the bounds that the gradient pushes against (Bertsekas, 1982).
    for (size_t k = 0; k < n; k++) {
      const bool held = (theta[k] <= projection.lower[k] && gradient[k] <= 0.0) ||
                        (theta[k] >= projection.upper[k] && gradient[k] >= 0.0);
      free[k] = held ? 0 : 1;
    }
  }
  std::vector<double> target = gradient;
  for (size_t k = 0; k < n; k++) target[k] = free[k] != 0 ? target[k] : 0.0;
  factorize_shifted(curvature, free);
  curvature.solve(target);
  for (size_t k = 0; k < n; k++) target[k] += theta[k];
  return target;
}

}  // namespace covn
