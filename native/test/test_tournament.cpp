// Pairwise counts against plain loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "covn/tournament.hpp"
#include "kernels/ladder.hpp"
#include "test/adversarial.hpp"
#include "test/check.hpp"
#include "test/pool.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Coarse values, so that ties at a threshold are common; some -inf.
std::vector<double> coarse_log_probs(size_t models, size_t responses, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(models * responses);
  for (double& v : values) v = random.bits() % 50 == 0 ? -kInfinity : -0.5 * static_cast<double>(random.bits() % 40);
  return values;
}

uint64_t naive_count(const LogProbMatrix& p, size_t i, size_t j, double threshold) {
  uint64_t count = 0;
  for (size_t r = 0; r < p.responses; r++) count += p.row(j)[r] - p.row(i)[r] >= threshold;
  return count;
}

}  // namespace

namespace {

// Ladders of every kind: spread out, crowded into one cell, tiny beside huge, a lone one, none.
std::vector<std::vector<double>> threshold_lists() {
  std::vector<std::vector<double>> lists{{0.0}, {1.0}, {0.0, 0.5, 0.75, 3.0}, {5e-324, 1.0, 2.0, 4.0, 1e308}};
  for (size_t count : {2, 3, 7, 8, 9, 16, 17, 40}) {
    std::vector<double> even, doubled, crowded;
    for (size_t k = 0; k < count; k++) {
      even.push_back(0.25 * static_cast<double>(k));
      doubled.push_back(std::log(2.0) * std::ldexp(1.0, static_cast<int>(k) - 10));
      crowded.push_back(k == 0 ? 1.0 : std::nextafter(crowded.back(), kInfinity));
    }
    lists.insert(lists.end(), {even, doubled, crowded});
  }
  lists.push_back({0.0, 0.3, 0.7, 1.4, 2.1, 2.8, 4.2, 5.5, 6.9, 700.0, 1e9, 2e9, 3e9});
  return lists;
}

}  // namespace

COVN_TEST(groups_hold_every_threshold_once) {
  for (const std::vector<double>& thresholds : threshold_lists()) {
    size_t end = thresholds.size();
    for (const ThresholdGroup& group : group_thresholds(thresholds)) {
      CHECK(group.count >= 1 && group.first + group.count == end);
      end = group.first;
      if (!group.use_ladder) continue;
      CHECK(group.ladder.steps == group.count && group.count <= Ladder::kSteps);
      for (size_t k = 0; k < group.count; k++) CHECK(group.ladder.thresholds()[k] == thresholds[group.first + k]);
    }
    CHECK(end == 0);
  }
  // A usual list goes in one piece, with 0 for N = 1.
  std::vector<double> usual;
  for (double n : {1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1024.0}) usual.push_back(std::log(n));
  CHECK(group_thresholds(usual).size() == 1 && group_thresholds(usual)[0].use_ladder);
}

namespace {

// A table's counting, and what its target may use in place of it.
struct Counting {
  std::string name;
  CountPairs plainly;
  CountPairsOnLadder on_ladder;
};

std::vector<Counting> countings() {
  std::vector<Counting> found;
  for (const auto& [name, table] : runnable_tables()) {
    found.push_back({name, table->count_pairs, table->count_pairs_on_ladder});
  }
  for (Target target : kTargets) {
    if (!target_support(target).available) continue;
    const KernelTable& table = kernels_for(target);
    const CountPairsOnLadder best = count_pairs_on_ladder_for(target);
    const std::string name = std::string(target_name(target)) + " (best)";
    if (best != table.count_pairs_on_ladder) found.push_back({name, table.count_pairs, best});
  }
  return found;
}

}  // namespace

COVN_TEST(pair_kernels_count_exactly) {
  for (const auto& [name, count_plainly, count_on_ladder] : countings()) {
    uint64_t seed = 0;
    for (const std::vector<double>& thresholds : threshold_lists()) {
      // Around a vector, the 15 vectors of four-bit counters and the 255 of eight-bit ones.
      for (size_t n : {0, 1, 3, 8, 17, 29, 30, 31, 119, 120, 121, 509, 510, 511, 2039, 2040, 2041, 4200}) {
        const std::vector<double> a = adversarial_log_probs(n, thresholds, ++seed);
        const std::vector<double> b = adversarial_log_probs(n, thresholds, ++seed);
        const size_t count = thresholds.size();
        std::vector<uint64_t> forward(count, 1), backward(count, 2), want_forward(count, 1), want_backward(count, 2);
        for (size_t k = 0; k < count; k++) {
          for (size_t i = 0; i < n; i++) {
            want_forward[k] += a[i] - b[i] >= thresholds[k];
            want_backward[k] += b[i] - a[i] >= thresholds[k];
          }
        }
        for (const ThresholdGroup& group : group_thresholds(thresholds)) {
          uint64_t* const f = &forward[group.first];
          uint64_t* const w = &backward[group.first];
          if (group.use_ladder) {
            count_on_ladder(a.data(), b.data(), n, group.ladder, f, w);
          } else {
            count_plainly(a.data(), b.data(), n, &thresholds[group.first], group.count, f, w);
          }
        }
        if (forward != want_forward || backward != want_backward) {
          std::printf("    %s: %zu thresholds, n = %zu\n", name.c_str(), count, n);
          CHECK(false);
        }
      }
    }
  }
}

COVN_TEST(values_that_are_no_log_probs_are_found) {
  for (const auto& [name, table] : runnable_tables()) {
    for (double bad : {kInfinity, std::nan("")}) {
      std::vector<double> values = coarse_log_probs(1, 43, 9);
      values[7] = std::numeric_limits<double>::max();
      CHECK(table->count_below_infinity(values.data(), 43) == 43);
      for (double& value : values) {
        const double good = std::exchange(value, bad);
        CHECK(table->count_below_infinity(values.data(), 43) == 42);
        value = good;
      }
    }
  }
  std::vector<double> values = coarse_log_probs(3, 6000, 10);
  values[2 * 6000 + 4100] = kInfinity;
  values[1 * 6000 + 5500] = std::nan("");
  std::unique_ptr<PairwiseJob> job;
  CHECK(make_pairwise_job({values.data(), 3, 6000}, {1.0}, Target::scalar, job).ok());
  const Status status = run_inline(*job);
  CHECK(status.code == Code::non_finite);
  CHECK(status.message.find("logProbs[11500] (model 1, response 5500) but received NaN") != std::string::npos);
}

COVN_TEST(every_counter_can_be_full) {
  for (double least : {0.0, 0.5}) {
    std::vector<double> thresholds;
    for (int k = 0; k < 8; k++) thresholds.push_back(least + 0.5 * k);
    const std::vector<ThresholdGroup> groups = group_thresholds(thresholds);
    CHECK(groups.size() == 1 && groups[0].use_ladder);
    for (const auto& [name, count_plainly, count_on_ladder] : countings()) {
      for (int step = -9; step <= 9; step++) {  // all differences of one rank
        const std::vector<double> a(9000, 0.5 * step), b(9000, 0.0);
        std::vector<uint64_t> forward(8), backward(8);
        count_on_ladder(a.data(), b.data(), a.size(), groups[0].ladder, forward.data(), backward.data());
        for (size_t k = 0; k < 8; k++) {
          CHECK(forward[k] == (0.5 * step >= thresholds[k] ? 9000u : 0u));
          CHECK(backward[k] == (-0.5 * step >= thresholds[k] ? 9000u : 0u));
        }
      }
    }
  }
}

namespace {

void check_pairwise_job(const LogProbMatrix& p, const std::vector<double>& thresholds) {
  for (Target target : kTargets) {
    if (!target_support(target).available) continue;
    std::unique_ptr<PairwiseJob> made;
    CHECK(make_pairwise_job(p, thresholds, target, made).ok());
    const std::shared_ptr<PairwiseJob> job = std::move(made);
    ThreadPool pool(3);
    CHECK(run_on_pool(pool, job, 0).ok());
    for (size_t k = 0; k < thresholds.size(); k++) {
      for (size_t i = 0; i < p.models; i++) {
        for (size_t j = 0; j < p.models; j++) {
          CHECK(job->counts()[(k * p.models + i) * p.models + j] == naive_count(p, i, j, thresholds[k]));
        }
      }
    }
  }
}

}  // namespace

COVN_TEST(pairwise_job_counts_exactly) {
  const std::vector<double> coarse = coarse_log_probs(5, 5001, 5);
  check_pairwise_job({coarse.data(), 5, 5001}, {0.0, 1.0, 2.25, 10.0});
  // Out of order, with duplicates, two ladders and a lone one.
  const std::vector<double> unsorted{3.0, 0.0, 1.0, 3.0, 0.5, 7.0, 1.5, 2.0, 2.5, 3.5, 0.0, 4.0, 5.0, 1e6, 3.0};
  const std::vector<double> adversarial = adversarial_log_probs(7 * 2041, unsorted, 6);
  check_pairwise_job({adversarial.data(), 7, 2041}, unsorted);
  check_pairwise_job({adversarial.data(), 1, 300}, unsorted);
  check_pairwise_job({adversarial.data(), 3, 40}, {});
  // More pairs than one chunk takes.
  check_pairwise_job({adversarial.data(), 101, 20}, {0.25, 0.5, 1.0, 2.0});
}

COVN_TEST(bad_requests_are_refused) {
  const std::vector<double> values(12, -1.0);
  std::unique_ptr<PairwiseJob> pairwise;
  CHECK(make_pairwise_job({values.data(), 0, 4}, {1.0}, Target::scalar, pairwise).code == Code::shape);
  CHECK(make_pairwise_job({values.data(), 3, 4}, {-1.0}, Target::scalar, pairwise).code == Code::range);
  CHECK(make_pairwise_job({values.data(), 3, 4}, {std::nan("")}, Target::scalar, pairwise).code == Code::range);
}

int main() { return run_all(); }
