// Best-of-N against drawing all N responses and reducing them one by one; the same whatever the threads and prompts;
// requests that are refused.
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "covn/best_of_n.hpp"
#include "reference/best_of_n.hpp"
#include "reference/tabular.hpp"
#include "test/machines.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr size_t kSums = 5;
constexpr size_t kMaxLength = 40;

struct Outcome {
  Status status;
  std::vector<double> successes, best, kept_rewards, kept_samples, kept_log_probs, sums, rewards, log_probs;
};

// Memory for what a request gives.
void attach(BestOfNRequest& request, Outcome& out, bool with_all) {
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

Outcome best_of_n(BestOfNRequest request, bool with_all, ThreadPool* pool = nullptr, unsigned threads = 0) {
  Outcome out;
  attach(request, out, with_all);
  std::unique_ptr<Job> job;
  out.status = make_best_of_n_job(std::move(request), job);
  if (out.status.ok()) out.status = pool != nullptr ? run_on_pool(*pool, std::move(job), threads) : run_inline(*job);
  return out;
}

// NaN is NaN.
bool same(const double* a, const double* b, size_t n) {
  return std::equal(a, a + n, b,
                    [](double x, double y) { return std::bit_cast<uint64_t>(x) == std::bit_cast<uint64_t>(y); });
}

// Row a of one outcome and row b of another, of `rows` each.
bool same_prompt(const Outcome& x, size_t a, size_t x_rows, const Outcome& y, size_t b, size_t y_rows) {
  bool equal = x.status.ok() && y.status.ok();
  for (auto field : {&Outcome::successes, &Outcome::best, &Outcome::kept_rewards, &Outcome::kept_samples,
                     &Outcome::kept_log_probs, &Outcome::sums}) {
    const size_t each = (x.*field).size() / x_rows;
    equal = equal && each == (y.*field).size() / y_rows &&
            same((x.*field).data() + a * each, (y.*field).data() + b * each, each);
  }
  return equal;
}

TabularRows drawn_machine() { return random_machine({25, 30, 6, 1.5, 0.3, 0.06}, 41); }

Automaton random_automaton(size_t classes, size_t prompts, size_t vocab) {
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

std::vector<Setting> settings() {
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

std::vector<uint64_t> sizes_up_to(uint64_t n) {
  std::vector<uint64_t> sizes;
  for (uint64_t size : {1, 2, 3, 10, 31, 32, 33, 64, 1000, 4095, 4096, 4097, 8192, 50'000, 250'000}) {
    if (size < n) sizes.push_back(size);
  }
  sizes.push_back(n);
  return sizes;
}

BestOfNRequest request_of(const Setting& setting, std::vector<uint32_t> prompts, uint64_t samples, size_t keep) {
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
                                        : std::fabs(rewards[i] - want) <= 3.1e-11L * static_cast<long double>(length);
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
    check(setting, {4}, 70'000, 1);
  }
}

COVN_TEST(many_samples_are_merged_in_order) {
  const std::vector<Setting> all = settings();
  check(all[0], {2}, 300'000, 1000);
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
      CHECK(agrees(std::vector<uint32_t>(300, 3), best_target(), &pool, 2));
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

namespace {

template <class Change>
Code code_of(size_t setting, Change change) {
  BestOfNRequest request = request_of(settings()[setting], {0, 1}, 10, 2);
  change(request);
  return best_of_n(std::move(request), false).status.code;
}
constexpr size_t kOwn = 0, kLogProb = 2, kAutomaton = 6, kClasses = 8;

template <class Change>
Code automaton_code(size_t setting, Change change) {
  return code_of(setting, [&](BestOfNRequest& r) { change(r.reward.automaton); });
}

}  // namespace

COVN_TEST(bad_requests_are_refused) {
  for (size_t setting : {kOwn, kLogProb, kAutomaton, kClasses}) {
    CHECK(code_of(setting, [](BestOfNRequest&) {}) == Code::ok);
    CHECK(code_of(setting, [](BestOfNRequest& r) { r.prompts = {0, 6}; }) == Code::range);
    for (uint64_t n : {uint64_t{0}, (uint64_t{1} << 31) + 1}) {
      CHECK(code_of(setting, [n](BestOfNRequest& r) { r.samples = n, r.sizes = {n}; }) == Code::range);
    }
    for (const std::vector<uint64_t>& sizes :
         {std::vector<uint64_t>{}, {0, 10}, {1, 9}, {1, 11}, {3, 2, 10}, {2, 2, 10}, {10, 10}}) {
      CHECK(code_of(setting, [&](BestOfNRequest& r) { r.sizes = sizes; }) == Code::range);
    }
    CHECK(code_of(setting, [](BestOfNRequest& r) { r.keep = 65537; }) == Code::range);
    for (size_t length : {size_t{0}, kMaxResponseLength + 1}) {
      CHECK(code_of(setting, [length](BestOfNRequest& r) { r.max_length = length; }) == Code::range);
    }
    for (Target target : kTargets) {
      if (target_support(target).available) continue;
      CHECK(code_of(setting, [target](BestOfNRequest& r) { r.target = target; }) == Code::device);
    }
    // The model's sums are looked at by the job.
    TabularRows bad = drawn_machine();
    bad.log_probs.assign(bad.log_probs.size(), -1.0);
    CHECK(code_of(setting, [&](BestOfNRequest& r) { r.model = model_of(bad); }) == Code::range);
    if (setting == kLogProb) {
      CHECK(code_of(setting, [&](BestOfNRequest& r) { r.reward.model = model_of(bad); }) == Code::range);
    }
  }
  for (const MachineShape& shape : {MachineShape{9, 31, 6, 1.0, 0.0, 0.1}, {9, 30, 5, 1.0, 0.0, 0.1}}) {
    const auto model = model_of(random_machine(shape, 1));
    CHECK(code_of(kLogProb, [&](BestOfNRequest& r) { r.reward.model = model; }) == Code::shape);
  }
}

COVN_TEST(bad_automata_are_refused) {
  for (size_t setting : {kAutomaton, kClasses}) {
    CHECK(automaton_code(setting, [](Automaton& a) { a.columns = 0; }) == Code::shape);
    CHECK(automaton_code(setting, [](Automaton& a) { a.next.pop_back(); }) == Code::shape);
    CHECK(automaton_code(setting, [](Automaton& a) { a.values.pop_back(); }) == Code::shape);
    CHECK(automaton_code(setting, [](Automaton& a) { a.values = {}, a.next = {}; }) == Code::shape);
    CHECK(automaton_code(setting, [](Automaton& a) { a.starts.pop_back(); }) == Code::shape);
    for (int32_t state : {-2, 6, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
      CHECK(automaton_code(setting, [state](Automaton& a) { a.next[3] = state; }) == Code::range);
      CHECK(automaton_code(setting, [state](Automaton& a) { a.starts[1] = state; }) == Code::range);
    }
    CHECK(automaton_code(setting, [](Automaton& a) { a.starts[1] = -1; }) == Code::range);
    CHECK(automaton_code(setting, [](Automaton& a) { a.values[2] = std::nan(""); }) == Code::non_finite);
    CHECK(automaton_code(setting, [](Automaton& a) { a.rejected = std::nan(""); }) == Code::non_finite);
  }
  CHECK(automaton_code(kClasses, [](Automaton& a) { a.classes.pop_back(); }) == Code::shape);
  CHECK(automaton_code(kClasses, [](Automaton& a) { a.classes[29] = 4; }) == Code::range);
  CHECK(automaton_code(kAutomaton, [](Automaton& a) { a.classes.assign(30, 30); }) == Code::range);
  // Columns for classes where none are named.
  CHECK(automaton_code(kClasses, [](Automaton& a) { a.classes = {}; }) == Code::shape);
}

COVN_TEST(a_cancelled_job_stops_soon) {
  ThreadPool pool(2);
  // Many samples, and long ones; some minutes each.
  for (const auto& [samples, length] : {std::pair<uint64_t, size_t>{uint64_t{1} << 31, 40}, {64, kMaxResponseLength}}) {
    Setting setting = settings()[kLogProb];
    setting.drawn.next.assign(setting.drawn.next.size(), 4);  // never ends
    BestOfNRequest request = request_of(setting, {0, 1, 2, 3}, samples, 3);
    request.max_length = length;
    Outcome out;
    attach(request, out, false);
    std::unique_ptr<Job> made;
    CHECK(make_best_of_n_job(std::move(request), made).ok());
    const std::shared_ptr<Job> job = std::move(made);
    std::promise<Status> done;
    std::future<Status> status = done.get_future();
    pool.submit(job, 2, [&done](Status s) { done.set_value(std::move(s)); });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const auto start = std::chrono::steady_clock::now();
    pool.cancel(*job);
    CHECK(status.get().code == Code::cancelled);
    CHECK_AT_MOST(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 1.0);
  }
}

int main() { return run_all(); }
