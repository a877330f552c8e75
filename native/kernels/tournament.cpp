#include "covn/tournament.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/denormals.hpp"
#include "kernels/ladder.hpp"
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

Status check_pairwise(const LogProbMatrix& matrix, const std::vector<double>& thresholds) {
  if (Status status = check_log_probs(matrix); !status.ok()) return status;
  if (Status status = check_thresholds(thresholds); !status.ok()) return status;
  if (thresholds.size() > kMaxPairCounts / matrix.models / matrix.models) {
    return expected(Code::range, "|N| * models^2 up to " + std::to_string(kMaxPairCounts), "models",
                    std::to_string(matrix.models));
  }
  return {};
}

Status not_log_prob(const LogProbMatrix& matrix, size_t block, size_t first_model) {
  const size_t begin = block * kCheckedResponses, end = std::min(begin + kCheckedResponses, matrix.responses);
  for (size_t model = first_model; model < matrix.models; model++) {
    const double* row = matrix.row(model);
    const double* value =
        std::find_if(row + begin, row + end, [](double x) { return !(x < std::numeric_limits<double>::infinity()); });
    if (value == row + end) continue;
    const std::string place = "logProbs[" + std::to_string(value - matrix.values) + "] (model " +
                              std::to_string(model) + ", response " + std::to_string(value - row) + ")";
    return expected(Code::non_finite, "a log-prob in nats (below +Infinity)", place,
                    std::isnan(*value) ? "NaN" : "Infinity");
  }
  // Somebody has changed the memory since it was found there.
  return expected(Code::non_finite, "log-probs in nats (below +Infinity)", "logProbs", "NaN or Infinity");
}

namespace {

// Two models' blocks of this many responses stay in the first-level cache while every threshold is counted, and 64
// models' blocks in the second.
constexpr size_t kBlockResponses = kCheckedResponses;
// Pairs of models that a chunk counts for one group of thresholds: about a millisecond.
constexpr size_t kChunkPairs = 4096;

// A chunk is a block of responses and a band of models i, which it compares with every model j >= i.
class PairwiseCounts final : public PairwiseJob {
 public:
  PairwiseCounts(LogProbMatrix log_probs, const std::vector<double>& thresholds, Target target)
      : log_probs_(log_probs),
        table_(kernels_for(target)),
        count_pairs_on_ladder_(count_pairs_on_ladder_for(target)),
        thresholds_(thresholds),
        ascending_(distinct(thresholds)),
        groups_(group_thresholds(ascending_)),
        band_(std::clamp<size_t>(kChunkPairs / std::max<size_t>(1, groups_.size()) / log_probs.models, 1,
                                 log_probs.models)),
        pair_counts_(pair_place(log_probs.models)) {}

  size_t chunk_count() const override {
    return (log_probs_.responses + kBlockResponses - 1) / kBlockResponses * band_count();
  }
  const std::vector<uint64_t>& counts() const override { return counts_; }

 protected:
  void run_chunk(size_t chunk) override {
    const KeepDenormals exact;
    const size_t begin = chunk / band_count() * kBlockResponses;
    const size_t n = std::min(kBlockResponses, log_probs_.responses - begin);
    const size_t first = chunk % band_count() * band_;
    const size_t end = std::min(first + band_, log_probs_.models);
    for (size_t i = first; i < end; i++) {
      if (table_.count_below_infinity(log_probs_.row(i) + begin, n) < n) {
        return fail(chunk, chunk, not_log_prob(log_probs_, begin / kBlockResponses, i));
      }
    }
    std::vector<uint64_t> counts(pair_place(end) - pair_place(first));
    uint64_t* pair = counts.data();
    for (size_t i = first; i < end; i++) {
      for (size_t j = i; j < log_probs_.models; j++, pair += pair_size()) {
        if (cancelled()) return;
        count(i, j, begin, n, pair);
      }
    }
    std::lock_guard lock(mutex_);
    uint64_t* sums = pair_counts_.data() + pair_place(first);
    for (size_t c = 0; c < counts.size(); c++) sums[c] += counts[c];
  }

  Status merge() override {
    const size_t m = log_probs_.models;
    counts_.resize(thresholds_.size() * m * m);
    for (size_t k = 0; k < thresholds_.size(); k++) {
      const auto place = static_cast<size_t>(std::lower_bound(ascending_.begin(), ascending_.end(), thresholds_[k]) -
                                             ascending_.begin());
      const uint64_t* pair = pair_counts_.data() + place;
      for (size_t i = 0; i < m; i++) {
        for (size_t j = i; j < m; j++, pair += pair_size()) {
          counts_[(k * m + j) * m + i] = pair[ascending_.size()];
          counts_[(k * m + i) * m + j] = pair[0];
        }
      }
    }
    return {};
  }

 private:
  static std::vector<double> distinct(std::vector<double> thresholds) {
    std::sort(thresholds.begin(), thresholds.end());
    thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
    return thresholds;
  }

  size_t band_count() const { return (log_probs_.models + band_ - 1) / band_; }

  // A pair's counts at each of the ascending thresholds: where j exceeds i, then where i exceeds j.
  size_t pair_size() const { return 2 * ascending_.size(); }
  // Where the counts of the pairs (i, i), (i, i + 1), ..., (i, models - 1) begin.
  size_t pair_place(size_t i) const { return (i * log_probs_.models - i * (i - (i > 0)) / 2) * pair_size(); }

  void count(size_t i, size_t j, size_t begin, size_t n, uint64_t* forward) const {
    const double* a = log_probs_.row(j) + begin;
    const double* b = log_probs_.row(i) + begin;
    uint64_t* backward = forward + ascending_.size();
    if (i == j) {  // a model exceeds itself by no threshold above 0
      if (!ascending_.empty() && ascending_.front() == 0.0) {
        table_.count_pairs(a, b, n, ascending_.data(), 1, forward, backward);
      }
      return;
    }
    for (const ThresholdGroup& group : groups_) {
      const size_t k = group.first;
      if (!group.use_ladder) {
        table_.count_pairs(a, b, n, &ascending_[k], group.count, forward + k, backward + k);
      } else {
        count_pairs_on_ladder_(a, b, n, group.ladder, forward + k, backward + k);
      }
    }
  }

  const LogProbMatrix log_probs_;
  const KernelTable& table_;
  const CountPairsOnLadder count_pairs_on_ladder_;
  const std::vector<double> thresholds_;
  const std::vector<double> ascending_;
  const std::vector<ThresholdGroup> groups_;
  const size_t band_;
  std::mutex mutex_;
  std::vector<uint64_t> pair_counts_;  // i <= j, [i, j, 2, ascending thresholds]
  std::vector<uint64_t> counts_;
};

}  // namespace

Status make_pairwise_job(LogProbMatrix log_probs, std::vector<double> thresholds, Target target,
                         std::unique_ptr<PairwiseJob>& job) {
  if (Status status = check_pairwise(log_probs, thresholds); !status.ok()) return status;
  if (const TargetSupport support = target_support(target); !support.available) {
    return expected(Code::device, "an available device", "device", support.reason);
  }
  job = std::make_unique<PairwiseCounts>(log_probs, thresholds, target);
  return {};
}

}  // namespace covn
