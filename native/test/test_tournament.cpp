// Pairwise counts and the tournament against plain loops.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/philox.hpp"
#include "covn/tournament.hpp"
#include "kernels/ladder.hpp"
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

// Differences of these hit thresholds exactly, or miss them by one unit in the last place, or are subnormal, infinite
// or NaN.
std::vector<double> adversarial_log_probs(size_t count, const std::vector<double>& thresholds, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(count);
  for (double& v : values) {
    const double threshold = thresholds[random.bits() % thresholds.size()];
    switch (random.bits() % 10) {
      case 0: v = -kInfinity; break;
      case 1: v = 0.0; break;
      case 2: v = -threshold; break;
      case 3: v = std::nextafter(-threshold, -kInfinity); break;
      case 4: v = std::nextafter(-threshold, kInfinity); break;
      case 5: v = -5e-324 * static_cast<double>(random.bits() % 3); break;
      case 6: v = -1e300 * static_cast<double>(random.bits() % 3); break;
      default: v = -0.25 * static_cast<double>(random.bits() % 64); break;
    }
  }
  return values;
}

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

COVN_TEST(pair_kernels_count_exactly) {
  for (const auto& [name, table] : runnable_tables()) {
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
            table->count_pairs_on_ladder(a.data(), b.data(), n, group.ladder, f, w);
          } else {
            table->count_pairs(a.data(), b.data(), n, &thresholds[group.first], group.count, f, w);
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
    for (const auto& [name, table] : runnable_tables()) {
      for (int step = -9; step <= 9; step++) {  // all differences of one rank
        const std::vector<double> a(9000, 0.5 * step), b(9000, 0.0);
        std::vector<uint64_t> forward(8), backward(8);
        table->count_pairs_on_ladder(a.data(), b.data(), a.size(), groups[0].ladder, forward.data(), backward.data());
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

namespace {

struct Outcome {
  std::vector<int32_t> choices, worst_opponent;
  std::vector<double> ladder_scores, choice_counts, limits;

  double score(size_t model) const { return ladder_scores[ladder_scores.size() - worst_opponent.size() + model]; }
};

Outcome run_tournament(const LogProbMatrix& p, const std::vector<double>& thresholds, const std::vector<int32_t>& units,
                       size_t unit_count, size_t replicates, size_t tail_rank, uint64_t seed, bool on_pool) {
  Outcome o{std::vector<int32_t>(2), std::vector<int32_t>(p.models), std::vector<double>(thresholds.size() * p.models),
            std::vector<double>(2 * p.models), std::vector<double>(2 * (p.models + 1))};
  TournamentRequest request;
  request.log_probs = p;
  request.thresholds = thresholds;
  request.units = units.data();
  request.unit_count = unit_count;
  request.replicates = replicates;
  request.tail_rank = tail_rank;
  request.seed = seed;
  request.choices = o.choices.data();
  request.ladder_scores = o.ladder_scores.data();
  request.worst_opponent = o.worst_opponent.data();
  request.choice_counts = o.choice_counts.data();
  request.limits = o.limits.data();
  std::unique_ptr<Job> job;
  CHECK(make_tournament_job(request, job).ok());
  if (on_pool) {
    ThreadPool pool(3);
    CHECK(run_on_pool(pool, std::move(job), 0).ok());
  } else {
    CHECK(run_inline(*job).ok());
  }
  return o;
}

// The same in the plainest way: build the replicate's responses, count, choose.
struct Choice {
  size_t winner, min_cross_entropy;
  std::vector<double> scores;
};

Choice naive_choice(const LogProbMatrix& p, const std::vector<double>& thresholds,
                    const std::vector<size_t>& responses) {
  std::vector<size_t> tied(p.models);
  for (size_t i = 0; i < p.models; i++) tied[i] = i;
  std::vector<double> scores;
  for (size_t k = thresholds.size(); k-- > 0;) {
    std::vector<double> score(p.models, 0.0);
    for (size_t i = 0; i < p.models; i++) {
      for (size_t j = 0; j < p.models; j++) {
        if (j == i) continue;
        double count = 0;
        for (size_t r : responses) count += p.row(j)[r] - p.row(i)[r] >= thresholds[k];
        score[i] = std::max(score[i], count / static_cast<double>(responses.size()));
      }
    }
    if (scores.empty()) scores = score;
    double least = kInfinity;
    for (size_t i : tied) least = std::min(least, score[i]);
    std::vector<size_t> kept;
    for (size_t i : tied) {
      if (score[i] == least) kept.push_back(i);
    }
    tied = kept;
  }
  std::vector<double> sums(p.models, 0.0);
  for (size_t i = 0; i < p.models; i++) {
    for (size_t r : responses) sums[i] += p.row(i)[r];
  }
  const auto best = [&](const std::vector<size_t>& among) {
    size_t choice = among.front();
    for (size_t i : among) {
      if (sums[i] > sums[choice]) choice = i;
    }
    return choice;
  };
  std::vector<size_t> all(p.models);
  for (size_t i = 0; i < p.models; i++) all[i] = i;
  return {best(tied), best(all), scores};
}

std::vector<size_t> replicate_responses(const std::vector<int32_t>& units, size_t unit_count, uint32_t replicate,
                                        uint64_t seed) {
  std::vector<size_t> responses;
  for (size_t draw = 0; draw < unit_count; draw++) {
    const PhiloxCounter bits = philox4x32({static_cast<uint32_t>(draw), 0, replicate, 1}, seed);
    const auto unit = static_cast<int32_t>(bounded(uint64_t{bits[0]} << 32 | bits[1], unit_count));
    for (size_t r = 0; r < units.size(); r++) {
      if (units[r] == unit) responses.push_back(r);
    }
  }
  return responses;
}

}  // namespace

COVN_TEST(tournament_and_its_replicates_agree_with_plain_loops) {
  const double log_n = std::log(4.0);
  const std::vector<double> thresholds{log_n / 4, log_n / 2, log_n};
  // Quarter steps: sums are exact in any order. Few models' worth of -inf keeps sums finite in most replicates.
  for (bool clustered : {false, true}) {
    const size_t models = 6, responses = 120, unit_count = clustered ? 15 : responses;
    const std::vector<double> values = coarse_log_probs(models, responses, clustered ? 21 : 20);
    const LogProbMatrix p{values.data(), models, responses};
    std::vector<int32_t> units(responses);
    for (size_t r = 0; r < responses; r++) units[r] = static_cast<int32_t>(clustered ? r * r % 15 : r);
    if (clustered) {  // every unit needs a response
      for (size_t u = 0; u < 15; u++) units[u] = static_cast<int32_t>(u);
    }
    const size_t replicates = 300, rank = 7;
    const Outcome o = run_tournament(p, thresholds, units, unit_count, replicates, rank, 77, false);
    std::vector<size_t> all(responses);
    for (size_t r = 0; r < responses; r++) all[r] = r;
    const Choice data = naive_choice(p, thresholds, all);
    CHECK(static_cast<size_t>(o.choices[0]) == data.winner);
    CHECK(static_cast<size_t>(o.choices[1]) == data.min_cross_entropy);
    for (size_t i = 0; i < models; i++) CHECK(o.score(i) == data.scores[i]);

    std::vector<double> counts(2 * models);
    std::vector<std::vector<double>> drawn(models + 1);  // each model's scores, then the differences
    for (uint32_t b = 1; b <= replicates; b++) {
      const Choice want = naive_choice(p, thresholds, replicate_responses(units, unit_count, b, 77));
      counts[want.winner]++;
      counts[models + want.min_cross_entropy]++;
      for (size_t i = 0; i < models; i++) drawn[i].push_back(want.scores[i]);
      drawn[models].push_back(want.scores[data.min_cross_entropy] - want.scores[data.winner]);
    }
    CHECK(o.choice_counts == counts);
    for (size_t i = 0; i <= models; i++) {
      std::sort(drawn[i].begin(), drawn[i].end());
      CHECK_AT_MOST(std::fabs(o.limits[2 * i] - drawn[i][rank - 1]), 1e-15);
      CHECK_AT_MOST(std::fabs(o.limits[2 * i + 1] - drawn[i][replicates - rank]), 1e-15);
    }
    // Threads change nothing; the seed does.
    const Outcome again = run_tournament(p, thresholds, units, unit_count, replicates, rank, 77, true);
    CHECK(again.choice_counts == o.choice_counts && again.limits == o.limits &&
          again.worst_opponent == o.worst_opponent);
    const Outcome other = run_tournament(p, thresholds, units, unit_count, replicates, rank, 78, true);
    CHECK(other.choice_counts != o.choice_counts || other.limits != o.limits);
  }
}

COVN_TEST(worst_opponent_is_the_lowest_of_the_worst) {
  // Model 0 is beaten by 1 and 2 alike, by 3 more seldom.
  const std::vector<double> values{-5, -5, -5, -5, -1, -1, -5, -5, -5, -1, -1, -5, -1, -5, -5, -5};
  const LogProbMatrix p{values.data(), 4, 4};
  const Outcome o = run_tournament(p, {1.0}, {0, 1, 2, 3}, 4, 1, 1, 0, false);
  CHECK(o.worst_opponent[0] == 1);
  CHECK(o.score(0) == 0.5);
  const Outcome single = run_tournament({values.data(), 1, 16}, {1.0}, std::vector<int32_t>(16, 0), 1, 3, 1, 0, false);
  CHECK(single.worst_opponent[0] == -1 && single.choices[0] == 0 && single.score(0) == 0.0);
}

COVN_TEST(bad_requests_are_refused) {
  const std::vector<double> values(12, -1.0);
  std::unique_ptr<PairwiseJob> pairwise;
  CHECK(make_pairwise_job({values.data(), 0, 4}, {1.0}, Target::scalar, pairwise).code == Code::shape);
  CHECK(make_pairwise_job({values.data(), 3, 4}, {-1.0}, Target::scalar, pairwise).code == Code::range);
  CHECK(make_pairwise_job({values.data(), 3, 4}, {std::nan("")}, Target::scalar, pairwise).code == Code::range);
  const std::vector<int32_t> units{0, 1, 2, 4};
  TournamentRequest request;
  request.log_probs = {values.data(), 3, 4};
  request.thresholds = {1.0};
  request.units = units.data();
  request.unit_count = 4;
  request.replicates = 1;
  std::unique_ptr<Job> job;
  CHECK(make_tournament_job(request, job).code == Code::range);
  request.unit_count = 5;
  CHECK(make_tournament_job(request, job).code == Code::range);
  request.thresholds = {2.0, 1.0};
  CHECK(make_tournament_job(request, job).code == Code::range);
  request.thresholds = {1.0};
  request.replicates = kMaxReplicateScores;
  CHECK(make_tournament_job(request, job).code == Code::range);
  request.replicates = 5;
  request.tail_rank = 6;
  CHECK(make_tournament_job(request, job).code == Code::range);
}

int main() { return run_all(); }
