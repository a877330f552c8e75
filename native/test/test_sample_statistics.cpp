// What many draws come to: chi-square against the distribution, and tokens of very small probability. Seeds are fixed;
// each check would fail once in a million other seeds, but where it says otherwise.
#include <cmath>

#include "reference/statistics.hpp"
#include "test/sampling.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr long double kFalseAlarm = 1e-6L;

// Counts of the tokens of `draws` samples of a row, 10 million at a time.
template <class T>
std::vector<uint32_t> count_tokens(SampleBatch<T> batch, size_t draws) {
  ThreadPool pool(2);
  std::vector<uint32_t> counts(batch.vocab);
  for (size_t first = 0; first < draws; first += batch.samples) {
    batch.samples = std::min<size_t>(draws - first, 10'000'000);
    batch.firsts = {static_cast<uint32_t>(first)};
    Samples out;
    SampleRequest request = request_of(batch, best_target(), out);
    request.log_prob = request.sampled_log_prob = nullptr;
    CHECK(run_samples(request, &pool, 2).ok());
    for (int32_t token : out.tokens) counts[static_cast<size_t>(token)]++;
  }
  return counts;
}

void check_chi_square(size_t vocab, double deviation, const SampleFilter& filter, size_t draws) {
  SampleBatch<float> batch = random_batch<float>(1, vocab, 1, deviation, vocab);
  batch.filter = filter;
  const std::vector<float> x = batch.wide(0);
  const auto want =
      reference::sampled_distribution(x.data(), vocab, filter.temperature, filter.top_k, filter.top_p, filter.min_p);
  std::vector<long double> p;
  for (long double log_prob : want.log_prob) p.push_back(std::exp(log_prob));
  const long double found = reference::chi_square_test(count_tokens(batch, draws), p, static_cast<long double>(draws));
  std::printf("    V = %zu: a worse fit has probability %.4Lf\n", vocab, found);
  CHECK(found > kFalseAlarm / 2 && found < 1 - kFalseAlarm / 2);
}

}  // namespace

// Critical values as tables have them, and plain sums.
COVN_TEST(tail_probabilities) {
  struct Known {
    long double statistic, freedom, probability;
  };
  for (const Known& k : {Known{3.841458820694124L, 1, 0.05L},
                         {18.307038053275146L, 10, 0.05L},
                         {124.34211340400407L, 100, 0.05L},
                         {77.92946516501726L, 100, 0.95L},
                         {23.92812697687947L, 1, 1e-6L}}) {
    CHECK_AT_MOST(std::fabs(reference::chi_square_above(k.statistic, k.freedom) / k.probability - 1), 1e-9);
  }
  // Of even degrees of freedom, and Poisson: sums of terms.
  for (const auto& [freedom, statistic] :
       {std::pair{4L, 31.0L}, {1000L, 800.0L}, {1000L, 1230.0L}, {128'000L, 125'800.0L}, {128'000L, 130'400.0L}}) {
    const long double mean = statistic / 2;
    long double sum = 0;
    for (long n = 0; n < freedom / 2; n++) sum += std::exp(n * std::log(mean) - mean - std::lgamma(n + 1.0L));
    CHECK_AT_MOST(std::fabs(reference::chi_square_above(statistic, freedom) - sum), 1e-9 * sum);
    CHECK(reference::poisson_at_most(freedom / 2 - 1, mean) == reference::chi_square_above(statistic, freedom));
  }
  // A die thrown 600 times, and a cell that cannot occur.
  const std::vector<long double> die(6, 1 / 6.0L);
  CHECK_AT_MOST(std::fabs(reference::chi_square_test(std::vector<int>{104, 96, 104, 96, 104, 96}, die, 600) -
                          reference::chi_square_above(0.96L, 5)),
                1e-15);
  CHECK(reference::chi_square_test(std::vector<int>{50, 50, 1}, {0.5L, 0.5L, 0.0L}, 101) == 0);
}

COVN_TEST(a_hundred_million_draws_fit_the_distribution) {
  check_chi_square(7, 1.0, {}, 100'000'000);
  check_chi_square(1000, 2.0, {}, 100'000'000);
  check_chi_square(128256, 2.0, {}, 100'000'000);
}

COVN_TEST(filtered_draws_fit_the_distribution) {
  check_chi_square(1000, 2.0, {0.8, 300, 0.97, 1e-5}, 20'000'000);
  check_chi_square(128256, 2.0, {1.3, 50'000, 0.99, 0.0}, 20'000'000);
}

namespace {

// One token at 0 and `tail` others so many nats below it.
SampleBatch<BFloat16> head_and_tail(size_t tail, double nats, size_t rows, size_t samples) {
  SampleBatch<BFloat16> batch{{}, tail + 1, samples, {}, {}, {}};
  for (size_t row = 0; row < rows; row++) {
    for (size_t i = 0; i <= tail; i++) {
      batch.logits.push_back(narrow<BFloat16>(i == 5 ? 0.0f : -static_cast<float>(nats)));
    }
    batch.sequences.push_back(static_cast<uint32_t>(row));
    batch.positions.push_back(static_cast<uint32_t>(7 * row));
    batch.firsts.push_back(0);
  }
  return batch;
}

long count_tail(const std::vector<int32_t>& tokens) {
  return std::count_if(tokens.begin(), tokens.end(), [](int32_t token) { return token != 5; });
}

long double tail_share(size_t tail, double nats) {
  const long double mass = static_cast<long double>(tail) * std::exp(-static_cast<long double>(nats));
  return mass / (1 + mass);
}

}  // namespace

// Each of the tail is lost in a float beside the head. A false alarm once in a thousand.
COVN_TEST(a_tail_of_many_tokens_is_drawn_as_often_as_it_should_be) {
  for (const auto& [rows, samples] : {std::pair<size_t, size_t>{20, 5000}, {5, 20'000}}) {
    const SampleBatch<BFloat16> batch = head_and_tail(262'144, 20.5, rows, samples);
    const long double mean = static_cast<long double>(rows * samples) * tail_share(262'144, 20.5);
    for (Target target : available_targets()) {
      const long tail = count_tail(draw(batch, target).tokens);
      std::printf("    %s: %ld drawn of %.2Lf expected\n", target_name(target), tail, mean);
      CHECK(reference::poisson_two_sided(tail, mean) > 1e-3L);
    }
  }
}

COVN_TEST(a_tail_of_many_tokens_over_ten_million_draws) {
  const SampleBatch<BFloat16> batch = head_and_tail(262'144, 20.5, 1, 1);
  std::vector<uint32_t> counts = count_tokens(batch, 10'000'000);
  const long tail = 10'000'000 - static_cast<long>(counts[5]);
  const long double mean = 1e7L * tail_share(262'144, 20.5);
  std::printf("    %ld drawn of %.2Lf expected\n", tail, mean);
  CHECK(reference::poisson_two_sided(tail, mean) > kFalseAlarm);
  // By sixteen equal parts of the tail.
  std::vector<uint32_t> parts(16);
  for (size_t i = 0; i < 262'144; i++) parts[i / 16'384] += counts[i < 5 ? i : i + 1];
  CHECK(reference::chi_square_test(parts, std::vector<long double>(16, 1 / 16.0L), tail) > kFalseAlarm);
}

// The tail stands in the head's own group of 16: 15 tokens, 17.5 nats below it, less than half a unit in the last place
// of a float sum each.
COVN_TEST(a_tail_beside_the_head_is_drawn_as_often_as_it_should_be) {
  const std::vector<uint32_t> counts = count_tokens(head_and_tail(15, 17.5, 1, 1), 100'000'000);
  const long tail = 100'000'000 - static_cast<long>(counts[5]);
  const long double mean = 1e8L * tail_share(15, 17.5);
  std::printf("    %ld drawn of %.2Lf expected\n", tail, mean);
  CHECK(reference::poisson_two_sided(tail, mean) > 1e-3L);
}

int main() { return run_all(); }
