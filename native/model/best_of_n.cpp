#include "covn/best_of_n.hpp"

#include <algorithm>
#include <bit>
#include <mutex>
#include <span>

#include "model/best_of_n_results.hpp"
#include "model/moments.hpp"

namespace covn {

namespace {

constexpr size_t kChunkSamples = 4096;
constexpr size_t kMaxChunksOfPrompt = 256;
constexpr size_t kOtherSums = 3;  // besides those of rewards

// What some samples of a prompt, all between two of the sizes, came to.
struct Stretch {
  size_t size = 0;  // the first of the sizes that counts them
  uint64_t successes = 0;
  double best = -std::numeric_limits<double>::infinity();
};

// Consecutive samples of a prompt.
struct Part {
  std::vector<Stretch> stretches;
  Moments rewards;
  double sums[kOtherSums] = {};
  KeptList kept{0};
};

class BestOfNJob final : public Job {
 public:
  explicit BestOfNJob(BestOfNRequest request)
      : request_(std::move(request)),
        machine_(machine_of(*request_.model)),
        part_samples_(std::max<uint64_t>(kChunkSamples, std::bit_ceil(request_.samples) / kMaxChunksOfPrompt)),
        parts_((request_.samples + part_samples_ - 1) / part_samples_),
        prompts_per_chunk_(std::max<uint64_t>(1, kChunkSamples / request_.samples)),
        slots_(parts_ > 1 ? request_.prompts.size() : 0) {}

  size_t chunk_count() const override {
    return (request_.prompts.size() + prompts_per_chunk_ - 1) / prompts_per_chunk_ * parts_;
  }

 protected:
  void run_chunk(size_t chunk) override {
    std::call_once(once_, [this] {
      const auto stop = [this] { return cancelled(); };
      built_ = machine_.prepare(stop);
      if (built_.ok()) built_ = reward_.build(request_.reward, stop);
    });
    if (!built_.ok()) return fail(chunk, 0, built_);
    if (parts_ == 1) return run_prompts(chunk * prompts_per_chunk_);
    const size_t p = chunk / parts_, part = chunk % parts_;
    std::vector<Part> mine(1, Part{{}, {}, {}, KeptList(request_.keep)});
    const uint64_t first = part * part_samples_;
    draw(p, 1, first, std::min(request_.samples, first + part_samples_), mine);
    if (!cancelled()) hand_in(p, part, std::move(mine[0]));
  }

 private:
  // The parts of a prompt that are done; merged in order once all are.
  struct Slot {
    std::vector<Part> parts;
    size_t left = 0;
  };

  // All samples of some prompts, drawn side by side.
  void run_prompts(size_t first) {
    const size_t count = std::min<size_t>(prompts_per_chunk_, request_.prompts.size() - first);
    std::vector<Part> parts(count, Part{{}, {}, {}, KeptList(request_.keep)});
    draw(first, count, 0, request_.samples, parts);
    if (cancelled()) return;
    for (size_t i = 0; i < count; i++) write(first + i, {&parts[i], 1});
  }

  // Samples from .. to of prompts first .. first + count, prompt after prompt, into a part for each.
  void draw(size_t first, size_t count, uint64_t from, uint64_t to, std::vector<Part>& parts) {
    const Rollouts rollouts(machine_, reward_.follower(), request_.seed, request_.max_length, request_.target);
    const uint64_t each = to - from, total = each * count;
    RolloutLanes lanes;
    ResponseId ids[kRolloutLanes];
    for (uint64_t start = 0; start < total && !cancelled(); start += kRolloutLanes) {
      const auto size = static_cast<size_t>(std::min<uint64_t>(kRolloutLanes, total - start));
      for (size_t i = 0; i < size; i++) {
        const uint64_t at = start + i;
        ids[i] = {request_.prompts[first + at / each], static_cast<uint32_t>(from + at % each)};
      }
      rollouts.run(ids, size, lanes, nullptr, [this] { return cancelled(); });
      for (size_t i = 0; i < size; i++) {
        const auto prompt = static_cast<size_t>((start + i) / each);
        take(first + prompt, ids[i].sample, lanes, i, rollouts, parts[prompt]);
      }
    }
  }

  void take(size_t p, uint32_t sample, const RolloutLanes& lanes, size_t lane, const Rollouts& rollouts,
            Part& part) const {
    const double reward = reward_(lanes, lane), log_prob = Rollouts::log_prob(lanes, lane);
    if (part.stretches.empty() || sample >= request_.sizes[part.stretches.back().size]) {
      const auto size = std::upper_bound(request_.sizes.begin(), request_.sizes.end(), sample);
      part.stretches.push_back(
          {static_cast<size_t>(size - request_.sizes.begin()), 0, -std::numeric_limits<double>::infinity()});
    }
    Stretch& stretch = part.stretches.back();
    stretch.successes += reward >= request_.success;
    stretch.best = std::max(stretch.best, reward);
    part.rewards.add(reward);
    const double terms[kOtherSums] = {log_prob, static_cast<double>(lanes.length[lane]),
                                      rollouts.ended(lanes, lane) ? 1.0 : 0.0};
    for (size_t k = 0; k < kOtherSums; k++) part.sums[k] += terms[k];
    part.kept.add({reward, sample, log_prob});
    const size_t at = p * request_.samples + sample;
    if (request_.rewards != nullptr) request_.rewards[at] = reward;
    if (request_.log_probs != nullptr) request_.log_probs[at] = log_prob;
  }

  void hand_in(size_t p, size_t part, Part done) {
    std::vector<Part> all;
    {
      std::lock_guard lock(mutex_);
      Slot& slot = slots_[p];
      if (slot.parts.empty()) {
        slot.parts.resize(parts_);
        slot.left = parts_;
      }
      slot.parts[part] = std::move(done);
      if (--slot.left > 0) return;
      all = std::move(slot.parts);
    }
    write(p, all);
  }

  void write(size_t p, std::span<const Part> parts) const {
    const size_t sizes = request_.sizes.size();
    std::vector<uint64_t> successes(sizes);
    std::vector<double> best(sizes, -std::numeric_limits<double>::infinity());
    Moments rewards;
    double sums[kOtherSums] = {};
    KeptList kept(request_.keep);
    for (const Part& part : parts) {
      for (const Stretch& stretch : part.stretches) {
        successes[stretch.size] += stretch.successes;
        best[stretch.size] = std::max(best[stretch.size], stretch.best);
      }
      rewards.add(part.rewards);
      for (size_t k = 0; k < kOtherSums; k++) sums[k] += part.sums[k];
      for (const Kept& response : part.kept.any_order()) kept.add(response);
    }
    uint64_t so_far = 0;
    for (size_t k = 0; k < sizes; k++) {
      if (k > 0) best[k] = std::max(best[k], best[k - 1]);
      request_.successes[p * sizes + k] = static_cast<double>(so_far += successes[k]);
      request_.best_rewards[p * sizes + k] = best[k];
    }
    double* const out = request_.sums + p * (2 + kOtherSums);
    out[0] = rewards.total();
    out[1] = rewards.squared_distances();
    std::copy_n(sums, kOtherSums, out + 2);
    write_kept(request_, p, std::move(kept));
  }

  const BestOfNRequest request_;
  const TabularMachine& machine_;
  const uint64_t part_samples_, parts_, prompts_per_chunk_;
  RewardTables reward_;
  std::once_flag once_;
  Status built_;
  std::mutex mutex_;
  std::vector<Slot> slots_;
};

}  // namespace

Status make_best_of_n_job(BestOfNRequest request, std::unique_ptr<Job>& job) {
  if (Status status = check_best_of_n(request); !status.ok()) return status;
  job = std::make_unique<BestOfNJob>(std::move(request));
  return {};
}

}  // namespace covn
