#include "kernels/ladder.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace covn {

namespace {

// A ladder costs about as much as the plain comparisons of this many thresholds.
constexpr size_t kFewThresholds = 2;
// Below it, `scale` could overflow.
constexpr double kLeastLimit = 1e-290;

size_t cell_of(double x, double scale) {
  return std::bit_cast<uint64_t>(std::fma(x, scale, Ladder::kCellShift)) % Ladder::kCells;
}

// The bound that a difference reaches unless it is at most -threshold; for 0, any bound in the cell below.
double negative_bound(double threshold, double scale) {
  return threshold > 0.0 ? std::nextafter(-threshold, std::numeric_limits<double>::infinity()) : -1.0 / scale;
}

// How many of the thresholds before `end`, counted from the highest, fit into one ladder: 0 where not even one does.
size_t fitting(const std::vector<double>& ascending, size_t end, double scale) {
  size_t count = 0;
  size_t low = 0, high = Ladder::kCells;  // cells of the last bounds taken, negative and positive
  while (count < std::min(end, Ladder::kSteps)) {
    const double threshold = ascending[end - 1 - count];
    const size_t negative = cell_of(negative_bound(threshold, scale), scale);
    const size_t positive = cell_of(threshold, scale);
    if (!(low < negative && negative < positive && positive < high)) break;
    low = negative, high = positive;
    count++;
  }
  return count;
}

Ladder make_ladder(const double* thresholds, size_t count, double scale) {
  Ladder ladder{};
  ladder.limit = thresholds[count - 1];
  ladder.scale = scale;
  ladder.steps = count;
  size_t cells[2 * Ladder::kSteps];
  for (size_t k = 0; k < Ladder::kSteps; k++) {
    const double threshold = k < count ? thresholds[k] : std::numeric_limits<double>::infinity();
    const size_t up = Ladder::kSteps + k, down = Ladder::kSteps - 1 - k;
    ladder.bounds[up] = threshold;
    ladder.bounds[down] = k < count ? negative_bound(threshold, scale) : -threshold;
    cells[up] = k < count ? cell_of(ladder.bounds[up], scale) : Ladder::kCells;
    cells[down] = k < count ? cell_of(ladder.bounds[down], scale) : 0;
  }
  for (size_t cell = 1; cell < Ladder::kCells; cell++) {
    const auto lower = std::count_if(cells, cells + 2 * Ladder::kSteps, [&](size_t other) { return other < cell; });
    // No difference falls above the highest cell of a bound; the least keeps the look-up inside the table of bounds.
    ladder.below[cell] = static_cast<uint16_t>(std::min<ptrdiff_t>(lower, 2 * Ladder::kSteps - 1));
  }
  ladder.below[0] = Ladder::kSteps;
  return ladder;
}

}  // namespace

std::vector<ThresholdGroup> group_thresholds(const std::vector<double>& ascending) {
  std::vector<ThresholdGroup> groups;
  for (size_t end = ascending.size(); end > 0;) {
    const double limit = ascending[end - 1];
    // The outermost bounds fall two cells inside the range.
    const double scale = limit >= kLeastLimit ? (Ladder::kCells / 2 - 2) / limit : 0.0;
    const size_t fit = fitting(ascending, end, scale);
    ThresholdGroup group{};
    group.use_ladder = fit > kFewThresholds;
    group.count = std::max<size_t>(fit, 1);
    group.first = end - group.count;
    if (group.use_ladder) group.ladder = make_ladder(&ascending[group.first], group.count, scale);
    groups.push_back(group);
    end = group.first;
  }
  return groups;
}

}  // namespace covn
