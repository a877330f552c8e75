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
        row_(RolloutRows::row_of(request_.max_length)) {
    if (row_ <= kLongestRow && groups() <= kRowTokens / kRolloutLanes / row_) {
      all_ = room_for(groups() * kRolloutLanes * row_);
    } else {
      tokens_.resize(groups());
    }
  }

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
    RolloutRows rows;
    for (size_t r = first; r < end && !cancelled(); r += kRolloutLanes) {
      const size_t count = std::min(kRolloutLanes, end - r);
      ResponseId ids[kRolloutLanes];
      for (size_t i = 0; i < count; i++) ids[i] = {request_.prompts[r + i], request_.samples[r + i]};
      if (tokens_.empty()) rows = RolloutRows(&all_[r * row_], row_);
      rollouts_.run(ids, count, lanes, &rows, [this] { return cancelled(); });
      for (size_t i = 0; i < count; i++) {
        log_probs_[r + i] = Rollouts::log_prob(lanes, i);
        lengths_[r + i] = static_cast<uint32_t>(lanes.length[i]);
        ended_[r + i] = rollouts_.ended(lanes, i);
      }
      if (!tokens_.empty() && !cancelled()) tokens_[r / kRolloutLanes] = in_order(rows, &lengths_[r], count);
    }
  }

  // One response after another.
  Status merge() override {
    const size_t count = total(lengths_.data(), lengths_.size());
    const bool in_rows = tokens_.empty();
    // Whoever gets the tokens is told of their size: the memory that they keep is less than twice that.
    Tokens rows = std::move(all_);
    if (in_rows && 2 * count > groups() * kRolloutLanes * row_) {
      std::swap(rows, all_);
    } else {
      all_ = room_for(count);
    }
    int32_t* to = all_.get();
    for (size_t first = 0; first < request_.responses && !cancelled(); first += kRolloutLanes) {
      const size_t size = std::min(kRolloutLanes, request_.responses - first);
      if (in_rows) {
        to = close_up({(rows ? rows : all_).get() + first * row_, row_}, &lengths_[first], size, to);
      } else {
        to = std::copy_n(tokens_[first / kRolloutLanes].get(), total(&lengths_[first], size), to);
        tokens_[first / kRolloutLanes].reset();
      }
    }
    return {};
  }

 private:
  using Tokens = std::unique_ptr<int32_t[]>;

  // Where responses can have few tokens, and together so many, they are drawn into rows of the memory that is handed
  // out, and closed up; others are kept by groups until it is known how many there are. Rows of a page and more would
  // take a page for a response of one token.
  static constexpr size_t kRowTokens = size_t{1} << 22, kLongestRow = 256;

  size_t groups() const { return (request_.responses + kRolloutLanes - 1) / kRolloutLanes; }

  static Tokens room_for(size_t count) {
    Tokens tokens = std::make_unique_for_overwrite<int32_t[]>(count);
    advise_huge_pages(tokens.get(), count * sizeof(int32_t));
    return tokens;
  }
  static size_t total(const uint32_t* lengths, size_t count) {
    return std::accumulate(lengths, lengths + count, size_t{0});
  }
  static Tokens in_order(const RolloutRows& rows, const uint32_t* lengths, size_t count) {
    Tokens tokens = std::make_unique_for_overwrite<int32_t[]>(total(lengths, count));
    close_up(rows, lengths, count, tokens.get());
    return tokens;
  }
  // Moves rows to `to`, at or before their place, and gives where they end.
  static int32_t* close_up(const RolloutRows& rows, const uint32_t* lengths, size_t count, int32_t* to) {
    for (size_t i = 0; i < count; i++) {
      const int32_t* const row = rows.begin + i * rows.stride;
      if (row != to) std::memmove(to, row, lengths[i] * sizeof(int32_t));
      to += lengths[i];
    }
    return to;
  }

  const TabularSampling request_;
  const TabularMachine& machine_;
  const Rollouts rollouts_;
  std::vector<double> log_probs_;
  std::vector<uint32_t> lengths_;
  std::vector<uint8_t> ended_;
  const size_t row_;
  std::vector<Tokens> tokens_;  // of each kRolloutLanes responses; none where they are drawn into their place
  Tokens all_;
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
