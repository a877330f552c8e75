#include "covn/tournament.hpp"

#include <cmath>

#include "kernels/table.hpp"
#include "kernels/tournament_check.hpp"

namespace covn {

Status check_log_probs(const LogProbMatrix& matrix) {
  if (matrix.models < 1) return expected(Code::shape, "at least one model", "logProbs", "0");
  if (matrix.responses < 1) return expected(Code::shape, "at least one response", "logProbs", "0");
  if (matrix.models > 65535) return expected(Code::range, "at most 65535", "models", std::to_string(matrix.models));
  return {};
}

Status check_thresholds(const std::vector<double>& thresholds) {
  for (double threshold : thresholds) {
    if (!(threshold >= 0.0) || std::isinf(threshold)) {
      return expected(Code::range, "a finite threshold >= 0", "log N", std::to_string(threshold));
    }
  }
  return {};
}

namespace {

// Two responses' blocks of this size stay in the first-level cache while every threshold is counted.
constexpr size_t kChunkResponses = 2048;

class PairwiseCounts final : public PairwiseJob {
 public:
  PairwiseCounts(LogProbMatrix log_probs, std::vector<double> thresholds, Target target)
      : log_probs_(log_probs),
        thresholds_(std::move(thresholds)),
        count_pairs_(kernels_for(target).count_pairs),
        counts_(thresholds_.size() * log_probs.models * log_probs.models) {}

  size_t chunk_count() const override { return (log_probs_.responses + kChunkResponses - 1) / kChunkResponses; }
  const std::vector<uint64_t>& counts() const override { return counts_; }

 protected:
  void run_chunk(size_t chunk) override {
    const size_t begin = chunk * kChunkResponses;
    const size_t n = std::min(kChunkResponses, log_probs_.responses - begin);
    const size_t m = log_probs_.models, k_count = thresholds_.size();
    std::vector<uint64_t> chunk_counts(counts_.size());
    std::vector<uint64_t> forward(k_count), backward(k_count);
    for (size_t i = 0; i < m && !cancelled(); i++) {
      for (size_t j = i; j < m; j++) {
        forward.assign(k_count, 0);
        backward.assign(k_count, 0);
        count_pairs_(log_probs_.row(j) + begin, log_probs_.row(i) + begin, n, thresholds_.data(), k_count,
                     forward.data(), backward.data());
        for (size_t k = 0; k < k_count; k++) {
          chunk_counts[(k * m + i) * m + j] = forward[k];
          if (j != i) chunk_counts[(k * m + j) * m + i] = backward[k];
        }
      }
    }
    std::lock_guard lock(mutex_);
    for (size_t c = 0; c < counts_.size(); c++) counts_[c] += chunk_counts[c];
  }

 private:
  const LogProbMatrix log_probs_;
  const std::vector<double> thresholds_;
  const CountPairs count_pairs_;
  std::mutex mutex_;
  std::vector<uint64_t> counts_;
};

}  // namespace

Status make_pairwise_job(LogProbMatrix log_probs, std::vector<double> thresholds, Target target,
                         std::unique_ptr<PairwiseJob>& job) {
  if (Status status = check_log_probs(log_probs); !status.ok()) return status;
  if (Status status = check_thresholds(thresholds); !status.ok()) return status;
  if (thresholds.size() > kMaxPairCounts / log_probs.models / log_probs.models) {
    return expected(Code::range, "|N| * models^2 up to " + std::to_string(kMaxPairCounts), "models",
                    std::to_string(log_probs.models));
  }
  if (const TargetSupport support = target_support(target); !support.available) {
    return expected(Code::device, "an available device", "device", support.reason);
  }
  job = std::make_unique<PairwiseCounts>(log_probs, std::move(thresholds), target);
  return {};
}

}  // namespace covn
