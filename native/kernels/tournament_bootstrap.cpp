// The tournament (Eq. 29, arXiv 2510.15020) on the data and on bootstrap replicates of it.
//
// A replicate draws as many units as there are, with replacement, and weighs each response by how often its unit was
// drawn. Replicates are worked on in blocks: for each ordered pair of models the responses that reach a rung of the
// ladder are found once, and their units' weights, which lie side by side for the block's replicates, are added to that
// rung's row. That is one vector addition a response and pair for the whole block, and all counts are whole numbers.
// A chunk is one model of one block; block 0 is the data itself.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/denormals.hpp"
#include "core/philox.hpp"
#include "kernels/tournament_check.hpp"

namespace covn {

namespace {

constexpr size_t kMaxWidth = 64;                   // replicates worked on together
constexpr size_t kWeightBytes = size_t{32} << 20;  // bound on a block's weights
constexpr size_t kDrawTile = 16;                   // replicates drawn together
constexpr uint32_t kBootstrapStream = 1;           // fourth word of the Philox counter
constexpr size_t kCancelStride = 4096;             // responses or draws between looks at cancelled()

// One block of replicates; the replicate is the fastest index of every array.
struct Block {
  size_t first, width;
  std::vector<uint16_t> weights;      // [units, width]
  std::vector<uint64_t> totals;       // [width]: responses in the replicate, with multiplicity
  std::vector<uint32_t> scores;       // [thresholds, models, width]: worst-opponent counts
  std::vector<double> log_prob_sums;  // [models, width]
};

// The block that chunks share: the first of them draws it, the last to end writes it out and frees it.
struct Slot {
  std::mutex mutex;
  std::unique_ptr<Block> block;
  size_t models_left = 0;
};

class TournamentBootstrap final : public Job {
 public:
  explicit TournamentBootstrap(const TournamentRequest& request)
      : request_(request),
        width_(std::clamp<size_t>(kWeightBytes / (sizeof(uint16_t) * request.unit_count), 8, kMaxWidth)),
        slots_(1 + (request.replicates + width_ - 1) / width_),
        // Not initialised here, on the caller's thread: it may be large.
        scores_(new double[request.log_probs.models * request.replicates]),
        unit_sizes_(request.unit_count) {
    for (size_t r = 0; r < request.log_probs.responses; r++) unit_sizes_[static_cast<size_t>(request.units[r])]++;
  }

  size_t chunk_count() const override { return slots_.size() * models(); }

 protected:
  void run_chunk(size_t chunk) override {
    const KeepDenormals exact;
    Slot& slot = slots_[chunk / models()];
    const size_t model = chunk % models();
    Block* block = shared_block(slot, chunk);
    if (block == nullptr) return;
    for (size_t challenger = 0; challenger < models() && !cancelled(); challenger++) {
      if (challenger != model) compare(*block, model, challenger);
    }
    sum_log_probs(*block, model);
    std::lock_guard lock(slot.mutex);
    if (--slot.models_left > 0) return;
    if (!cancelled()) write(*block);
    slot.block.reset();
  }

  Status merge() override {
    const size_t replicates = request_.replicates;
    const double* of_winner = replicate_scores(static_cast<size_t>(request_.choices[0]));
    const double* of_other = replicate_scores(static_cast<size_t>(request_.choices[1]));
    std::vector<double> difference(replicates);
    for (size_t b = 0; b < replicates; b++) difference[b] = of_other[b] - of_winner[b];
    write_limits(difference.data(), models());
    for (size_t i = 0; i < models() && !cancelled(); i++) write_limits(replicate_scores(i), i);
    return {};
  }

 private:
  size_t models() const { return request_.log_probs.models; }
  size_t rung_count() const { return request_.thresholds.size(); }
  double* replicate_scores(size_t model) const { return scores_.get() + model * request_.replicates; }

  Block* shared_block(Slot& slot, size_t chunk) {
    std::lock_guard lock(slot.mutex);
    if (slot.block) return slot.block.get();
    const size_t index = chunk / models();
    const size_t first = index == 0 ? 0 : 1 + (index - 1) * width_;
    const size_t width = index == 0 ? 1 : std::min(width_, request_.replicates + 1 - first);
    auto block = std::make_unique<Block>(
        Block{first, width, std::vector<uint16_t>(request_.unit_count * width, index == 0 ? 1 : 0),
              std::vector<uint64_t>(width, index == 0 ? request_.log_probs.responses : 0),
              std::vector<uint32_t>(rung_count() * models() * width), std::vector<double>(models() * width)});
    if (index == 0) {
      std::fill_n(request_.worst_opponent, models(), -1);
    } else {
      for (size_t b = 0; b < width; b += kDrawTile) draw(*block, b, std::min(kDrawTile, width - b));
    }
    for (uint64_t total : block->totals) {
      if (total > std::numeric_limits<uint32_t>::max()) {
        fail(chunk, chunk,
             expected(Code::range, "fewer than 2^32 responses", "a bootstrap replicate", std::to_string(total)));
        return nullptr;
      }
    }
    slot.models_left = models();
    slot.block = std::move(block);
    return slot.block.get();
  }

  // Draws replicates first .. first + count of the block. Each counts in an array of its own, which stays in the cache,
  // and the arrays are then woven into the block's layout.
  void draw(Block& block, size_t first, size_t count) const {
    const size_t units = request_.unit_count;
    std::vector<uint16_t> drawn(units * count);
    for (size_t b = 0; b < count; b++) {
      const auto replicate = static_cast<uint32_t>(block.first + first + b);
      uint16_t* mine = drawn.data() + b * units;
      for (uint64_t i = 0; i < units; i++) {
        if (i % kCancelStride == 0 && cancelled()) return;
        const PhiloxCounter bits = philox4x32(
            {static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), replicate, kBootstrapStream}, request_.seed);
        const auto unit = static_cast<size_t>(bounded(uint64_t{bits[0]} << 32 | bits[1], units));
        mine[unit]++;
        block.totals[first + b] += unit_sizes_[unit];
      }
    }
    for (size_t unit = 0; unit < units; unit++) {
      uint16_t* weights = block.weights.data() + unit * block.width + first;
      for (size_t b = 0; b < count; b++) weights[b] = drawn[b * units + unit];
    }
  }

  // The number of rungs that a log ratio reaches; 0 for NaN.
  size_t rungs_reached(double ratio) const {
    size_t reached = 0;
    while (reached < rung_count() && ratio >= request_.thresholds[reached]) reached++;
    return reached;
  }

  // Counts where `challenger` exceeds `model`, and keeps the worst for `model`.
  void compare(Block& block, size_t model, size_t challenger) const {
    const size_t width = block.width;
    const double* mine = request_.log_probs.row(model);
    const double* theirs = request_.log_probs.row(challenger);
    std::vector<uint32_t> rungs(rung_count() * width);
    for (size_t r = 0; r < request_.log_probs.responses; r++) {
      if (r % kCancelStride == 0 && cancelled()) return;
      const size_t reached = rungs_reached(theirs[r] - mine[r]);
      if (reached == 0) continue;
      const uint16_t* weights = block.weights.data() + static_cast<size_t>(request_.units[r]) * width;
      uint32_t* rung = rungs.data() + (reached - 1) * width;
      for (size_t b = 0; b < width; b++) rung[b] += weights[b];
    }
    // What reaches a rung has reached those below it.
    for (size_t k = rung_count(); k-- > 0;) {
      uint32_t* rung = rungs.data() + k * width;
      uint32_t* score = block.scores.data() + (k * models() + model) * width;
      if (k + 1 < rung_count()) {
        for (size_t b = 0; b < width; b++) rung[b] += rung[width + b];
      } else if (block.first == 0 && (request_.worst_opponent[model] < 0 || rung[0] > score[0])) {
        request_.worst_opponent[model] = static_cast<int32_t>(challenger);
      }
      for (size_t b = 0; b < width; b++) score[b] = std::max(score[b], rung[b]);
    }
  }

  void sum_log_probs(Block& block, size_t model) const {
    const double* values = request_.log_probs.row(model);
    double* sums = block.log_prob_sums.data() + model * block.width;
    for (size_t r = 0; r < request_.log_probs.responses; r++) {
      if (r % kCancelStride == 0 && cancelled()) return;
      const uint16_t* weights = block.weights.data() + static_cast<size_t>(request_.units[r]) * block.width;
      if (std::isfinite(values[r])) {
        for (size_t b = 0; b < block.width; b++) sums[b] += weights[b] * values[r];
      } else {  // -inf: and it stays, as every further term is finite or -inf
        for (size_t b = 0; b < block.width; b++) sums[b] = weights[b] != 0 ? values[r] : sums[b];
      }
    }
  }

  void write(const Block& block) {
    const size_t last = rung_count() - 1;
    std::lock_guard lock(mutex_);
    for (size_t b = 0; b < block.width; b++) {
      const size_t choices[2] = {winner(block, b), best_log_prob(block, b, all_models())};
      const auto total = static_cast<double>(block.totals[b]);
      const auto share = [&](size_t k, size_t i) { return block.scores[(k * models() + i) * block.width + b] / total; };
      if (block.first == 0) {
        for (size_t c = 0; c < 2; c++) request_.choices[c] = static_cast<int32_t>(choices[c]);
        for (size_t k = 0; k <= last; k++) {
          for (size_t i = 0; i < models(); i++) request_.ladder_scores[k * models() + i] = share(k, i);
        }
        continue;
      }
      for (size_t c = 0; c < 2; c++) request_.choice_counts[c * models() + choices[c]] += 1.0;
      for (size_t i = 0; i < models(); i++) replicate_scores(i)[block.first - 1 + b] = share(last, i);
    }
  }

  std::vector<size_t> all_models() const {
    std::vector<size_t> all(models());
    for (size_t i = 0; i < all.size(); i++) all[i] = i;
    return all;
  }

  // Least cross-entropy; the lowest index among equals.
  static size_t best_log_prob(const Block& block, size_t b, const std::vector<size_t>& among) {
    size_t best = among.front();
    for (size_t i : among) {
      if (block.log_prob_sums[i * block.width + b] > block.log_prob_sums[best * block.width + b]) best = i;
    }
    return best;
  }

  // Least worst-opponent coverage; ties down the ladder, then by cross-entropy.
  size_t winner(const Block& block, size_t b) const {
    std::vector<size_t> tied = all_models();
    for (size_t k = rung_count(); k-- > 0 && tied.size() > 1;) {
      const auto score = [&](size_t i) { return block.scores[(k * models() + i) * block.width + b]; };
      uint32_t least = std::numeric_limits<uint32_t>::max();
      for (size_t i : tied) least = std::min(least, score(i));
      std::erase_if(tied, [&](size_t i) { return score(i) != least; });
    }
    return best_log_prob(block, b, tied);
  }

  // The values of ranks `tail_rank` from below and from above. Reorders the values.
  void write_limits(double* values, size_t index) const {
    const auto end = values + request_.replicates;
    const auto low = values + (request_.tail_rank - 1);
    const auto high = end - static_cast<ptrdiff_t>(request_.tail_rank);
    std::nth_element(values, low, end);
    request_.limits[2 * index] = *low;
    std::nth_element(values, high, end);
    request_.limits[2 * index + 1] = *high;
  }

  const TournamentRequest request_;
  const size_t width_;
  std::vector<Slot> slots_;
  const std::unique_ptr<double[]> scores_;  // [models, replicates]
  std::vector<uint64_t> unit_sizes_;
  std::mutex mutex_;
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
  if (request.replicates < 1 || request.replicates > kMaxReplicateScores / request.log_probs.models) {
    return expected(Code::range, "replicates * models up to " + std::to_string(kMaxReplicateScores), "bootstrap",
                    std::to_string(request.replicates));
  }
  if (request.tail_rank < 1 || request.tail_rank > request.replicates) {
    return expected(Code::range, "a rank among the replicates", "tailRank", std::to_string(request.tail_rank));
  }
  if (Status status = check_units(request); !status.ok()) return status;
  job = std::make_unique<TournamentBootstrap>(request);
  return {};
}

}  // namespace covn
