// The step of the running maximum, shared by every target (plain double arithmetic).
#pragma once

#include <cmath>
#include <limits>

#include "kernels/table.hpp"

namespace covn {

inline RowState empty_row() { return {-std::numeric_limits<float>::infinity(), 0.0, 0.0, 0}; }

// Moves the state's reference up to `maximum` where that is larger.
inline void rescale(RowState& state, float maximum, const RowParameters& parameters) {
  if (!(maximum > state.max)) return;
  // Zero sums stay zero; this also keeps -inf - -inf out of the arithmetic.
  if (state.sum != 0.0) {
    constexpr double kLog2E = 1.4426950408889634;
    const double shift = (static_cast<double>(state.max) - static_cast<double>(maximum)) / parameters.temperature;
    const double factor = std::exp(shift);
    // A factor of 0 can meet an infinite shift: the old terms are gone, and 0 * inf is not to be formed.
    state.weighted = factor == 0.0 ? 0.0 * state.sum : factor * (state.weighted + shift * kLog2E * state.sum);
    state.sum *= factor;
  }
  state.max = maximum;
}

}  // namespace covn
