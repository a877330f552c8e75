// Scoring and sampling responses of a tabular model.
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>

#include "core/huge_pages.hpp"
#include "core/validation.hpp"
#include "model/rollouts.hpp"

namespace covn {

namespace {

constexpr size_t kChunkResponses = 512;
constexpr size_t kCancelTokens = size_t{1} << 16;

class ScoringJob final : public Job {
 public:
  explicit ScoringJob(TabularScoring request)
      : request_(std::move(request)), machine_(machine_of(*request_.model)), count_(request_.offsets.size() - 1) {}
  size_t chunk_count() const override { return (count_ + kChunkResponses - 1) / kChunkResponses; }

 protected:
  void run_chunk(size_t chunk) override {
    if (Status status = machine_.prepare_log_probs([this] { return cancelled(); }); !status.ok()) {
      return fail(chunk, 0, std::move(status));
    }
    const size_t first = chunk * kChunkResponses;
    for (size_t r = first; r < std::min(count_, first + kChunkResponses) && !cancelled(); r++) score(chunk, r);
  }

 private:
  void score(size_t chunk, size_t r) {
    const int32_t prompt = request_.prompts[r];
    if (prompt < 0 || static_cast<size_t>(prompt) >= machine_.prompts()) {
      return fail(
          chunk, r,
          expected(Code::range, "a prompt of the model", "prompts[" + std::to_string(r) + "]", std::to_string(prompt)));
    }
    uint64_t state = machine_.start(static_cast<size_t>(prompt));
    double sum = 0.0;
    for (auto i = static_cast<size_t>(request_.offsets[r]); i < static_cast<size_t>(request_.offsets[r + 1]); i++) {
      if (i % kCancelTokens == 0 && cancelled()) return;
      const int32_t token = request_.tokens[i];
      if (token < 0 || static_cast<size_t>(token) >= machine_.vocab()) {
        return fail(chunk, r,
                    expected(Code::range, "an integer in [0, " + std::to_string(machine_.vocab() - 1) + "]",
                             "tokens[" + std::to_string(i) + "]", std::to_string(token)));
      }
      sum += machine_.log_prob(state, token);
      state = machine_.next(state, token);
    }
    request_.log_probs[r] = sum;
  }

  const TabularScoring request_;
  const TabularMachine& machine_;
  const size_t count_;
};

class SamplingJob final : public TabularSampleJob {
 public:
  explicit SamplingJob(TabularSampling request)
      : request_(std::move(request)),
        machine_(machine_of(*request_.model)),
        rollouts_(machine_, nullptr, request_.seed, request_.max_length, request_.target),
        log_probs_(request_.responses),
        lengths_(request_.responses),
        ended_(request_.responses),
        tokens_((request_.responses + kRolloutLanes - 1) / kRolloutLanes) {}

  size_t chunk_count() const override { return (request_.responses + kChunkResponses - 1) / kChunkResponses; }
  const std::vector<double>& log_probs() const override { return log_probs_; }
  const std::vector<uint32_t>& lengths() const override { return lengths_; }
  const std::vector<uint8_t>& ended() const override { return ended_; }
  std::unique_ptr<int32_t[]> take_tokens() override { return std::move(all_); }

 protected:
  void run_chunk(size_t chunk) override {
    if (Status status = machine_.prepare([this] { return cancelled(); }); !status.ok()) {
      return fail(chunk, 0, std::move(status));
    }
    const size_t first = chunk * kChunkResponses, end = std::min(request_.responses, first + kChunkResponses);
    RolloutLanes lanes;
    std::vector<int32_t> steps;
    for (size_t r = first; r < end && !cancelled(); r += kRolloutLanes) {
      const size_t count = std::min(kRolloutLanes, end - r);
      ResponseId ids[kRolloutLanes];
      for (size_t i = 0; i < count; i++) ids[i] = {request_.prompts[r + i], request_.samples[r + i]};
      rollouts_.run(ids, count, lanes, &steps, [this] { return cancelled(); });
      for (size_t i = 0; i < count; i++) {
        log_probs_[r + i] = Rollouts::log_prob(lanes, i);
        lengths_[r + i] = static_cast<uint32_t>(lanes.length[i]);
        ended_[r + i] = rollouts_.ended(lanes, i);
      }
      tokens_[r / kRolloutLanes] = in_order(steps, &lengths_[r], count);
    }
  }

  Status merge() override {
    all_ = std::make_unique_for_overwrite<int32_t[]>(total(lengths_.data(), lengths_.size()));
    advise_huge_pages(all_.get(), total(lengths_.data(), lengths_.size()) * sizeof(int32_t));
    int32_t* to = all_.get();
    for (size_t group = 0; group < tokens_.size() && !cancelled(); group++) {
      const size_t first = group * kRolloutLanes, count = std::min(kRolloutLanes, request_.responses - first);
      to = std::copy_n(tokens_[group].get(), total(&lengths_[first], count), to);
      tokens_[group].reset();
    }
    return {};
  }

 private:
  using Tokens = std::unique_ptr<int32_t[]>;

  static size_t total(const uint32_t* lengths, size_t count) {
    return std::accumulate(lengths, lengths + count, size_t{0});
  }

  // Tokens of `count` <= kRolloutLanes responses one after another, from [steps, lanes], which a cache still has.
  static Tokens in_order(const std::vector<int32_t>& steps, const uint32_t* lengths, size_t count) {
    Tokens tokens = std::make_unique_for_overwrite<int32_t[]>(total(lengths, count));
    int32_t* to = tokens.get();
    for (size_t lane = 0; lane < count; lane += kTile) {
      to = put_lanes(steps.data() + lane, lengths + lane, std::min(kTile, count - lane), to);
    }
    return tokens;
  }

  // Lanes and steps that are turned round together: four times as fast as token by token.
  static constexpr size_t kTile = 4;
  typedef int32_t Tile __attribute__((vector_size(kTile * sizeof(int32_t))));

  // Responses of `count` <= kTile lanes, one after another. Returns where they end.
  static int32_t* put_lanes(const int32_t* steps, const uint32_t* lengths, size_t count, int32_t* to) {
    int32_t* begin[kTile];
    size_t together = count < kTile ? 0 : lengths[0] / kTile * kTile;
    for (size_t k = 0; k < count; k++) {
      begin[k] = to;
      to += lengths[k];
      together = std::min<size_t>(together, lengths[k] / kTile * kTile);
    }
    for (size_t h = 0; h < together; h += kTile) {
      Tile row[kTile];
      for (size_t k = 0; k < kTile; k++) std::memcpy(&row[k], steps + (h + k) * kRolloutLanes, sizeof(Tile));
      const Tile low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
      const Tile low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
      const Tile high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
      const Tile high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
      const Tile column[kTile] = {
          __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
          __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
      for (size_t k = 0; k < kTile; k++) std::memcpy(begin[k] + h, &column[k], sizeof(Tile));
    }
    for (size_t k = 0; k < count; k++) {
      for (size_t h = together; h < lengths[k]; h++) begin[k][h] = steps[h * kRolloutLanes + k];
    }
    return to;
  }

  const TabularSampling request_;
  const TabularMachine& machine_;
  const Rollouts rollouts_;
  std::vector<double> log_probs_;
  std::vector<uint32_t> lengths_;
  std::vector<uint8_t> ended_;
  std::vector<Tokens> tokens_;  // of each kRolloutLanes responses
  std::unique_ptr<int32_t[]> all_;
};

}  // namespace

Status make_tabular_score_job(TabularScoring request, std::unique_ptr<Job>& job) {
  if (Status status = check_offsets(request.offsets, request.token_count); !status.ok()) return status;
  job = std::make_unique<ScoringJob>(std::move(request));
  return {};
}

Status check_rollouts(const TabularModel& model, const uint32_t* prompts, size_t count, size_t max_length,
                      Target target) {
  for (size_t i = 0; i < count; i++) {
    if (prompts[i] >= model.prompts()) {
      return expected(Code::range, "a prompt of the model", "prompts[" + std::to_string(i) + "]",
                      std::to_string(prompts[i]));
    }
  }
  if (max_length < 1 || max_length > kMaxResponseLength) {
    return expected(Code::range, "an integer in [1, 2^24 - 1]", "maxLength", std::to_string(max_length));
  }
  if (const TargetSupport support = target_support(target); !support.available) {
    return expected(Code::device, "an available device", "device", support.reason);
  }
  return {};
}

Status make_tabular_sample_job(TabularSampling request, std::unique_ptr<TabularSampleJob>& job) {
  Status status =
      check_rollouts(*request.model, request.prompts, request.responses, request.max_length, request.target);
  if (!status.ok()) return status;
  job = std::make_unique<SamplingJob>(std::move(request));
  return {};
}

}  // namespace covn
