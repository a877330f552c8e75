// Tournaments (Eq. 29, arXiv 2510.15020) on the data and on bootstrap replicates of it.
//
// A replicate draws as many units as there are, with replacement, and weighs each response by how often its unit was
// drawn; replicate 0 is the data itself, every unit once. Replicates are worked on in blocks: for each ordered pair of
// models the thresholds that a response reaches are counted once, whatever tournament's ladder they are of, and its
// unit's weights, which lie side by side for the block's replicates, are added to that count's row. That is a few
// vector additions a response and pair for the whole block and all tournaments, and all counts are whole numbers. A
// chunk is one model of one block. The chunks of a block draw its weights together.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/denormals.hpp"
#include "core/huge_pages.hpp"
#include "core/shared_items.hpp"
#include "kernels/table.hpp"
#include "kernels/tournament_check.hpp"

namespace covn {

namespace {

constexpr size_t kMaxWidth = 4 * kReplicateGroup;  // replicates worked on together
constexpr size_t kBlockBytes = size_t{48} << 20;   // bound on a block's memory, if one group of replicates fits it
constexpr uint32_t kBootstrapStream = 1;           // fourth word of the Philox counter
constexpr size_t kCancelStride = 4096;             // responses, units or draws between looks at cancelled()

// One block of replicates; the replicate is the fastest index of every array but `drawn`. Those after the last
// replicate weigh nothing.
struct Block {
  size_t first, width;
  // How often each replicate drew each unit: [width, a row of its own for each], as they are drawn, and [units, width],
  // as they are added. One byte holds them: that one of 256 units or more is drawn 256 times has a probability below
  // 1 / 256!.
  std::unique_ptr<uint8_t[]> drawn, weights;
  std::vector<uint64_t> totals;       // [width]: responses in the replicate, with multiplicity
  std::vector<uint32_t> scores;       // [thresholds, models, width]: worst-opponent counts
  std::vector<double> log_prob_sums;  // [models, width]
};

// The block that chunks share: the first of them makes it, all draw it, the last to end writes it out.
struct Slot {
  std::mutex mutex;
  std::unique_ptr<Block> block;
  SharedItems draws, rows;
  size_t models_left = 0;
};

std::vector<double> distinct_thresholds(const std::vector<std::vector<double>>& ladders) {
  std::vector<double> all;
  for (const std::vector<double>& ladder : ladders) all.insert(all.end(), ladder.begin(), ladder.end());
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

class TournamentBootstrap final : public Job {
 public:
  TournamentBootstrap(const TournamentRequest& request, Target target)
      : request_(request),
        table_(kernels_for(target)),
        thresholds_(distinct_thresholds(request.ladders)),
        // An odd number of cache lines: rows a power of two apart would share a few sets of the cache.
        drawn_stride_((request.unit_count / 64 | 1) * 64 + 128),
        width_(block_width()),
        slots_((request.replicates + width_) / width_),
        // Not initialised here, on the caller's thread: it may be large.
        scores_(new double[request.ladders.size() * models() * request.replicates]),
        unit_sizes_(request.unit_count) {
    for (const std::vector<double>& ladder : request.ladders) {
      std::vector<size_t>& rungs = ladders_.emplace_back();
      for (double threshold : ladder) {
        rungs.push_back(static_cast<size_t>(std::lower_bound(thresholds_.begin(), thresholds_.end(), threshold) -
                                            thresholds_.begin()));
      }
    }
    for (size_t r = 0; r < request.log_probs.responses; r++) unit_sizes_[static_cast<size_t>(request.units[r])]++;
  }

  size_t chunk_count() const override { return slots_.size() * models(); }

 protected:
  void run_chunk(size_t chunk) override {
    const KeepDenormals exact;
    Slot& slot = slots_[chunk / models()];
    const size_t model = chunk % models();
    Block& block = shared_block(slot, chunk / models());
    slot.draws.run(block.width, [&](size_t b) noexcept { draw(block, b); });
    slot.rows.run((request_.unit_count + kCancelStride - 1) / kCancelStride,
                  [&](size_t i) noexcept { transpose(block, i * kCancelStride); });
    if (!totals_fit(block, chunk)) return;
    if (block.first == 0) {
      for (size_t l = 0; l < ladders_.size(); l++) request_.worst_opponent[l * models() + model] = -1;
    }
    for (size_t challenger = 0; challenger < models() && !cancelled(); challenger++) {
      if (challenger != model) compare(block, model, challenger);
    }
    sum_log_probs(block, model);
    std::lock_guard lock(slot.mutex);
    if (--slot.models_left > 0) return;
    if (!cancelled()) write(block);
    std::lock_guard spare_lock(spare_mutex_);
    spare_.push_back(std::move(slot.block));
  }

  Status merge() override {
    const size_t replicates = request_.replicates;
    std::vector<double> difference(replicates);
    for (size_t l = 0; l < ladders_.size(); l++) {
      double* limits = request_.limits + l * 2 * (models() + 1);
      const double* of_winner = replicate_scores(l, static_cast<size_t>(request_.choices[2 * l]));
      const double* of_other = replicate_scores(l, static_cast<size_t>(request_.choices[2 * l + 1]));
      for (size_t b = 0; b < replicates; b++) difference[b] = of_other[b] - of_winner[b];
      write_limits(difference.data(), limits + 2 * models());
      for (size_t i = 0; i < models() && !cancelled(); i++) write_limits(replicate_scores(l, i), limits + 2 * i);
    }
    return {};
  }

 private:
  size_t models() const { return request_.log_probs.models; }
  double* replicate_scores(size_t ladder, size_t model) const {
    return scores_.get() + (ladder * models() + model) * request_.replicates;
  }

  // Replicates in a block: as many as the bound on its memory allows, in whole groups.
  size_t block_width() const {
    const size_t bytes = 2 * request_.unit_count + models() * (thresholds_.size() * sizeof(uint32_t) + sizeof(double));
    return std::clamp(kBlockBytes / bytes / kReplicateGroup * kReplicateGroup, kReplicateGroup, kMaxWidth);
  }

  Block& shared_block(Slot& slot, size_t index) {
    std::lock_guard lock(slot.mutex);
    if (!slot.block) {
      slot.block = spare_block();
      slot.block->first = index * width_;
      std::fill(slot.block->scores.begin(), slot.block->scores.end(), 0);
      std::fill(slot.block->log_prob_sums.begin(), slot.block->log_prob_sums.end(), 0.0);
      slot.models_left = models();
    }
    return *slot.block;
  }

  // A block that others have done with, whose pages are there already, or a new one.
  std::unique_ptr<Block> spare_block() {
    {
      std::lock_guard lock(spare_mutex_);
      if (!spare_.empty()) {
        std::unique_ptr<Block> block = std::move(spare_.back());
        spare_.pop_back();
        return block;
      }
    }
    const size_t drawn = width_ * drawn_stride_, weights = width_ * request_.unit_count;
    auto block = std::make_unique<Block>(
        Block{0, width_, std::unique_ptr<uint8_t[]>(new uint8_t[drawn]),
              std::unique_ptr<uint8_t[]>(new uint8_t[weights]), std::vector<uint64_t>(width_),
              std::vector<uint32_t>(thresholds_.size() * models() * width_), std::vector<double>(models() * width_)});
    advise_huge_pages(block->drawn.get(), drawn);
    advise_huge_pages(block->weights.get(), weights);
    return block;
  }

  // Draws one of the block's replicates.
  void draw(Block& block, size_t b) const {
    const size_t units = request_.unit_count, replicate = block.first + b;
    uint8_t* drawn = block.drawn.get() + b * drawn_stride_;
    std::fill_n(drawn, units, static_cast<uint8_t>(replicate == 0));
    if (replicate > 0 && replicate <= request_.replicates) {
      const DrawStream stream{request_.seed, static_cast<uint32_t>(replicate), kBootstrapStream};
      uint64_t unit[kCancelStride];
      for (size_t i = 0; i < units; i += kCancelStride) {
        if (cancelled()) return;
        const size_t n = std::min(kCancelStride, units - i);
        table_.draw_units(stream, i, n, static_cast<uint32_t>(units), unit);
        for (size_t k = 0; k < n; k++) drawn[unit[k]]++;
      }
    }
    uint64_t total = 0;
    for (size_t unit = 0; unit < units; unit++) total += drawn[unit] * unit_sizes_[unit];
    block.totals[b] = total;
  }

  // Lays out the weights of units first, first + 1, ... for the additions.
  void transpose(Block& block, size_t first) const {
    const size_t end = std::min(first + kCancelStride, request_.unit_count);
    if (cancelled()) return;
    for (size_t unit = first; unit < end; unit++) {
      uint8_t* weights = block.weights.get() + unit * block.width;
      const uint8_t* drawn = block.drawn.get() + unit;
      for (size_t b = 0; b < block.width; b++) weights[b] = drawn[b * drawn_stride_];
    }
  }

  bool totals_fit(const Block& block, size_t chunk) {
    const uint64_t total = *std::max_element(block.totals.begin(), block.totals.end());
    if (total <= std::numeric_limits<uint32_t>::max()) return true;
    fail(chunk, chunk,
         expected(Code::range, "fewer than 2^32 responses", "a bootstrap replicate", std::to_string(total)));
    return false;
  }

  ReplicateWeights weights_from(const Block& block, size_t response) const {
    return {block.weights.get(), block.width, request_.units + response};
  }

  // Counts where `challenger` exceeds `model`, and keeps the worst for `model`.
  void compare(Block& block, size_t model, size_t challenger) const {
    const size_t width = block.width, responses = request_.log_probs.responses;
    const double* mine = request_.log_probs.row(model);
    const double* theirs = request_.log_probs.row(challenger);
    std::vector<uint32_t> counts((thresholds_.size() + 1) * width);
    for (size_t r = 0; r < responses; r += kCancelStride) {
      if (cancelled()) return;
      table_.count_replicates(theirs + r, mine + r, std::min(kCancelStride, responses - r), thresholds_.data(),
                              thresholds_.size(), weights_from(block, r), counts.data());
    }
    // What reaches a threshold has reached those below it.
    for (size_t reached = thresholds_.size(); --reached > 0;) {
      uint32_t* count = counts.data() + reached * width;
      for (size_t b = 0; b < width; b++) count[b] += count[width + b];
    }
    if (block.first == 0) note_worst(block, counts, model, challenger);
    for (size_t k = 0; k < thresholds_.size(); k++) {
      const uint32_t* count = counts.data() + (k + 1) * width;
      uint32_t* score = block.scores.data() + (k * models() + model) * width;
      for (size_t b = 0; b < width; b++) score[b] = std::max(score[b], count[b]);
    }
  }

  // Of equals the first challenger stays.
  void note_worst(const Block& block, const std::vector<uint32_t>& counts, size_t model, size_t challenger) const {
    for (size_t l = 0; l < ladders_.size(); l++) {
      const size_t k = ladders_[l].back();
      int32_t& worst = request_.worst_opponent[l * models() + model];
      if (worst < 0 || counts[(k + 1) * block.width] > block.scores[(k * models() + model) * block.width]) {
        worst = static_cast<int32_t>(challenger);
      }
    }
  }

  void sum_log_probs(Block& block, size_t model) const {
    const size_t width = block.width, responses = request_.log_probs.responses;
    const double* values = request_.log_probs.row(model);
    double* sums = block.log_prob_sums.data() + model * width;
    for (size_t r = 0; r < responses; r += kCancelStride) {
      if (cancelled()) return;
      table_.sum_replicates(values + r, std::min(kCancelStride, responses - r), weights_from(block, r), sums);
    }
    // -inf: and it stays, as every further term is finite or -inf.
    for (size_t r = 0; r < responses; r++) {
      if (std::isfinite(values[r])) continue;
      const uint8_t* weights = block.weights.get() + static_cast<size_t>(request_.units[r]) * width;
      for (size_t b = 0; b < width; b++) sums[b] = weights[b] != 0 ? values[r] : sums[b];
    }
  }

  void write(const Block& block) {
    std::lock_guard lock(write_mutex_);
    const size_t width = std::min(block.width, request_.replicates + 1 - block.first);
    for (size_t b = 0; b < width; b++) {
      const size_t least_cross_entropy = best_log_prob(block, b, all_models());
      double* ladder_scores = request_.ladder_scores;
      for (size_t l = 0; l < ladders_.size(); l++) {
        const std::vector<size_t>& rungs = ladders_[l];
        const size_t choices[2] = {winner(block, b, rungs), least_cross_entropy};
        const auto total = static_cast<double>(block.totals[b]);
        const auto share = [&](size_t k, size_t i) {
          return block.scores[(k * models() + i) * block.width + b] / total;
        };
        if (block.first + b == 0) {
          for (size_t c = 0; c < 2; c++) request_.choices[2 * l + c] = static_cast<int32_t>(choices[c]);
          for (size_t k : rungs) {
            for (size_t i = 0; i < models(); i++) *ladder_scores++ = share(k, i);
          }
          continue;
        }
        for (size_t c = 0; c < 2; c++) request_.choice_counts[(2 * l + c) * models() + choices[c]] += 1.0;
        for (size_t i = 0; i < models(); i++) {
          replicate_scores(l, i)[block.first + b - 1] = share(rungs.back(), i);
        }
      }
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
  size_t winner(const Block& block, size_t b, const std::vector<size_t>& rungs) const {
    std::vector<size_t> tied = all_models();
    for (size_t rung = rungs.size(); rung-- > 0 && tied.size() > 1;) {
      const size_t k = rungs[rung];
      const auto score = [&](size_t i) { return block.scores[(k * models() + i) * block.width + b]; };
      uint32_t least = std::numeric_limits<uint32_t>::max();
      for (size_t i : tied) least = std::min(least, score(i));
      std::erase_if(tied, [&](size_t i) { return score(i) != least; });
    }
    return best_log_prob(block, b, tied);
  }

  // The values of ranks `tail_rank` from below and from above. Reorders the values.
  void write_limits(double* values, double* limits) const {
    const auto end = values + request_.replicates;
    const auto low = values + (request_.tail_rank - 1);
    const auto high = end - static_cast<ptrdiff_t>(request_.tail_rank);
    std::nth_element(values, low, end);
    limits[0] = *low;
    std::nth_element(values, high, end);
    limits[1] = *high;
  }

  const TournamentRequest request_;
  const KernelTable& table_;
  const std::vector<double> thresholds_;      // of all ladders, distinct, ascending
  std::vector<std::vector<size_t>> ladders_;  // their thresholds' places
  const size_t drawn_stride_, width_;
  std::vector<Slot> slots_;
  const std::unique_ptr<double[]> scores_;  // [ladders, models, replicates]
  std::vector<uint64_t> unit_sizes_;
  std::mutex spare_mutex_, write_mutex_;
  std::vector<std::unique_ptr<Block>> spare_;
};

Status check_units(const TournamentRequest& request) {
  if (request.unit_count < 1 || request.unit_count > request.log_probs.responses || request.unit_count > 0x7fffffff) {
    return expected(Code::range, "between 1 and the number of responses, below 2^31", "units",
                    std::to_string(request.unit_count));
  }
  for (size_t r = 0; r < request.log_probs.responses; r++) {
    if (request.units[r] < 0 || static_cast<size_t>(request.units[r]) >= request.unit_count) {
      return expected(Code::range, "a unit id", "units[" + std::to_string(r) + "]", std::to_string(request.units[r]));
    }
  }
  return {};
}

Status check_ladders(const TournamentRequest& request) {
  if (request.ladders.empty()) return expected(Code::range, "at least one ladder", "thresholds", "none");
  for (const std::vector<double>& ladder : request.ladders) {
    if (Status status = check_thresholds(ladder); !status.ok()) return status;
    if (ladder.empty() || !std::is_sorted(ladder.begin(), ladder.end())) {
      return expected(Code::range, "ascending thresholds", "thresholds", "others");
    }
  }
  return {};
}

}  // namespace

Status make_tournament_job(const TournamentRequest& request, Target target, std::unique_ptr<Job>& job) {
  if (Status status = check_log_probs(request.log_probs); !status.ok()) return status;
  if (Status status = check_ladders(request); !status.ok()) return status;
  if (request.replicates < 1 ||
      request.replicates > kMaxReplicateScores / request.log_probs.models / request.ladders.size()) {
    return expected(Code::range, "|N| * replicates * models up to " + std::to_string(kMaxReplicateScores), "bootstrap",
                    std::to_string(request.replicates));
  }
  if (request.tail_rank < 1 || request.tail_rank > request.replicates) {
    return expected(Code::range, "a rank among the replicates", "tailRank", std::to_string(request.tail_rank));
  }
  if (Status status = check_units(request); !status.ok()) return status;
  if (const TargetSupport support = target_support(target); !support.available) {
    return expected(Code::device, "an available device", "device", support.reason);
  }
  job = std::make_unique<TournamentBootstrap>(request, target);
  return {};
}

}  // namespace covn
