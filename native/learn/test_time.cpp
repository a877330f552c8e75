// Test-time training: each response starts at the model's parameters, which take a step after each of its tokens.
#include <limits>

#include "core/philox.hpp"
#include "core/validation.hpp"
#include "learn/token_path.hpp"
#include "learn/walk.hpp"
#include "model/rollouts.hpp"

namespace covn {

namespace {

constexpr uint32_t kTestTimeStream = 6;  // fourth word of the Philox counter
constexpr size_t kChunkResponses = 16;
constexpr size_t kCancelTokens = 1024;

// Of response r, after steps that were too long.
Status not_finite(size_t r) {
  return expected(Code::non_finite, "finite parameters", "the steps of response " + std::to_string(r), "NaN");
}

class ScoringJob final : public Job {
 public:
  ScoringJob(TestTimeRule rule, ResponseView responses, double* log_probs)
      : rule_(std::move(rule)), machine_(*rule_.model->linear()), responses_(std::move(responses)), out_(log_probs) {}
  size_t chunk_count() const override { return (responses_.count() + kChunkResponses - 1) / kChunkResponses; }

 protected:
  void run_chunk(size_t chunk) override {
    TokenPath path(machine_, rule_.step_size, rule_.projection);
    std::vector<double> theta;
    const size_t first = chunk * kChunkResponses;
    for (size_t r = first; r < std::min(responses_.count(), first + kChunkResponses) && !cancelled(); r++) {
      theta = machine_.theta();
      Status status = score(r, path, theta);
      if (!status.ok()) return fail(chunk, r, std::move(status));
    }
  }

 private:
  Status score(size_t r, TokenPath& path, std::vector<double>& theta) {
    uint64_t state = machine_.start(static_cast<size_t>(responses_.prompts[r]));
    double sum = 0.0;
    for (auto i = static_cast<size_t>(responses_.offsets[r]); i < static_cast<size_t>(responses_.offsets[r + 1]); i++) {
      if (i % kCancelTokens == 0 && cancelled()) return {};
      const int32_t token = responses_.tokens[i];
      if (token < 0 || static_cast<size_t>(token) >= machine_.vocab()) {
        return leaves_machine(machine_, responses_, r, i, state);
      }
      const size_t entry = machine_.find_entry(state, token);
      if (entry == TabularMachine::kNoEntry) {
        sum = -std::numeric_limits<double>::infinity();
        break;
      }
      path.load(state, theta.data());
      sum += path.step(entry, theta.data());
      state = machine_.next_of(entry);
    }
    if (sum != sum) return not_finite(r);
    out_[r] = sum;
    return {};
  }

  const TestTimeRule rule_;
  const LinearMachine& machine_;
  const ResponseView responses_;
  double* const out_;
};

class SamplingJob final : public TabularSampleJob {
 public:
  SamplingJob(TestTimeRule rule, TabularSampling sampling)
      : rule_(std::move(rule)),
        machine_(*rule_.model->linear()),
        sampling_(std::move(sampling)),
        log_probs_(sampling_.responses),
        lengths_(sampling_.responses),
        ended_(sampling_.responses),
        drawn_(chunk_count()) {}

  size_t chunk_count() const override { return (sampling_.responses + kChunkResponses - 1) / kChunkResponses; }
  const std::vector<double>& log_probs() const override { return log_probs_; }
  const std::vector<uint32_t>& lengths() const override { return lengths_; }
  const std::vector<uint8_t>& ended() const override { return ended_; }
  std::unique_ptr<int32_t[]> take_tokens() override { return std::move(all_); }

 protected:
  void run_chunk(size_t chunk) override {
    TokenPath path(machine_, rule_.step_size, rule_.projection);
    std::vector<double> theta;
    const size_t first = chunk * kChunkResponses;
    for (size_t r = first; r < std::min(sampling_.responses, first + kChunkResponses) && !cancelled(); r++) {
      theta = machine_.theta();
      draw(r, path, theta, drawn_[chunk]);
      if (log_probs_[r] != log_probs_[r]) return fail(chunk, r, not_finite(r));
    }
  }

  Status merge() override {
    size_t total = 0;
    for (const auto& tokens : drawn_) total += tokens.size();
    all_ = std::make_unique_for_overwrite<int32_t[]>(total);
    int32_t* to = all_.get();
    for (const auto& tokens : drawn_) to = std::copy(tokens.begin(), tokens.end(), to);
    return {};
  }

 private:
  void draw(size_t r, TokenPath& path, std::vector<double>& theta, std::vector<int32_t>& tokens) {
    uint64_t state = machine_.start(sampling_.prompts[r]);
    uint32_t h = 0;
    for (; state != machine_.states() && h < sampling_.max_length; h++) {
      if (h % kCancelTokens == 0 && cancelled()) return;
      path.load(state, theta.data());
      const PhiloxCounter words =
          philox4x32({sampling_.prompts[r], h, sampling_.samples[r], kTestTimeStream}, sampling_.seed);
      const size_t entry = choose(path.row(), uint64_t{words[1]} << 32 | words[0]);
      tokens.push_back(machine_.sparse() ? machine_.rows()->tokens[entry]
                                         : static_cast<int32_t>(entry - path.row().first()));
      log_probs_[r] += path.step(entry, theta.data());
      state = machine_.next_of(entry);
    }
    lengths_[r] = h;
    ended_[r] = state == machine_.states();
  }

  // The entry whose part of [0, 1) the draw lies in, of 52 bits, in the middle of its interval.
  static size_t choose(const StateRow& row, uint64_t bits) {
    double total = 0.0;
    for (size_t i = 0; i < row.size(); i++) total += row.probabilities()[i];
    const double place = (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52 * total;
    double below = 0.0;
    size_t last = 0;
    for (size_t i = 0; i < row.size(); i++) {
      below += row.probabilities()[i];
      if (row.probabilities()[i] > 0.0) last = i;
      if (place < below) break;
    }
    return row.first() + last;
  }

  const TestTimeRule rule_;
  const LinearMachine& machine_;
  const TabularSampling sampling_;
  std::vector<double> log_probs_;
  std::vector<uint32_t> lengths_;
  std::vector<uint8_t> ended_;
  std::vector<std::vector<int32_t>> drawn_;  // of each chunk
  std::unique_ptr<int32_t[]> all_;
};

Status check_rule(const TestTimeRule& rule) {
  if (!(rule.step_size >= 0.0 && std::isfinite(rule.step_size))) {
    return expected(Code::range, "a number >= 0", "stepSize", std::to_string(rule.step_size));
  }
  return check_projection(rule.projection, rule.model->linear()->features()->dimension());
}

}  // namespace

Status make_test_time_score_job(TestTimeRule rule, ResponseView responses, double* log_probs,
                                std::unique_ptr<Job>& job) {
  if (Status status = check_rule(rule); !status.ok()) return status;
  if (Status status = check_response_view(responses, *rule.model); !status.ok()) return status;
  job = std::make_unique<ScoringJob>(std::move(rule), std::move(responses), log_probs);
  return {};
}

Status make_test_time_sample_job(TestTimeRule rule, TabularSampling sampling, std::unique_ptr<TabularSampleJob>& job) {
  if (Status status = check_rule(rule); !status.ok()) return status;
  Status status =
      check_rollouts(*rule.model, sampling.prompts, sampling.responses, sampling.max_length, sampling.target);
  if (!status.ok()) return status;
  job = std::make_unique<SamplingJob>(std::move(rule), std::move(sampling));
  return {};
}

}  // namespace covn
