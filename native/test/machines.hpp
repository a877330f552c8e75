// Tabular models for the tests, and the responses drawn from them.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "covn/tabular.hpp"
#include "test/check.hpp"
#include "test/pool.hpp"

namespace covn::test {

inline std::vector<Target> available_machine_targets() {
  std::vector<Target> available;
  for (Target target : kTargets) {
    if (target_support(target).available) available.push_back(target);
  }
  return available;
}

struct MachineShape {
  size_t states, vocab, prompts;
  double deviation;  // of the log-probs
  double zeros;      // the share of tokens of probability 0; sparse machines leave them out
  double ends;       // the probability, over entries, that a token ends the response
};

// Dense.
inline TabularRows random_machine(const MachineShape& shape, uint64_t seed) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Random random(seed);
  TabularRows rows;
  rows.vocab = shape.vocab;
  for (size_t s = 0; s < shape.states; s++) {
    std::vector<double> x(shape.vocab);
    double sum = 0.0;
    for (double& logit : x) logit = random.uniform() < shape.zeros ? -kInfinity : shape.deviation * random.normal();
    x[random.bits() % shape.vocab] = 1.0;  // not all can be 0
    for (double logit : x) sum += std::exp(logit);
    for (double logit : x) {
      rows.log_probs.push_back(logit - std::log(sum));
      rows.next.push_back(random.uniform() < shape.ends ? -1 : static_cast<int32_t>(random.bits() % shape.states));
    }
  }
  for (size_t p = 0; p < shape.prompts; p++) rows.starts.push_back(static_cast<int32_t>(random.bits() % shape.states));
  return rows;
}

// The same without the tokens of probability 0.
inline TabularRows sparse_of(const TabularRows& dense) {
  TabularRows rows;
  rows.vocab = dense.vocab;
  rows.starts = dense.starts;
  rows.stops = dense.stops;
  rows.offsets.push_back(0);
  for (size_t e = 0; e < dense.log_probs.size(); e++) {
    if (!std::isinf(dense.log_probs[e])) {
      rows.log_probs.push_back(dense.log_probs[e]);
      rows.next.push_back(dense.next[e]);
      rows.tokens.push_back(static_cast<int32_t>(e % dense.vocab));
    }
    if (e % dense.vocab == dense.vocab - 1) rows.offsets.push_back(static_cast<int64_t>(rows.tokens.size()));
  }
  return rows;
}

inline std::shared_ptr<const TabularModel> model_of(const TabularRows& rows) {
  std::shared_ptr<const TabularModel> model;
  const Status status = make_tabular_model(rows, model);
  if (!status.ok()) std::printf("    %s\n", status.message.c_str());
  CHECK(status.ok());
  return model;
}

struct Responses {
  Status status;
  std::vector<uint32_t> prompts, samples;
  std::vector<double> log_probs;
  std::vector<uint8_t> ended;
  std::vector<int64_t> offsets;
  std::vector<int32_t> tokens;

  size_t count() const { return prompts.size(); }
  size_t length(size_t r) const { return static_cast<size_t>(offsets[r + 1] - offsets[r]); }
  const int32_t* response(size_t r) const { return tokens.data() + offsets[r]; }
  bool same(size_t r, const Responses& other, size_t o) const {
    return prompts[r] == other.prompts[o] && samples[r] == other.samples[o] && log_probs[r] == other.log_probs[o] &&
           ended[r] == other.ended[o] && length(r) == other.length(o) &&
           std::equal(response(r), response(r) + length(r), other.response(o));
  }
  bool operator==(const Responses& other) const {
    bool equal = status.ok() && other.status.ok() && count() == other.count();
    for (size_t r = 0; equal && r < count(); r++) equal = same(r, other, r);
    return equal;
  }
};

struct Sampled {
  size_t max_length;
  Target target = best_target();
  uint64_t seed = 77;
};

inline Responses sample_responses(const std::shared_ptr<const TabularModel>& model, std::vector<uint32_t> prompts,
                                  std::vector<uint32_t> samples, const Sampled& how, ThreadPool* pool = nullptr,
                                  unsigned threads = 0) {
  Responses out{{}, std::move(prompts), std::move(samples), {}, {}, {0}, {}};
  TabularSampling request{model,    out.prompts.data(), out.samples.data(), out.count(),
                          how.seed, how.max_length,     how.target};
  std::unique_ptr<TabularSampleJob> made;
  out.status = make_tabular_sample_job(request, made);
  if (!out.status.ok()) return out;
  const std::shared_ptr<TabularSampleJob> job = std::move(made);
  out.status = pool != nullptr ? run_on_pool(*pool, job, threads) : run_inline(*job);
  if (!out.status.ok()) return out;
  out.log_probs = job->log_probs();
  out.ended = job->ended();
  for (uint32_t length : job->lengths()) out.offsets.push_back(out.offsets.back() + length);
  const std::unique_ptr<int32_t[]> tokens = job->take_tokens();
  out.tokens.assign(tokens.get(), tokens.get() + out.offsets.back());
  return out;
}

// Samples 0 .. each - 1 of every prompt.
inline Responses sample_each(const std::shared_ptr<const TabularModel>& model, size_t each, const Sampled& how,
                             ThreadPool* pool = nullptr, unsigned threads = 0) {
  std::vector<uint32_t> prompts, samples;
  for (size_t p = 0; p < model->prompts(); p++) {
    for (size_t i = 0; i < each; i++) {
      prompts.push_back(static_cast<uint32_t>(p));
      samples.push_back(static_cast<uint32_t>(i));
    }
  }
  return sample_responses(model, std::move(prompts), std::move(samples), how, pool, threads);
}

struct Scores {
  Status status;
  std::vector<double> log_probs;
};

inline Scores score_responses(const std::shared_ptr<const TabularModel>& model, const std::vector<int32_t>& prompts,
                              const std::vector<int32_t>& tokens, std::vector<int64_t> offsets,
                              ThreadPool* pool = nullptr, unsigned threads = 0) {
  Scores out{{}, std::vector<double>(prompts.size(), 7.0)};
  TabularScoring request{model, prompts.data(), tokens.data(), tokens.size(), std::move(offsets), out.log_probs.data()};
  std::unique_ptr<Job> job;
  out.status = make_tabular_score_job(std::move(request), job);
  if (out.status.ok()) out.status = pool != nullptr ? run_on_pool(*pool, std::move(job), threads) : run_inline(*job);
  return out;
}

}  // namespace covn::test
