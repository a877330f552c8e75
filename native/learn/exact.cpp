// KL and sigma*^2 by dynamic programming: the probability with which a response of the reference is in each state
// before its token h, for h = 0, 1, ..., times what the state adds.
#include <algorithm>
#include <cmath>
#include <limits>

#include "learn/exact.hpp"
#include "learn/linear_machine.hpp"

namespace covn {

Status check_exact(const ExactRequest& request) {
  if (Status status = check_same_machine(*request.reference, *request.model); !status.ok()) return status;
  for (size_t i = 0; i < request.prompts.size(); i++) {
    if (request.prompts[i] >= request.model->prompts()) {
      return expected(Code::range, "a prompt of the model", "prompts[" + std::to_string(i) + "]",
                      std::to_string(request.prompts[i]));
    }
  }
  if (request.max_length > kMaxResponseLength) {
    return expected(Code::range, "an integer in [1, 2^24 - 1]", "maxLength", std::to_string(request.max_length));
  }
  return {};
}

Status has_loop(size_t prompt) {
  return {Code::range, "Expected maxLength for a machine in which responses to prompt " + std::to_string(prompt) +
                           " can go round in a loop but received none"};
}

namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMaxChunks = 64;

// Where responses are before a token, and with what probability.
class Occupancy {
 public:
  explicit Occupancy(const TabularMachine& machine)
      : machine_(machine), mass_(machine.states()), next_mass_(machine.states()) {}

  // The sum of cost(state) over the states that a response is in before each of its tokens.
  template <class Cost>
  Status sum(size_t prompt, size_t max_length, const Stop& stop, Cost cost, double& total) {
    total = 0.0;
    states_.assign(1, static_cast<uint32_t>(machine_.start(prompt)));
    mass_[states_[0]] = 1.0;
    for (size_t step = 0; !states_.empty() && (max_length == 0 || step < max_length); step++) {
      // A longer way passes some state twice.
      if (max_length == 0 && step >= machine_.states()) return has_loop(prompt);
      for (uint32_t state : states_) {
        if (++visits_ % 4096 == 0 && stop()) return {Code::cancelled, ""};
        total += mass_[state] * cost(state);
        advance(state);
      }
      states_.swap(next_states_);
      mass_.swap(next_mass_);
      next_states_.clear();
    }
    for (uint32_t state : states_) mass_[state] = 0.0;
    return {};
  }

 private:
  void advance(uint32_t state) {
    const size_t first = machine_.first_entry(state), end = first + machine_.entries_of(state);
    for (size_t e = first; e < end; e++) {
      const uint64_t next = machine_.next_of(e);
      const double mass = next < machine_.states() ? mass_[state] * std::exp(machine_.log_probs()[e]) : 0.0;
      if (mass == 0.0) continue;
      if (next_mass_[next] == 0.0) next_states_.push_back(static_cast<uint32_t>(next));
      next_mass_[next] += mass;
    }
    mass_[state] = 0.0;
  }

  const TabularMachine& machine_;
  std::vector<double> mass_, next_mass_;
  std::vector<uint32_t> states_, next_states_;
  size_t visits_ = 0;
};

// KL of a state's token distributions.
class TokenKl {
 public:
  explicit TokenKl(const ExactRequest& request)
      : reference_(machine_of(*request.reference)), model_(machine_of(*request.model)) {}

  Status prepare(const Stop& stop) const { return model_.prepare_log_probs(stop); }
  double operator()(size_t state) const {
    double sum = 0.0;
    const size_t first = reference_.first_entry(state), end = first + reference_.entries_of(state);
    for (size_t e = first; e < end; e++) {
      const double log_p = reference_.log_probs()[e], p = std::exp(log_p);
      if (p > 0.0) sum += p * (log_p - model_.log_probs()[e]);
    }
    return std::max(0.0, sum);  // rounding alone makes it less
  }

 private:
  const TabularMachine &reference_, &model_;
};

// E ||phi - phibar||^2 of a state's next token.
class TokenVariance {
 public:
  explicit TokenVariance(const ExactRequest& request)
      : reference_(machine_of(*request.reference)),
        features_(*request.model->linear()->features()),
        kernels_(kernels_for(best_target()).learn),
        mean_(features_.width()),
        distance_(features_.width()),
        p_(padded(features_.widest())) {}

  Status prepare(const Stop&) const { return {}; }
  double operator()(size_t state) {
    const size_t first = reference_.first_entry(state), n = reference_.entries_of(state);
    for (size_t i = 0; i < n; i++) p_[i] = -std::exp(reference_.log_probs()[first + i]);
    mean_.assign(mean_.size(), 0.0);
    features_.add(kernels_, first, n, p_.data(), mean_.data());  // negative
    double sum = 0.0;
    for (size_t i = 0; i < n; i++) {
      if (p_[i] == 0.0) continue;
      distance_ = mean_;
      const double one = 1.0;
      features_.add(kernels_, first + i, 1, &one, distance_.data());
      double squares = 0.0;
      for (double x : distance_) squares += x * x;
      sum -= p_[i] * squares;
    }
    return sum;
  }

 private:
  const TabularMachine& reference_;
  const FeatureTable& features_;
  const LearnKernels& kernels_;
  std::vector<double> mean_, distance_, p_;
};

template <class Cost>
class ExpectationJob final : public Job {
 public:
  ExpectationJob(ExactRequest request, double* out)
      : request_(std::move(request)),
        reference_(machine_of(*request_.reference)),
        out_(out),
        each_((request_.prompts.size() + kMaxChunks - 1) / kMaxChunks) {}

  size_t chunk_count() const override { return each_ == 0 ? 0 : (request_.prompts.size() + each_ - 1) / each_; }

 protected:
  void run_chunk(size_t chunk) override {
    const Stop stop = [this] { return cancelled(); };
    Cost cost(request_);
    Status status = reference_.prepare_log_probs(stop);
    if (status.ok()) status = cost.prepare(stop);
    if (!status.ok()) return fail(chunk, 0, std::move(status));
    Occupancy occupancy(reference_);
    // A state's cost is computed once.
    std::vector<double> costs(reference_.states(), kUnknown);
    const auto cost_of = [&](size_t state) {
      if (std::isnan(costs[state])) costs[state] = cost(state);
      return costs[state];
    };
    const size_t first = chunk * each_;
    for (size_t i = first; i < std::min(request_.prompts.size(), first + each_); i++) {
      status = occupancy.sum(request_.prompts[i], request_.max_length, stop, cost_of, out_[i]);
      if (!status.ok()) return fail(chunk, i, std::move(status));
    }
  }

 private:
  const ExactRequest request_;
  const TabularMachine& reference_;
  double* const out_;
  const size_t each_;
};

}  // namespace

Status make_exact_kl_job(ExactRequest request, double* out, std::unique_ptr<Job>& job) {
  if (Status status = check_exact(request); !status.ok()) return status;
  job = std::make_unique<ExpectationJob<TokenKl>>(std::move(request), out);
  return {};
}

Status make_variance_job(ExactRequest request, double* out, std::unique_ptr<Job>& job) {
  if (Status status = check_exact(request); !status.ok()) return status;
  job = std::make_unique<ExpectationJob<TokenVariance>>(std::move(request), out);
  return {};
}

}  // namespace covn
