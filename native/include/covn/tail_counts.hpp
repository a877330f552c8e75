// Coverage at several N: how many log ratios, and of what weight together, reach each log N.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "covn/job.hpp"

namespace covn {

// Pointers stay valid until the job has settled.
struct TailCountsRequest {
  const double* log_ratios = nullptr;  // [count], nats: finite or +inf
  const double* weights = nullptr;     // [count], finite and >= 0; null: all 1, and no sums of them
  size_t count = 0;
  std::vector<double> thresholds;  // log N, finite and >= 0, in any order
};

class TailCountsJob : public Job {
 public:
  // [thresholds]: #{ i : log_ratios[i] >= thresholds[k] }, exact.
  virtual const std::vector<uint64_t>& counts() const = 0;
  // [thresholds]: the sum of their weights, rounded once: exact before that where no weight is below 2^-40 of the
  // largest (of fewer than 2^35), and else too small by less than 2^-57 of the largest. Empty without
  // weights. The order of the responses changes nothing.
  virtual const std::vector<double>& weights() const = 0;
};

}  // namespace covn
