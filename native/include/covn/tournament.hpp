// Pairwise empirical coverage between models, and the tournament's choice with its bootstrap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cpu.hpp"
#include "covn/job.hpp"

namespace covn {

// log_probs [models, responses], row-major, nats; no NaN, no +inf. Valid until the job has settled.
struct LogProbMatrix {
  const double* values = nullptr;
  size_t models = 0;
  size_t responses = 0;

  const double* row(size_t model) const { return values + model * responses; }
};

class PairwiseJob : public Job {
 public:
  // [thresholds, models, models]: element (k, i, j) = #{ y : log_prob_j(y) - log_prob_i(y) >= thresholds[k] }, exact.
  virtual const std::vector<uint64_t>& counts() const = 0;
};

// Eq. 28 (arXiv 2510.15020) before the division by n; thresholds are log N, finite and >= 0.
Status make_pairwise_job(LogProbMatrix log_probs, std::vector<double> thresholds, Target target,
                         std::unique_ptr<PairwiseJob>& job);

struct TournamentRequest {
  LogProbMatrix log_probs;
  // Ascending, >= 0: the tie-breaking ladder, the tournament's own log N last.
  std::vector<double> thresholds;
  // [responses], each in [0, units): what the bootstrap draws with replacement (a response, or a cluster of them).
  const int32_t* units = nullptr;
  size_t unit_count = 0;
  size_t replicates = 0;  // bootstrap replicates; replicate 0 of the outputs is the data itself, so R = replicates + 1
  uint64_t seed = 0;
  // Outputs, [R] or [R, models].
  int32_t* winner = nullptr;             // the tournament's choice (Eq. 29, ties down the ladder, then cross-entropy)
  int32_t* min_cross_entropy = nullptr;  // the choice by cross-entropy
  double* scores = nullptr;              // worst-opponent coverage at the last threshold
  double* ladder_scores = nullptr;       // [thresholds, models], of the data itself
  int32_t* worst_opponent = nullptr;     // [models], of the data itself; -1 for a single model
};

// The draws depend on nothing but the seed, the replicate and the draw's index; so do the results.
Status make_tournament_job(const TournamentRequest& request, std::unique_ptr<Job>& job);

}  // namespace covn
