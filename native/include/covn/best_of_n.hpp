// Best-of-N from a tabular model: draws, scores, rewards and reduces in one pass, so that memory does not grow with N.
#pragma once

#include <limits>
#include <memory>
#include <vector>

#include "covn/tabular.hpp"

namespace covn {

// Reads a response's tokens; the state that it is left in has a value.
struct Automaton {
  size_t columns = 0;             // vocab, or the number of classes of tokens
  std::vector<uint32_t> classes;  // [vocab]: each token's class; empty: tokens themselves
  std::vector<int32_t> next;      // [states, columns]; -1: rejected, whatever follows
  std::vector<int32_t> starts;    // [prompts]
  std::vector<double> values;     // [states]
  double rejected = 0.0;
};

struct Reward {
  // own_log_prob: log p(y|x), p being the model drawn from; log_prob: log p'(y|x) under another; log_ratio: log p'(y|x)
  // - log p(y|x).
  enum class Kind : uint8_t { own_log_prob, log_prob, log_ratio, automaton };
  Kind kind = Kind::own_log_prob;
  std::shared_ptr<const TabularModel> model;  // the other
  Automaton automaton;
};

struct BestOfNRequest {
  std::shared_ptr<const TabularModel> model;
  std::vector<uint32_t> prompts;
  uint64_t samples = 0;  // N, in [1, 2^31]
  uint64_t seed = 0;
  size_t max_length = 0;
  Reward reward;
  // A reward of at least this is a success.
  double success = std::numeric_limits<double>::infinity();
  std::vector<uint64_t> sizes;  // ascending numbers of draws at which success and the best so far are wanted; N last
  size_t keep = 0;              // how many of the best responses
  Target target = Target::scalar;
  // Outputs, prompt after prompt. [prompts, sizes]: successes among, and the best reward of, the first so many samples.
  double* successes = nullptr;
  double* best_rewards = nullptr;
  // [prompts, keep], best first; of equal rewards the lower sample comes first. NaN and -1 where N < keep.
  double* kept_rewards = nullptr;
  double* kept_samples = nullptr;
  double* kept_log_probs = nullptr;
  // [prompts, 5]: sums of rewards, of their squared distances from their mean, of log-probs, of lengths, and the number
  // that ended by themselves.
  double* sums = nullptr;
  // [prompts, N], or null.
  double* rewards = nullptr;
  double* log_probs = nullptr;
};

// Log-probs are exact to 3e-11 nats a token. The result does not depend on the threads or on the order of the prompts.
Status make_best_of_n_job(BestOfNRequest request, std::unique_ptr<Job>& job);

}  // namespace covn
