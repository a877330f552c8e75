// Best-of-N requests for the tests: models, rewards of every kind, outcomes.
#pragma once

#include <bit>
#include <utility>
#include <vector>

#include "covn/best_of_n.hpp"
#include "test/machines.hpp"

namespace covn::test {

constexpr size_t kSums = 5;
constexpr size_t kMaxLength = 40;

struct Outcome {
  Status status;
  std::vector<double> successes, best, kept_rewards, kept_samples, kept_log_probs, sums, rewards, log_probs;
};

// Memory for what a request gives.
inline void attach(BestOfNRequest& request, Outcome& out, bool with_all) {
  constexpr double kUnset = -123.0;
  const size_t prompts = request.prompts.size();
  const auto make = [&](std::vector<double>& v, size_t each) { return (v.assign(prompts * each, kUnset), v.data()); };
  request.successes = make(out.successes, request.sizes.size());
  request.best_rewards = make(out.best, request.sizes.size());
  request.kept_rewards = make(out.kept_rewards, request.keep);
  request.kept_samples = make(out.kept_samples, request.keep);
  request.kept_log_probs = make(out.kept_log_probs, request.keep);
  request.sums = make(out.sums, kSums);
  request.rewards = with_all ? make(out.rewards, request.samples) : nullptr;
  request.log_probs = with_all ? make(out.log_probs, request.samples) : nullptr;
}

inline Outcome best_of_n(BestOfNRequest request, bool with_all, ThreadPool* pool = nullptr, unsigned threads = 0) {
  Outcome out;
  attach(request, out, with_all);
  std::unique_ptr<Job> job;
  out.status = make_best_of_n_job(std::move(request), job);
  if (out.status.ok()) out.status = pool != nullptr ? run_on_pool(*pool, std::move(job), threads) : run_inline(*job);
  return out;
}

// NaN is NaN.
inline bool same(const double* a, const double* b, size_t n) {
  return std::equal(a, a + n, b,
                    [](double x, double y) { return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y); });
}

// Row a of one outcome and row b of another, of `rows` each.
inline bool same_prompt(const Outcome& x, size_t a, size_t x_rows, const Outcome& y, size_t b, size_t y_rows) {
  bool equal = x.status.ok() && y.status.ok();
  for (auto field : {&Outcome::successes, &Outcome::best, &Outcome::kept_rewards, &Outcome::kept_samples,
                     &Outcome::kept_log_probs, &Outcome::sums}) {
    const size_t each = (x.*field).size() / x_rows;
    equal = equal && each == (y.*field).size() / y_rows &&
            same((x.*field).data() + a * each, (y.*field).data() + b * each, each);
  }
  return equal;
}

inline TabularRows drawn_machine() { return random_machine({25, 30, 6, 1.5, 0.3, 0.06}, 41); }

inline Automaton random_automaton(size_t classes, size_t prompts, size_t vocab) {
  Random random(classes + 1);
  constexpr size_t kStates = 6;
  Automaton a;
  a.columns = classes > 0 ? classes : vocab;
  for (size_t i = 0; i < vocab && classes > 0; i++) a.classes.push_back(random.bits() % classes);
  for (size_t i = 0; i < kStates * a.columns; i++) {
    a.next.push_back(random.bits() % 40 == 0 ? -1 : static_cast<int32_t>(random.bits() % kStates));
  }
  for (size_t p = 0; p < prompts; p++) a.starts.push_back(static_cast<int32_t>(random.bits() % kStates));
  a.values = {0.0, 1.0, -2.5, 1.0, 0.25, 3.0};
  a.rejected = -4.0;
  return a;
}

struct Setting {
  const char* name;
  TabularRows drawn;
  Reward reward;
  TabularRows other;  // of the reward
};

inline std::vector<Setting> settings() {
  const TabularRows drawn = drawn_machine();
  // One that can say everything, and one that cannot.
  TabularRows other = random_machine({9, 30, 6, 1.0, 0.0, 0.06}, 42);
  other.next = std::vector<int32_t>(other.next.size(), 3);
  const TabularRows narrow = sparse_of(random_machine({9, 30, 6, 1.0, 0.02, 0.0}, 43));
  std::vector<Setting> all{{"own log-prob", drawn, {}, {}}, {"own log-prob, sparse", sparse_of(drawn), {}, {}}};
  for (const auto& [kind, name] :
       {std::pair{Reward::Kind::log_prob, "log-prob"}, {Reward::Kind::log_ratio, "log ratio"}}) {
    all.push_back({name, drawn, {kind, model_of(other), {}}, other});
    all.push_back({name, sparse_of(drawn), {kind, model_of(narrow), {}}, narrow});
  }
  for (size_t classes : {0, 1, 4}) {
    all.push_back({"automaton",
                   classes == 1 ? sparse_of(drawn) : drawn,
                   {Reward::Kind::automaton, nullptr, random_automaton(classes, 6, 30)},
                   {}});
  }
  return all;
}

inline std::vector<uint64_t> sizes_up_to(uint64_t n) {
  std::vector<uint64_t> sizes;
  for (uint64_t size : {1, 2, 3, 10, 31, 32, 33, 64, 1000, 4095, 4096, 4097, 8192, 50'000, 250'000}) {
    if (size < n) sizes.push_back(size);
  }
  sizes.push_back(n);
  return sizes;
}

inline BestOfNRequest request_of(const Setting& setting, std::vector<uint32_t> prompts, uint64_t samples, size_t keep) {
  BestOfNRequest request;
  request.model = model_of(setting.drawn);
  request.prompts = std::move(prompts);
  request.samples = samples;
  request.seed = 99;
  request.max_length = kMaxLength;
  request.reward = setting.reward;
  request.success = setting.reward.kind == Reward::Kind::automaton   ? 1.0
                    : setting.reward.kind == Reward::Kind::log_ratio ? -5.0
                                                                     : -20.0;
  request.sizes = sizes_up_to(samples);
  request.keep = keep;
  request.target = best_target();
  return request;
}

}  // namespace covn::test
