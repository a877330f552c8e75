// Up to eight thresholds, laid out so that a kernel finds how many of them a difference reaches, in either direction,
// with one table look-up and one comparison.
//
// The range [-limit, limit] is cut into equal cells. No two bounds share a cell, and the cell of x is computed by the
// same monotone arithmetic for bounds and for differences: a bound in a lower cell is certainly reached, one in a
// higher cell certainly not, and at most one, in x's own cell, is left to compare with. So every decision is exact.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace covn {

struct Ladder {
  static constexpr size_t kSteps = 8;
  static constexpr size_t kCells = 64;

  // Bounds ascending: -t_7+, ..., -t_0+, t_0, ..., t_7 where x+ is the next double above x, so that d <= -t is the same
  // as "d reaches no -t+". Bounds that the thresholds do not fill are infinite, at both ends. A threshold t_0 = 0 has
  // no use for its -t_0+, because a difference of 0 reaches it both ways: a bound just below 0 takes the place, and
  // differences at most 0 are counted by themselves.
  alignas(64) double bounds[2 * kSteps];
  // [cell]: the number of bounds in lower cells; cell 0, which NaN falls into, stands for the middle, kSteps.
  alignas(64) uint16_t below[kCells];
  // cell(x) = the low six bits of fma(clamp(x, -limit, limit), scale, kCellShift).
  double limit;
  double scale;
  size_t steps;  // thresholds in use

  static constexpr double kCellShift = 0x1.8p52 + kCells / 2;

  const double* thresholds() const { return bounds + kSteps; }
};

// Thresholds that are counted together: with `ladder`, or, where they are few, each by its own comparisons.
struct ThresholdGroup {
  size_t first, count;  // among the thresholds in ascending order
  bool use_ladder;
  Ladder ladder;
};

// Cuts ascending distinct finite thresholds >= 0 into groups, whatever they are.
std::vector<ThresholdGroup> group_thresholds(const std::vector<double>& ascending);

}  // namespace covn
