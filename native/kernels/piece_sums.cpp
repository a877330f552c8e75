#include <algorithm>
#include <limits>

#include "kernels/sample_table.hpp"

namespace covn {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

void PieceSums::set_prefixes(size_t count) {
  const size_t spans = (count + kSpanGroups - 1) / kSpanGroups;
  std::fill(groups + count, groups + spans * kSpanGroups, 0.0f);
  // All spans side by side: each sum waits for the one before.
  double sums[kPieceSpans] = {};
  size_t last[kPieceSpans] = {};  // 0 where there is none: memory that changes meanwhile must not lead out of the row
  for (size_t g = 0; g < kSpanGroups; g++) {
    for (size_t s = 0; s < spans; s++) {
      const float value = groups[s * kSpanGroups + g];
      last[s] = value > 0.0f ? g : last[s];
      group_prefix[s][g + 1] = sums[s] += static_cast<double>(value);
    }
  }
  size_t last_span = 0;
  total = 0.0;
  for (size_t s = 0; s < spans; s++) {
    group_prefix[s][0] = 0.0;
    std::fill(group_prefix[s] + last[s] + 1, group_prefix[s] + kSpanGroups + 1, kInfinity);
    if (sums[s] > 0.0) last_span = s;
    span_prefix[s + 1] = total += sums[s];
  }
  span_prefix[0] = 0.0;
  std::fill(span_prefix + last_span + 1, span_prefix + kPieceSpans + 1, kInfinity);
}

void PieceSums::set_only_span(size_t span) {
  const float* const values = groups + span * kSpanGroups;
  double* const prefix = group_prefix[span];
  size_t last = 0;
  prefix[0] = 0.0;
  for (size_t g = 0; g < kSpanGroups; g++) {
    last = values[g] > 0.0f ? g : last;
    prefix[g + 1] = prefix[g] + static_cast<double>(values[g]);
  }
  std::fill(prefix + last + 1, prefix + kSpanGroups + 1, kInfinity);
  std::fill(span_prefix, span_prefix + span + 1, 0.0);
  std::fill(span_prefix + span + 1, span_prefix + kPieceSpans + 1, kInfinity);
  share = 1.0;
}

}  // namespace covn
