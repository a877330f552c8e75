// Log-probs for the tests of counts.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "test/check.hpp"

namespace covn::test {

// Differences of these hit thresholds exactly, or miss them by one unit in the last place, or are subnormal, infinite
// or NaN.
inline std::vector<double> adversarial_log_probs(size_t count, const std::vector<double>& thresholds, uint64_t seed) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Random random(seed);
  std::vector<double> values(count);
  for (double& v : values) {
    const double threshold = thresholds[random.bits() % thresholds.size()];
    switch (random.bits() % 10) {
      case 0: v = -kInfinity; break;
      case 1: v = 0.0; break;
      case 2: v = -threshold; break;
      case 3: v = std::nextafter(-threshold, -kInfinity); break;
      case 4: v = std::nextafter(-threshold, kInfinity); break;
      case 5: v = -5e-324 * static_cast<double>(random.bits() % 3); break;
      case 6: v = -1e300 * static_cast<double>(random.bits() % 3); break;
      default: v = -0.25 * static_cast<double>(random.bits() % 64); break;
    }
  }
  return values;
}

}  // namespace covn::test
