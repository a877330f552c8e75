// The tournament (Eq. 29, arXiv 2510.15020) on the data and on bootstrap replicates of it.
//
// A replicate draws as many units as there are, with replacement, and weighs each response by how often its unit was
// drawn. Replicates are worked on in blocks: for each ordered pair of models the responses that reach a rung of the
// ladder are found once, and their units' weights, which lie side by side for the block's replicates, are added to that
// rung's row. That is one vector addition a response and pair for the whole block, and all counts are whole numbers.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/philox.hpp"
#include "core/validation.hpp"
#include "kernels/tournament_check.hpp"

namespace covn {

namespace {

constexpr size_t kMaxBlock = 128;                      // replicates worked on together
constexpr size_t kWeightBytes = size_t{64} << 20;      // bound on a block's weights
constexpr uint32_t kBootstrapStream = 1;               // fourth word of the Philox counter
constexpr size_t kCancelStride = 4096;                 // responses between looks at cancelled()

// Weights and sums of one block of replicates, [.., width] with the replicate fastest.
struct Block {
  size_t first, width;
  std::vector<uint16_t> weights;      // [units, width]
  std::vector<uint64_t> totals;       // [width]: responses in the replicate, with multiplicity
  std::vector<uint32_t> scores;       // [thresholds, models, width]: worst-opponent counts
  std::vector<double> log_prob_sums;  // [models, width]
  std::vector<uint32_t> rungs;        // [thresholds, width]: scratch of one ordered pair
};

class TournamentBootstrap final : public Job {
 public:
  explicit TournamentBootstrap(const TournamentRequest& request)
      : request_(request),
        block_(std::clamp<size_t>(kWeightBytes / (sizeof(uint16_t) * request.unit_count), 8, kMaxBlock)),
        unit_sizes_(request.unit_count) {
    for (size_t r = 0; r < request.log_probs.responses; r++) unit_sizes_[static_cast<size_t>(request.units[r])]++;
  }

  // Chunk 0 is the data itself.
  size_t chunk_count() const override { return 1 + (request_.replicates + block_ - 1) / block_; }

 protected:
  void run_chunk(size_t chunk) override {
    Block block = chunk == 0 ? identity_block() : resampled_block(chunk);
    for (uint64_t total : block.totals) {
      if (total > std::numeric_limits<uint32_t>::max()) {
        fail(chunk, chunk, expected(Code::range, "fewer than 2^32 responses", "a bootstrap replicate", std::to_string(total)));
        return;
      }
    }
    const size_t m = request_.log_probs.models;
    for (size_t i = 0; i < m; i++) {
      for (size_t j = i + 1; j < m; j++) {
        if (cancelled()) return;
        compare(block, i, j, chunk == 0);
        compare(block, j, i, chunk == 0);
      }
      sum_log_probs(block, i);
    }
    if (!cancelled()) write(block);
  }

 private:
  size_t rung_count() const { return request_.thresholds.size(); }

  Block empty_block(size_t first, size_t width) const {
    const size_t m = request_.log_probs.models;
    return {first, width, std::vector<uint16_t>(request_.unit_count * width), std::vector<uint64_t>(width),
            std::vector<uint32_t>(rung_count() * m * width), std::vector<double>(m * width),
            std::vector<uint32_t>(rung_count() * width)};
  }

  Block identity_block() {
    Block block = empty_block(0, 1);
    std::fill(block.weights.begin(), block.weights.end(), uint16_t{1});
    block.totals[0] = request_.log_probs.responses;
    std::fill_n(request_.worst_opponent, request_.log_probs.models, -1);
    return block;
  }

  Block resampled_block(size_t chunk) const {
    const size_t first = 1 + (chunk - 1) * block_;
    Block block = empty_block(first, std::min(block_, request_.replicates + 1 - first));
    for (size_t b = 0; b < block.width && !cancelled(); b++) {
      const auto replicate = static_cast<uint32_t>(first + b);
      for (uint64_t draw = 0; draw < request_.unit_count; draw++) {
        const PhiloxCounter bits = philox4x32(
            {static_cast<uint32_t>(draw), static_cast<uint32_t>(draw >> 32), replicate, kBootstrapStream}, request_.seed);
        const auto unit = static_cast<size_t>(bounded(uint64_t{bits[0]} << 32 | bits[1], request_.unit_count));
        block.weights[unit * block.width + b]++;
        block.totals[b] += unit_sizes_[unit];
        if (draw % kCancelStride == 0 && cancelled()) break;
      }
    }
    return block;
  }

  // The number of rungs that a log ratio reaches; 0 for NaN.
  size_t rungs_reached(double ratio) const {
    size_t reached = 0;
    while (reached < rung_count() && ratio >= request_.thresholds[reached]) reached++;
    return reached;
  }

  // Counts where model `challenger` exceeds `model`, and keeps the worst for `model`.
  void compare(Block& block, size_t model, size_t challenger, bool note_opponent) const {
    const size_t width = block.width, m = request_.log_probs.models;
    const double* mine = request_.log_probs.row(model);
    const double* theirs = request_.log_probs.row(challenger);
    std::fill(block.rungs.begin(), block.rungs.end(), 0u);
    for (size_t r = 0; r < request_.log_probs.responses; r++) {
      if (r % kCancelStride == 0 && cancelled()) return;
      const size_t reached = rungs_reached(theirs[r] - mine[r]);
      if (reached == 0) continue;
      const uint16_t* weights = block.weights.data() + static_cast<size_t>(request_.units[r]) * width;
      uint32_t* rung = block.rungs.data() + (reached - 1) * width;
      for (size_t b = 0; b < width; b++) rung[b] += weights[b];
    }
    // What reaches a rung has reached those below it.
    for (size_t k = rung_count(); k-- > 0;) {
      uint32_t* rung = block.rungs.data() + k * width;
      uint32_t* score = block.scores.data() + (k * m + model) * width;
      if (k + 1 < rung_count()) {
        for (size_t b = 0; b < width; b++) rung[b] += rung[width + b];
      }
      if (note_opponent && k + 1 == rung_count() && (request_.worst_opponent[model] < 0 || rung[0] > score[0])) {
        request_.worst_opponent[model] = static_cast<int32_t>(challenger);
      }
      for (size_t b = 0; b < width; b++) score[b] = std::max(score[b], rung[b]);
    }
  }

  void sum_log_probs(Block& block, size_t model) const {
    const double* values = request_.log_probs.row(model);
    double* sums = block.log_prob_sums.data() + model * block.width;
    for (size_t r = 0; r < request_.log_probs.responses; r++) {
      const uint16_t* weights = block.weights.data() + static_cast<size_t>(request_.units[r]) * block.width;
      const bool finite = std::isfinite(values[r]);
      for (size_t b = 0; b < block.width; b++) {
        if (finite) {
          sums[b] += weights[b] * values[r];
        } else if (weights[b] != 0) {
          sums[b] = values[r];  // -inf: and it stays, as every further term is finite or -inf
        }
      }
    }
  }

  void write(const Block& block) const {
    const size_t m = request_.log_probs.models, width = block.width, last = rung_count() - 1;
    for (size_t b = 0; b < width; b++) {
      const size_t replicate = block.first + b;
      const auto total = static_cast<double>(block.totals[b]);
      for (size_t i = 0; i < m; i++) {
        request_.scores[replicate * m + i] = block.scores[(last * m + i) * width + b] / total;
        if (replicate != 0) continue;
        for (size_t k = 0; k <= last; k++) request_.ladder_scores[k * m + i] = block.scores[(k * m + i) * width + b] / total;
      }
      request_.min_cross_entropy[replicate] = static_cast<int32_t>(best_log_prob(block, b, all_models()));
      request_.winner[replicate] = static_cast<int32_t>(winner(block, b));
    }
  }

  std::vector<size_t> all_models() const {
    std::vector<size_t> models(request_.log_probs.models);
    for (size_t i = 0; i < models.size(); i++) models[i] = i;
    return models;
  }

  // Least cross-entropy; the lowest index among equals.
  size_t best_log_prob(const Block& block, size_t b, const std::vector<size_t>& models) const {
    size_t best = models.front();
    for (size_t i : models) {
      if (block.log_prob_sums[i * block.width + b] > block.log_prob_sums[best * block.width + b]) best = i;
    }
    return best;
  }

  // Least worst-opponent coverage; ties down the ladder, then by cross-entropy.
  size_t winner(const Block& block, size_t b) const {
    const size_t m = request_.log_probs.models;
    std::vector<size_t> tied = all_models();
    for (size_t k = rung_count(); k-- > 0 && tied.size() > 1;) {
      const auto score = [&](size_t i) { return block.scores[(k * m + i) * block.width + b]; };
      uint32_t least = std::numeric_limits<uint32_t>::max();
      for (size_t i : tied) least = std::min(least, score(i));
      std::erase_if(tied, [&](size_t i) { return score(i) != least; });
    }
    return best_log_prob(block, b, tied);
  }

  const TournamentRequest request_;
  const size_t block_;
  std::vector<uint64_t> unit_sizes_;
};

Status check_units(const TournamentRequest& request) {
  if (request.unit_count < 1 || request.unit_count > request.log_probs.responses) {
    return expected(Code::range, "between 1 and the number of responses", "units", std::to_string(request.unit_count));
  }
  for (size_t r = 0; r < request.log_probs.responses; r++) {
    if (request.units[r] < 0 || static_cast<size_t>(request.units[r]) >= request.unit_count) {
      return expected(Code::range, "a unit id", "units[" + std::to_string(r) + "]", std::to_string(request.units[r]));
    }
  }
  return {};
}

}  // namespace

Status make_tournament_job(const TournamentRequest& request, std::unique_ptr<Job>& job) {
  if (Status status = check_log_probs(request.log_probs); !status.ok()) return status;
  if (Status status = check_thresholds(request.thresholds); !status.ok()) return status;
  if (request.thresholds.empty() || !std::is_sorted(request.thresholds.begin(), request.thresholds.end())) {
    return expected(Code::range, "ascending thresholds", "thresholds", "others");
  }
  if (Status status = check_units(request); !status.ok()) return status;
  job = std::make_unique<TournamentBootstrap>(request);
  return {};
}

}  // namespace covn
