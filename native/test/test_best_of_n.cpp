// Best-of-N against drawing all N responses and reducing them one by one; the same whatever the threads and prompts.
#include <cmath>
#include <limits>

#include "reference/best_of_n.hpp"
#include "reference/tabular.hpp"
#include "test/bests.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Within rounding of n terms that come to `magnitude`.
bool close(double found, long double want, long double magnitude, size_t n) {
  if (std::isnan(want)) return std::isnan(found);
  if (std::isinf(static_cast<double>(want))) return found == static_cast<double>(want);
  return std::fabs(found - want) <= 1e-15L * std::sqrt(static_cast<long double>(n)) * magnitude + 1e-300L;
}

// The rewards that replayed responses have, by the reference; checks the ones found against them.
size_t count_wrong_rewards(const Setting& setting, const Responses& r, const double* rewards) {
  const reference::Machine drawn(setting.drawn);
  const reference::Machine other(setting.other.vocab > 0 ? setting.other : setting.drawn);
  // A token's log-prob is exact to 3e-11; a ratio has two of them.
  const long double bound = setting.reward.kind == Reward::Kind::log_ratio ? 6.1e-11L : 3.1e-11L;
  size_t wrong = 0;
  for (size_t i = 0; i < r.count(); i++) {
    const size_t length = r.length(i);
    const long double own = drawn.walk(r.prompts[i], r.response(i), length).log_prob;
    long double want = own;
    if (setting.reward.kind == Reward::Kind::automaton) {
      wrong += rewards[i] != reference::automaton_reward(setting.reward.automaton, r.prompts[i], r.response(i), length);
      continue;
    }
    if (setting.reward.kind != Reward::Kind::own_log_prob) {
      want = other.walk(r.prompts[i], r.response(i), length).log_prob;
    }
    if (setting.reward.kind == Reward::Kind::log_ratio) want -= own;
    const bool right = std::isinf(want) ? rewards[i] == static_cast<double>(want)
                                        : std::fabs(rewards[i] - want) <= bound * static_cast<long double>(length);
    wrong += !right;
  }
  return wrong;
}

// One prompt of an outcome with all rewards, against its replayed responses.
bool reduced_right(const BestOfNRequest& request, const Outcome& out, size_t p, const Responses& r) {
  const size_t n = request.samples, sizes = request.sizes.size(), keep = request.keep;
  const double* const all = out.rewards.data() + p * n;
  const std::vector<double> rewards(all, all + n);
  const reference::Reduced want = reference::reduce(rewards, request.success, request.sizes, keep);
  bool right = same(want.successes.data(), out.successes.data() + p * sizes, sizes) &&
               same(want.best.data(), out.best.data() + p * sizes, sizes) &&
               same(r.log_probs.data(), out.log_probs.data() + p * n, n);
  for (size_t k = 0; k < keep; k++) {
    const size_t at = p * keep + k;
    if (k >= n) {
      right = right && std::isnan(out.kept_rewards[at]) && out.kept_samples[at] == -1.0 &&
              std::isnan(out.kept_log_probs[at]);
    } else {
      const size_t sample = want.kept[k];
      right = right && out.kept_samples[at] == static_cast<double>(sample) && out.kept_rewards[at] == rewards[sample] &&
              out.kept_log_probs[at] == r.log_probs[sample];
    }
  }
  long double sums[kSums] = {}, magnitudes[kSums] = {}, mean = 0.0;
  for (size_t i = 0; i < n; i++) mean += static_cast<long double>(rewards[i]) / static_cast<long double>(n);
  for (size_t i = 0; i < n; i++) {
    const long double reward = rewards[i], distance = reward - mean;
    const long double terms[kSums] = {reward, distance * distance, r.log_probs[i],
                                      static_cast<long double>(r.length(i)), static_cast<long double>(r.ended[i])};
    for (size_t k = 0; k < kSums; k++) {
      sums[k] += terms[k];
      // Distances are off by what the rewards themselves are rounded by.
      magnitudes[k] += std::fabs(terms[k]) + (k == 1 ? 1e-3L * reward * reward : 0.0L);
    }
  }
  for (size_t k = 0; k < kSums; k++) right = right && close(out.sums[p * kSums + k], sums[k], magnitudes[k], n);
  return right;
}

void check(const Setting& setting, const std::vector<uint32_t>& prompts, uint64_t samples, size_t keep) {
  ThreadPool pool(2);
  const BestOfNRequest request = request_of(setting, prompts, samples, keep);
  const Outcome out = best_of_n(request, true, &pool, 2);
  CHECK(out.status.ok());
  std::vector<uint32_t> numbers(samples);
  std::iota(numbers.begin(), numbers.end(), 0u);
  size_t wrong = 0;
  for (size_t p = 0; p < prompts.size(); p++) {
    const std::vector<uint32_t> prompt(samples, prompts[p]);
    const Responses r = sample_responses(request.model, prompt, numbers, {kMaxLength, best_target(), 99}, &pool, 2);
    wrong += count_wrong_rewards(setting, r, out.rewards.data() + p * samples);
    const bool right = reduced_right(request, out, p, r);
    if (!right) std::printf("    %s, N %llu: prompt %zu\n", setting.name, static_cast<unsigned long long>(samples), p);
    CHECK(right);
  }
  if (wrong > 0) std::printf("    %s: %zu rewards wrong\n", setting.name, wrong);
  CHECK(wrong == 0);
}

}  // namespace

COVN_TEST(all_rewards_are_those_of_replayed_responses) {
  for (const Setting& setting : settings()) {
    for (uint64_t samples : {1, 2, 31, 32, 33, 1000}) check(setting, {0, 5, 2, 2}, samples, samples < 32 ? 40 : 10);
    check(setting, {3, 1}, 4095, 100);
    if (setting.reward.kind == Reward::Kind::log_ratio) check(setting, {4}, 70'000, 1);
  }
}

COVN_TEST(many_samples_are_merged_in_order) {
  const std::vector<Setting> all = settings();
  for (uint64_t samples : {70'000, 300'000}) check(all[0], {2}, samples, 1000);
  check(all.back(), {2, 3}, 300'000, 5000);  // few values: most of what is kept ties
  check(all.back(), {1}, 4097, 0);
}

COVN_TEST(the_same_for_any_threads_targets_and_orders_of_prompts) {
  ThreadPool pool(2);
  for (const Setting& setting : settings()) {
    for (uint64_t samples : {1, 33, 1000, 20'000}) {
      const BestOfNRequest request = request_of(setting, {0, 1, 2, 3, 4, 5}, samples, 7);
      const Outcome whole = best_of_n(request, true);
      const auto agrees = [&](const std::vector<uint32_t>& prompts, Target target, ThreadPool* on, unsigned threads) {
        BestOfNRequest other = request;
        other.prompts = prompts;
        other.target = target;
        const Outcome out = best_of_n(other, false, on, threads);
        bool equal = out.status.ok();
        for (size_t i = 0; equal && i < prompts.size(); i++) {
          equal = same_prompt(out, i, prompts.size(), whole, prompts[i], 6);
        }
        return equal;
      };
      for (Target target : available_machine_targets()) CHECK(agrees(request.prompts, target, nullptr, 0));
      for (unsigned threads : {1u, 2u}) CHECK(agrees({5, 3, 1, 4, 0, 2}, best_target(), &pool, threads));
      CHECK(agrees({2}, best_target(), &pool, 2));
      CHECK(agrees({4, 4, 1, 4}, best_target(), &pool, 2));
      const std::vector<uint32_t> many(samples > 1000 ? 10 : 300, 3);
      CHECK(agrees(many, best_target(), &pool, 2));
    }
  }
}

COVN_TEST(fewer_samples_are_the_first_ones) {
  for (const Setting& setting : settings()) {
    const Outcome many = best_of_n(request_of(setting, {1}, 9000, 0), true);
    const Outcome few = best_of_n(request_of(setting, {1}, 100, 0), true);
    CHECK(few.status.ok() && same(few.rewards.data(), many.rewards.data(), 100));
    CHECK(same(few.log_probs.data(), many.log_probs.data(), 100));
  }
}

COVN_TEST(the_log_ratio_of_a_model_to_itself_is_0) {
  const TabularRows dense = drawn_machine();
  for (const TabularRows& drawn : {dense, sparse_of(dense)}) {
    for (const TabularRows& other : {dense, sparse_of(dense)}) {
      const Setting setting{"itself", drawn, {Reward::Kind::log_ratio, model_of(other), {}}, other};
      const Outcome out = best_of_n(request_of(setting, {0, 1, 2}, 5000, 0), true);
      CHECK(out.status.ok());
      CHECK(std::all_of(out.rewards.begin(), out.rewards.end(), [](double reward) { return reward == 0.0; }));
    }
  }
}

COVN_TEST(rewards_may_be_infinite) {
  Setting setting = settings().back();
  setting.reward.automaton.rejected = -kInfinity;
  setting.reward.automaton.values[5] = kInfinity;
  BestOfNRequest request = request_of(setting, {0, 1, 2}, 5000, 20);
  request.success = kInfinity;
  const Outcome out = best_of_n(request, true);
  CHECK(out.status.ok());
  for (size_t p = 0; p < 3; p++) {
    const std::vector<double> rewards(out.rewards.begin() + static_cast<ptrdiff_t>(p * 5000),
                                      out.rewards.begin() + static_cast<ptrdiff_t>((p + 1) * 5000));
    const reference::Reduced want = reference::reduce(rewards, kInfinity, request.sizes, 20);
    CHECK(same(want.successes.data(), out.successes.data() + p * want.successes.size(), want.successes.size()));
    for (size_t k = 0; k < 20; k++) CHECK(out.kept_samples[p * 20 + k] == static_cast<double>(want.kept[k]));
  }
}

int main() { return run_all(); }
