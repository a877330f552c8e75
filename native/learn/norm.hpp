// The length of a vector.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace covn {

// Also where squares are too large for a double.
inline double norm(const double* x, size_t n) {
  double squares = 0.0;
  for (size_t k = 0; k < n; k++) squares += x[k] * x[k];
  if (!std::isinf(squares)) return std::sqrt(squares);
  double largest = 0.0, parts = 0.0;
  for (size_t k = 0; k < n; k++) largest = std::max(largest, std::fabs(x[k]));
  for (size_t k = 0; k < n; k++) parts += (x[k] / largest) * (x[k] / largest);
  return largest * std::sqrt(parts);
}

}  // namespace covn
