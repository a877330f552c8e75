// Tabular models: responses drawn and scored against a machine walked in long double; what is drawn fits the
// probabilities and depends on nothing but prompt and sample; machines and requests that are refused.
#include <cmath>
#include <limits>
#include <string>

#include "reference/statistics.hpp"
#include "reference/tabular.hpp"
#include "test/machines.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTokenError = 3e-11;
constexpr long double kFalseAlarm = 1e-6L;

const MachineShape kShapes[] = {
    {1, 1, 1, 0.0, 0.0, 0.0},       {1, 2, 1, 1.0, 0.0, 0.5},      {2, 3, 2, 1.0, 0.3, 0.1},
    {5, 16, 3, 2.0, 0.2, 0.05},     {40, 33, 7, 3.0, 0.5, 0.02},   {300, 100, 20, 5.0, 0.9, 0.01},
    {3, 5000, 2, 2.0, 0.99, 0.004}, {2, 70000, 2, 4.0, 0.0, 0.01},
};
constexpr size_t kMaxLength = 300;

std::vector<int32_t> signed_prompts(const Responses& responses) {
  return {responses.prompts.begin(), responses.prompts.end()};
}

void check_responses(const TabularRows& rows, const Responses& r, size_t max_length) {
  const reference::Machine machine(rows);
  const Scores scores = score_responses(model_of(rows), signed_prompts(r), r.tokens, r.offsets);
  CHECK(r.status.ok() && scores.status.ok());
  size_t wrong = 0;
  for (size_t i = 0; i < r.count(); i++) {
    const reference::Machine::Walk walk = machine.walk(r.prompts[i], r.response(i), r.length(i));
    const auto want = static_cast<double>(walk.log_prob);
    const double bound = kTokenError * static_cast<double>(r.length(i)) + 1e-15 * std::fabs(want);
    const double score_bound = static_cast<double>(r.length(i)) * 1e-12;
    const bool right =
        std::fabs(r.log_probs[i] - want) <= bound && std::fabs(scores.log_probs[i] - want) <= score_bound;
    const bool cut = walk.ended ? r.ended[i] == 1 : r.ended[i] == 0 && r.length(i) == max_length;
    wrong += !right || !cut || r.length(i) > max_length || r.length(i) < 1;
  }
  if (wrong > 0) std::printf("    %zu states, V %zu: %zu wrong\n", machine.states(), rows.vocab, wrong);
  CHECK(wrong == 0);
}

}  // namespace

COVN_TEST(log_probs_are_those_of_the_machine_and_of_the_score) {
  for (const MachineShape& shape : kShapes) {
    TabularRows rows = random_machine(shape, shape.vocab);
    for (bool stops : {false, true}) {
      if (stops) rows.stops = {0, static_cast<int32_t>(shape.vocab - 1)};
      for (const TabularRows& machine : {rows, sparse_of(rows)}) {
        for (size_t max_length : {size_t{1}, size_t{7}, kMaxLength}) {
          check_responses(machine, sample_each(model_of(machine), 100, {max_length}), max_length);
        }
      }
    }
  }
}

COVN_TEST(a_long_response_keeps_its_precision) {
  const TabularRows rows = random_machine({30, 50, 2, 3.0, 0.1, 0.0}, 5);
  check_responses(rows, sample_each(model_of(rows), 3, {100'000}), 100'000);
}

COVN_TEST(the_same_responses_on_all_targets_threads_and_orders) {
  ThreadPool pool(2);
  for (const MachineShape& shape : kShapes) {
    const TabularRows dense = random_machine(shape, shape.vocab);
    for (const TabularRows& rows : {dense, sparse_of(dense)}) {
      const auto model = model_of(rows);
      const size_t each = 1200 / shape.prompts + 1;
      const Responses whole = sample_each(model, each, {kMaxLength, Target::scalar});
      for (Target target : available_machine_targets()) {
        for (unsigned threads : {1u, 2u})
          CHECK(sample_each(model, each, {kMaxLength, target}, &pool, threads) == whole);
      }
      // Some of them, in another order.
      Random random(9);
      std::vector<size_t> order;
      std::vector<uint32_t> prompts, samples;
      for (size_t i = 0; i < 777; i++) {
        order.push_back(random.bits() % whole.count());
        prompts.push_back(whole.prompts[order[i]]);
        samples.push_back(whole.samples[order[i]]);
      }
      const Responses some = sample_responses(model, prompts, samples, {kMaxLength});
      CHECK(some.status.ok());
      for (size_t i = 0; i < order.size(); i++) {
        if (!some.same(i, whole, order[i])) CHECK(false);
      }
      // A shorter limit cuts, and changes nothing before.
      const Responses cut = sample_each(model, each, {5});
      for (size_t i = 0; i < whole.count(); i++) {
        const bool begins = std::equal(cut.response(i), cut.response(i) + cut.length(i), whole.response(i));
        if (!begins || cut.length(i) != std::min<size_t>(5, whole.length(i))) CHECK(false);
      }
    }
  }
}

COVN_TEST(other_seeds_and_samples_are_others) {
  const auto model = model_of(random_machine({4, 50, 3, 1.0, 0.0, 0.0}, 6));
  const Responses a = sample_each(model, 200, {20}), b = sample_each(model, 200, {20, best_target(), 78});
  size_t equal = 0;
  for (size_t i = 0; i + 1 < a.count(); i++) {
    const auto same = [&](const Responses& other, size_t o) {
      return std::equal(a.response(i), a.response(i) + 20, other.response(o));
    };
    equal += same(b, i) + same(a, i + 1) + same(a, (i + 200) % a.count());
  }
  CHECK(equal == 0);
}

namespace {

// Next tokens by state, and by which word of Philox's output drew them, against the state's probabilities.
void check_next_tokens(const TabularRows& rows, size_t each, size_t max_length) {
  ThreadPool pool(2);
  const Responses r = sample_each(model_of(rows), each, {max_length}, &pool, 2);
  const reference::Machine machine(rows);
  std::vector<std::vector<uint32_t>> counts(4 * machine.states(), std::vector<uint32_t>(rows.vocab));
  for (size_t i = 0; i < r.count(); i++) {
    const auto walk = machine.walk(r.prompts[i], r.response(i), r.length(i));
    for (size_t h = 0; h < r.length(i); h++) {
      counts[static_cast<size_t>(walk.states[h]) * 4 + h % 4][static_cast<size_t>(r.response(i)[h])]++;
    }
  }
  long double least = 1;
  size_t tests = 0;
  for (size_t k = 0; k < counts.size(); k++) {
    const auto total = std::accumulate(counts[k].begin(), counts[k].end(), uint64_t{0});
    if (total < 100) continue;
    tests++;
    least = std::fmin(
        least, reference::chi_square_test(counts[k], machine.probabilities(k / 4), static_cast<long double>(total)));
  }
  std::printf("    %zu states, V %zu: %zu tokens; of %zu fits the worst has probability %.2Lg\n", machine.states(),
              rows.vocab, r.tokens.size(), tests, least);
  CHECK(tests > 0 && least > kFalseAlarm / static_cast<long double>(tests));
}

}  // namespace

// False alarms: one in a million for each machine. Tokens of probability 0 fail it when drawn once.
COVN_TEST(next_tokens_fit_the_probabilities_of_their_state) {
  const TabularRows few = random_machine({5, 7, 3, 1.0, 0.2, 0.1}, 21);
  check_next_tokens(few, 400'000, 100);
  check_next_tokens(sparse_of(few), 400'000, 100);
  check_next_tokens(random_machine({1, 2, 1, 3.0, 0.0, 0.0}, 22), 1000, 10'000);
  const TabularRows some = random_machine({50, 300, 3, 3.0, 0.7, 0.05}, 23);
  check_next_tokens(some, 300'000, 200);
  check_next_tokens(sparse_of(some), 300'000, 200);
  check_next_tokens(random_machine({2, 200'000, 2, 3.0, 0.3, 0.01}, 24), 50'000, 200);
}

// Two tokens after one another, within one of Philox's outputs and from one to the next; and of neighbouring samples
// and prompts.
COVN_TEST(tokens_are_independent) {
  TabularRows rows = random_machine({1, 20, 2, 1.0, 0.0, 0.0}, 25);
  rows.starts = {0, 0};
  const size_t each = 500'000;
  ThreadPool pool(2);
  const Responses r = sample_each(model_of(rows), each, {9}, &pool, 2);
  const std::vector<long double> p = reference::Machine(rows).probabilities(0);
  std::vector<long double> pairs;
  for (long double a : p) {
    for (long double b : p) pairs.push_back(a * b);
  }
  struct Offset {
    size_t responses, from, to;
  };
  for (const Offset& o :
       {Offset{0, 0, 1}, {0, 2, 3}, {0, 3, 4}, {0, 0, 4}, {0, 7, 8}, {1, 0, 0}, {1, 5, 5}, {each, 0, 0}}) {
    std::vector<uint32_t> counts(pairs.size());
    for (size_t i = 0; i < each; i += 2) {
      counts[static_cast<size_t>(r.response(i)[o.from] * 20 + r.response(i + o.responses)[o.to])]++;
    }
    CHECK(reference::chi_square_test(counts, pairs, each / 2.0L) > kFalseAlarm);
  }
}

COVN_TEST(responses_are_the_same_however_long_they_may_be) {
  // Drawn into rows that are closed up in their place or, where most is left empty, elsewhere; or kept by groups, whose
  // rows grow.
  ThreadPool pool(2);
  constexpr size_t kResponses = 700, kLongest = size_t{1} << 20;
  for (double ends : {0.004, 0.2}) {
    const auto model = model_of(random_machine({9, 300, 1, 2.0, 0.0, ends}, 3));
    const Responses all = sample_each(model, kResponses, {kLongest});
    size_t longest = 0;
    for (size_t r = 0; r < all.count(); r++) longest = std::max(longest, all.length(r));
    CHECK(ends > 0.1 || longest > 800);  // more than one growth
    for (size_t max_length : {size_t{1}, size_t{6}, size_t{64}, size_t{255}, size_t{256}, size_t{257}, kLongest}) {
      const Responses some = sample_each(model, kResponses, {max_length}, &pool, 2);
      size_t wrong = some.status.ok() && some.count() == all.count() ? 0 : 1;
      for (size_t r = 0; wrong == 0 && r < all.count(); r++) {
        const size_t length = std::min(max_length, all.length(r));
        wrong += some.length(r) != length || !std::equal(all.response(r), all.response(r) + length, some.response(r));
      }
      CHECK(wrong == 0);
    }
  }
}

COVN_TEST(tokens_of_probability_0_are_never_drawn) {
  // One in a state, many, all but one; the rest small enough to be rounded away where shares are subtracted.
  for (size_t vocab : {2, 3, 10, 1000}) {
    for (size_t left : {size_t{1}, vocab / 2, vocab - 1}) {
      TabularRows rows;
      rows.vocab = vocab;
      rows.starts = {0};
      rows.next.assign(vocab, 0);
      rows.log_probs.assign(vocab, -kInfinity);
      for (size_t i = 0; i < left; i++) rows.log_probs[i * vocab / left] = -std::log(static_cast<double>(left));
      const Responses r = sample_each(model_of(rows), 1000, {300});
      for (int32_t token : r.tokens) {
        if (std::isinf(rows.log_probs[static_cast<size_t>(token)])) CHECK(false);
      }
      CHECK(std::isfinite(*std::min_element(r.log_probs.begin(), r.log_probs.end())));
    }
  }
}

int main() { return run_all(); }
