// Models with finitely many contexts: each state has its distribution of tokens, and each token leads to a next state.
// Responses are drawn with alias tables, at a few gathers a token.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/cpu.hpp"
#include "covn/job.hpp"

namespace covn {

// A machine as the caller gives it. Dense: `log_probs` and `next` [states, vocab]. Sparse: both [entries], state s
// having the entries offsets[s] .. offsets[s + 1] of the tokens named there, others having probability 0.
struct TabularRows {
  size_t vocab = 0;
  std::vector<double> log_probs;  // nats, <= 0; -inf: never drawn; none where a model computes its own
  std::vector<int32_t> next;      // the state after the token; -1: the response has ended
  std::vector<int64_t> offsets;   // [states + 1], or empty: dense
  std::vector<int32_t> tokens;    // [entries], ascending within a state; empty when dense
  std::vector<int32_t> starts;    // [prompts]: the state that each prompt's responses start in
  std::vector<int32_t> stops;     // tokens after which a response has ended, whatever `next` says
};

constexpr size_t kMaxTabularStates = (size_t{1} << 24) - 1;
constexpr size_t kMaxResponseLength = (size_t{1} << 24) - 1;

class LinearMachine;

class TabularModel {
 public:
  virtual ~TabularModel() = default;
  virtual size_t vocab() const = 0;
  virtual size_t prompts() const = 0;
  virtual size_t states() const = 0;
  // Of the model and of the tables that the first job makes.
  virtual size_t bytes() const = 0;
  // The model as a linear one, if it is one.
  virtual const LinearMachine* linear() const { return nullptr; }
};

// Checks shapes and ranges. The probabilities of each state's tokens have to sum to 1 within 1e-6, and are scaled so
// that they do to rounding: looked at by the first job that uses the model, as the tables are made then.
Status make_tabular_model(TabularRows rows, std::shared_ptr<const TabularModel>& model);

// Log-probabilities of responses. All pointers stay valid until the job has settled.
struct TabularScoring {
  std::shared_ptr<const TabularModel> model;
  const int32_t* prompts = nullptr;  // [responses]
  const int32_t* tokens = nullptr;   // [total]
  size_t token_count = 0;
  std::vector<int64_t> offsets;  // [responses + 1]
  double* log_probs = nullptr;   // [responses], nats; -inf for what the model cannot say, as tokens after its end
};
Status make_tabular_score_job(TabularScoring request, std::unique_ptr<Job>& job);

// Responses by prompt and sample number.
struct TabularSampling {
  std::shared_ptr<const TabularModel> model;
  const uint32_t* prompts = nullptr;  // [responses]
  const uint32_t* samples = nullptr;  // [responses]
  size_t responses = 0;
  uint64_t seed = 0;
  size_t max_length = 0;  // in [1, kMaxResponseLength]: a response of so many tokens is cut off
  Target target = Target::scalar;
};
class TabularSampleJob : public Job {
 public:
  // After the job has settled: [responses]; and all tokens, response after response.
  virtual const std::vector<double>& log_probs() const = 0;
  virtual const std::vector<uint32_t>& lengths() const = 0;
  virtual const std::vector<uint8_t>& ended() const = 0;  // 0 where cut off
  virtual std::unique_ptr<int32_t[]> take_tokens() = 0;
};
// Sample i of prompt x is the same wherever it is drawn: word h % 4 of Philox's counter {x, h / 4, i, stream} gives its
// token h, to 2^-64 of the column's width of the alias table.
Status make_tabular_sample_job(TabularSampling request, std::unique_ptr<TabularSampleJob>& job);

}  // namespace covn
