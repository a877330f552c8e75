// Tabular models at their edges: what ends a response, what cannot be said, what is refused.
#include <chrono>
#include <cmath>
#include <limits>
#include <string>
#include <thread>

#include "test/machines.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// State 0: token 0 stays, 1 goes to state 1, 2 ends, 3 is impossible. State 1: token 3 goes back to 0, nothing else.
TabularRows small_machine() {
  TabularRows rows;
  rows.vocab = 4;
  rows.log_probs = {std::log(0.5), std::log(0.25), std::log(0.25), -kInfinity, -kInfinity, -kInfinity, -kInfinity, 0.0};
  rows.next = {0, 1, -1, 0, 0, 0, 0, 0};
  rows.starts = {0, 1};
  return rows;
}

double log_prob_of(const TabularRows& rows, int32_t prompt, const std::vector<int32_t>& tokens) {
  const Scores scores = score_responses(model_of(rows), {prompt}, tokens, {0, static_cast<int64_t>(tokens.size())});
  CHECK(scores.status.ok());
  return scores.log_probs[0];
}

// By make_tabular_model, or by the first job; both jobs have to say the same.
Status refusal(const TabularRows& rows) {
  std::shared_ptr<const TabularModel> model;
  Status status = make_tabular_model(rows, model);
  CHECK(status.ok() == (model != nullptr));
  if (!status.ok()) return status;
  status = score_responses(model, {0}, {}, {0, 0}).status;
  const Status again = sample_each(model, 1, {3}).status;
  CHECK(again.code == status.code && again.message == status.message);
  return status;
}

Code code_of(const TabularRows& rows) { return refusal(rows).code; }

template <class Change>
Code changed(TabularRows rows, Change change) {
  change(rows);
  return code_of(rows);
}

}  // namespace

COVN_TEST(what_cannot_be_said_has_no_probability) {
  for (const TabularRows& rows : {small_machine(), sparse_of(small_machine())}) {
    CHECK(log_prob_of(rows, 0, {}) == 0.0);
    CHECK_AT_MOST(std::fabs(log_prob_of(rows, 0, {0, 1, 3, 2}) - std::log(0.5 * 0.25 * 0.25)), 1e-15);
    CHECK_AT_MOST(std::fabs(log_prob_of(rows, 1, {3, 2}) - std::log(0.25)), 1e-15);
    for (const std::vector<int32_t>& tokens :
         {std::vector<int32_t>{3}, {0, 3}, {3, 0}, {1, 0}, {1, 2}, {2, 0}, {2, 3}, {0, 2, 1, 3}}) {
      CHECK(log_prob_of(rows, 0, tokens) == -kInfinity);
    }
  }
}

COVN_TEST(responses_end_at_stops_at_next_and_at_the_limit) {
  TabularRows rows = small_machine();
  for (bool sparse : {false, true}) {
    for (bool stops : {false, true}) {
      rows.stops = stops ? std::vector<int32_t>{3} : std::vector<int32_t>{};
      const Responses r = sample_each(model_of(sparse ? sparse_of(rows) : rows), 5000, {6});
      size_t ended_by_2 = 0, ended_by_3 = 0, cut = 0;
      for (size_t i = 0; i < r.count(); i++) {
        const int32_t last = r.response(i)[r.length(i) - 1];
        ended_by_2 += r.ended[i] == 1 && last == 2;
        ended_by_3 += r.ended[i] == 1 && last == 3;
        cut += r.ended[i] == 0 && r.length(i) == 6;
        for (size_t h = 0; h + 1 < r.length(i); h++) CHECK(r.response(i)[h] != 2 && (!stops || r.response(i)[h] != 3));
      }
      CHECK(ended_by_2 + ended_by_3 + cut == r.count());
      CHECK(ended_by_2 > 0 && cut > 0 && (ended_by_3 > 0) == stops);
    }
  }
  // Stops decide what comes after: nothing.
  rows.stops = {1};
  CHECK_AT_MOST(std::fabs(log_prob_of(rows, 0, {0, 1}) - std::log(0.125)), 1e-15);
  CHECK(log_prob_of(rows, 0, {1, 3}) == -kInfinity);
}

COVN_TEST(probabilities_are_scaled_to_sum_to_1) {
  TabularRows rows = small_machine();
  for (double& x : rows.log_probs) x += 8e-7;
  rows.log_probs[7] = 1e-7;
  CHECK(code_of(rows) == Code::ok);
  CHECK_AT_MOST(std::fabs(log_prob_of(rows, 0, {0, 1, 3, 2}) - std::log(0.5 * 0.25 * 0.25)), 1e-15);
  for (double off : {2e-6, -2e-6, -0.1}) {
    TabularRows bad = small_machine();
    for (size_t i = 0; i < 4; i++) bad.log_probs[i] += off;
    const Status status = refusal(bad);
    CHECK(status.code == Code::range && status.message.find("state 0 ") != std::string::npos);
  }
  TabularRows bad = small_machine();
  bad.log_probs[7] = -kInfinity;
  CHECK(refusal(bad).message.find("state 1 ") != std::string::npos);
  CHECK(code_of(sparse_of(small_machine())) == Code::ok);
}

COVN_TEST(bad_machines_are_refused) {
  const TabularRows good = small_machine();
  CHECK(code_of(good) == Code::ok);
  for (double x : {0.1, 2e-6, kInfinity}) {
    CHECK(changed(good, [x](TabularRows& r) { r.log_probs[2] = x; }) == Code::range);
  }
  CHECK(changed(good, [](TabularRows& r) { r.log_probs[2] = std::nan(""); }) == Code::non_finite);
  for (int32_t next : {-2, 2, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max()}) {
    CHECK(changed(good, [next](TabularRows& r) { r.next[3] = next; }) == Code::range);
  }
  for (int32_t start : {-1, 2}) CHECK(changed(good, [start](TabularRows& r) { r.starts[1] = start; }) == Code::range);
  for (int32_t stop : {-1, 4}) CHECK(changed(good, [stop](TabularRows& r) { r.stops = {0, stop}; }) == Code::range);
  for (size_t vocab : {size_t{0}, size_t{1} << 31}) {
    CHECK(changed(good, [vocab](TabularRows& r) { r.vocab = vocab; }) == Code::range);
  }
  CHECK(changed(good, [](TabularRows& r) { r.vocab = 3; }) == Code::shape);
  CHECK(changed(good, [](TabularRows& r) { r.next.pop_back(); }) == Code::shape);
  CHECK(changed(good, [](TabularRows& r) { r.next = {}, r.log_probs = {}; }) == Code::shape);
}

COVN_TEST(bad_sparse_machines_are_refused) {
  // Tokens 0 1 2 | 3.
  const TabularRows good = sparse_of(small_machine());
  CHECK(code_of(good) == Code::ok && good.tokens == (std::vector<int32_t>{0, 1, 2, 3}));
  const auto refused = [&](auto change) { return changed(good, change) != Code::ok; };
  for (const std::vector<int32_t>& tokens : {std::vector<int32_t>{1, 0, 2, 3},
                                             {0, 0, 2, 3},
                                             {-1, 1, 2, 3},
                                             {0, 1, 4, 3},
                                             {0, 1, 2, 4},
                                             {0, 1, 2},
                                             {0, 1, 2, 3, 3}}) {
    CHECK(refused([&](TabularRows& r) { r.tokens = tokens; }));
  }
  for (const std::vector<int64_t>& offsets : {std::vector<int64_t>{0},
                                              {1, 3, 4},
                                              {0, 3, 5},
                                              {0, 3, 3},
                                              {0, 0, 4},
                                              {0, 4, 4},
                                              {0, 5, 4},
                                              {0, -1, 4},
                                              {0, 3, 2, 4},
                                              {0, int64_t{1} << 62, 4},
                                              {-1, 3, 4}}) {
    CHECK(refused([&](TabularRows& r) { r.offsets = offsets; }));
  }
  CHECK(refused([](TabularRows& r) { r.next[0] = 2; }));
  CHECK(refused([](TabularRows& r) { r.log_probs[3] = std::nan(""); }));
  // A state that has lost a token no longer sums to 1.
  CHECK(changed(good, [](TabularRows& r) { r.log_probs[1] = -kInfinity; }) == Code::range);
}

COVN_TEST(bad_requests_are_refused) {
  const auto model = model_of(small_machine());
  CHECK(sample_responses(model, {0, 2}, {0, 0}, {3}).status.code == Code::range);
  CHECK(sample_responses(model, {0, 0xffffffff}, {0, 0}, {3}).status.code == Code::range);
  for (size_t length : {size_t{0}, kMaxResponseLength + 1}) {
    CHECK(sample_responses(model, {0}, {0}, {length}).status.code == Code::range);
  }
  CHECK(sample_responses(model, {}, {}, {3}).status.ok());
  for (Target target : kTargets) {
    if (!target_support(target).available) CHECK(sample_each(model, 1, {3, target}).status.code == Code::device);
  }
  for (int32_t prompt : {-1, 2}) CHECK(score_responses(model, {0, prompt}, {0}, {0, 1, 1}).status.code == Code::range);
  ThreadPool pool(2);
  for (int32_t token : {-1, 4, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    // The first in order is named, whatever the threads.
    std::vector<int32_t> tokens(5000, 0), prompts(5000, 0);
    std::vector<int64_t> offsets(5001);
    std::iota(offsets.begin(), offsets.end(), int64_t{0});
    for (size_t i = 1234; i < 5000; i += 100) tokens[i] = token;
    const Status status = score_responses(model, prompts, tokens, offsets, &pool, 2).status;
    CHECK(status.code == Code::range && status.message.find("tokens[1234]") != std::string::npos);
  }
  CHECK(score_responses(model, {0}, {0, 0}, {0, 1}).status.code == Code::shape);
  CHECK(score_responses(model, {0, 0}, {0, 0}, {0, 2, 1}).status.code == Code::range);
}

COVN_TEST(a_cancelled_job_stops_soon) {
  const auto model = model_of(random_machine({100, 1000, 1, 1.0, 0.0, 0.0}, 31));
  const std::vector<uint32_t> prompts(64, 0), samples(64, 1);
  TabularSampling request{model, prompts.data(), samples.data(), prompts.size(), 1, kMaxResponseLength, best_target()};
  std::unique_ptr<TabularSampleJob> made;
  CHECK(make_tabular_sample_job(request, made).ok());
  const std::shared_ptr<TabularSampleJob> job = std::move(made);
  ThreadPool pool(2);
  std::promise<Status> done;
  std::future<Status> status = done.get_future();
  pool.submit(job, 2, [&done](Status s) { done.set_value(std::move(s)); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const auto start = std::chrono::steady_clock::now();
  pool.cancel(*job);
  CHECK(status.get().code == Code::cancelled);
  CHECK_AT_MOST(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 1.0);
}

int main() { return run_all(); }
