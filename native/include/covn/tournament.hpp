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

// Counts that one job gives; it keeps twice as many: 256 MB.
constexpr size_t kMaxPairCounts = size_t{1} << 24;

class PairwiseJob : public Job {
 public:
  // [thresholds, models, models]: element (k, i, j) = #{ y : log_prob_j(y) - log_prob_i(y) >= thresholds[k] }, exact.
  virtual const std::vector<uint64_t>& counts() const = 0;
};

// The job fails with Code::non_finite, naming the place, where it meets NaN or +inf.
// Eq. 28 (arXiv 2510.15020) before the division by n; thresholds are log N, finite and >= 0, and thresholds * models^2
// is at most kMaxPairCounts.
Status make_pairwise_job(LogProbMatrix log_probs, std::vector<double> thresholds, Target target,
                         std::unique_ptr<PairwiseJob>& job);

// Scores of all replicates at every N are kept until their quantiles are taken: at most 400 MB.
constexpr size_t kMaxReplicateScores = 50'000'000;

// Tournaments on the same responses, which share the bootstrap's draws.
struct TournamentRequest {
  LogProbMatrix log_probs;
  // One for each tournament: its tie-breaking ladder of thresholds, ascending, >= 0, its own log N last.
  std::vector<std::vector<double>> ladders;
  // [responses], each in [0, unit_count): what the bootstrap draws with replacement (a response, or a cluster of them).
  const int32_t* units = nullptr;
  size_t unit_count = 0;
  size_t replicates = 0;  // >= 1; ladders * replicates * models at most kMaxReplicateScores
  size_t tail_rank = 1;   // in [1, replicates]: limits are the values of this rank from below and from above
  uint64_t seed = 0;
  // Outputs, ladder after ladder. The data's own:
  int32_t* choices = nullptr;  // [ladders, 2]: the tournament's (Eq. 29, ties down the ladder, then cross-entropy), and
                               // that of least cross-entropy
  double* ladder_scores = nullptr;    // [thresholds of all ladders, models]: worst-opponent coverage
  int32_t* worst_opponent = nullptr;  // [ladders, models] at the last threshold; -1 for a single model
  // The replicates':
  double* choice_counts = nullptr;  // [ladders, 2, models]: how often each model was chosen, added to what is there
  double* limits = nullptr;  // [ladders, models + 1, 2]: of each model's score at the last threshold, and of the score
                             // of the data's second choice minus that of its first
};

// The draws depend on nothing but the seed, the replicate and the draw's index; so do the results, on every target.
Status make_tournament_job(const TournamentRequest& request, Target target, std::unique_ptr<Job>& job);

}  // namespace covn
