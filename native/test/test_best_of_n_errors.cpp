// Best-of-N requests that are refused, and cancelling.
#include <chrono>
#include <cmath>
#include <limits>
#include <thread>

#include "test/bests.hpp"

using namespace covn;
using namespace covn::test;

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
