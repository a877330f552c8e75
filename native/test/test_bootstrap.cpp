// The bootstrap and its kernels against scalar Philox and plain loops, to the bit on every target.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "core/philox.hpp"
#include "covn/tournament.hpp"
#include "test/check.hpp"
#include "test/pool.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

uint64_t drawn_unit(const DrawStream& draws, uint64_t i, uint32_t unit_count) {
  const PhiloxCounter bits =
      philox4x32({static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), draws.replicate, draws.stream}, draws.seed);
  return bounded(uint64_t{bits[0]} << 32 | bits[1], unit_count);
}

// Log-probs in quarter steps, so that thresholds are met exactly, and in arbitrary ones; some -inf.
std::vector<double> log_probs(size_t count, Random& random) {
  std::vector<double> values(count);
  for (double& v : values) {
    const uint64_t kind = random.bits() % 10;
    v = kind == 0   ? -kInfinity
        : kind == 1 ? -5e-324 * static_cast<double>(random.bits() % 3)
        : kind < 6  ? -0.25 * static_cast<double>(random.bits() % 40)
                    : -30.0 * random.uniform();
  }
  return values;
}

struct Weighing {
  std::vector<uint8_t> weights;
  std::vector<int32_t> units;
  size_t width;

  Weighing(size_t responses, size_t unit_count, size_t w, Random& random)
      : weights(unit_count * w), units(responses), width(w) {
    for (uint8_t& x : weights) x = static_cast<uint8_t>(random.bits() % 3 == 0 ? random.bits() : random.bits() % 3);
    for (int32_t& u : units) u = static_cast<int32_t>(random.bits() % unit_count);
  }
  ReplicateWeights view() const { return {weights.data(), width, units.data()}; }
  uint8_t weight(size_t r, size_t b) const { return weights[static_cast<size_t>(units[r]) * width + b]; }
};

const size_t kLengths[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 127, 128, 129, 300};

}  // namespace

COVN_TEST(draws_are_those_of_scalar_philox) {
  const DrawStream streams[] = {
      {0, 0, 0}, {77, 1, 1}, {0xffffffffffffffff, 0xffffffff, 0xffffffff}, {0x299f31d0a4093822, 1000, 1}};
  // The low word of the counter carries into the high one within a vector, between two, and at the end of one.
  const uint64_t firsts[] = {0,
                             5,
                             0x7fffffff,
                             0x100000000 - 1,
                             0x100000000 - 8,
                             0x100000000 - 13,
                             0x100000000 - 150,
                             0x100000000,
                             0xffffffff00000000 - 4,
                             0xffffffffffffff00};
  for (const auto& [name, table] : runnable_tables()) {
    for (const DrawStream& draws : streams) {
      for (uint64_t first : firsts) {
        for (size_t n : kLengths) {
          for (uint32_t unit_count : {1u, 2u, 1000u, 300000u, 0x7fffffffu, 0x80000001u, 0xffffffffu}) {
            if (n > 0 && first + (n - 1) < first) continue;
            std::vector<uint64_t> drawn(n + 1, 12345);
            table->draw_units(draws, first, n, unit_count, drawn.data());
            bool same = drawn[n] == 12345;
            for (size_t i = 0; i < n; i++) same = same && drawn[i] == drawn_unit(draws, first + i, unit_count);
            if (!same) {
              std::printf("    %s: first %llu, n %zu, of %u\n", name.c_str(), static_cast<unsigned long long>(first), n,
                          unit_count);
              CHECK(false);
            }
          }
        }
      }
    }
  }
}

COVN_TEST(weights_are_counted_by_thresholds_reached) {
  Random random(1);
  for (const std::vector<double>& thresholds :
       {std::vector<double>{0.0}, {0.25}, {5e-324, 0.25, 0.5, 0.75, 1.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 20.0}}) {
    for (size_t width : {kReplicateGroup, 3 * kReplicateGroup, 4 * kReplicateGroup}) {
      for (size_t n : kLengths) {
        const std::vector<double> theirs = log_probs(n, random), mine = log_probs(n, random);
        const Weighing weighing(n, 1 + n / 2, width, random);
        std::vector<uint32_t> want((thresholds.size() + 1) * width, 7);
        for (size_t r = 0; r < n; r++) {
          size_t reached = 0;
          while (reached < thresholds.size() && theirs[r] - mine[r] >= thresholds[reached]) reached++;
          for (size_t b = 0; b < width; b++) want[reached * width + b] += weighing.weight(r, b);
        }
        for (const auto& [name, table] : runnable_tables()) {
          std::vector<uint32_t> counts(want.size(), 7);
          table->count_replicates(theirs.data(), mine.data(), n, thresholds.data(), thresholds.size(), weighing.view(),
                                  counts.data());
          CHECK(counts == want);
        }
      }
    }
  }
}

COVN_TEST(weighted_sums_are_those_of_a_plain_loop) {
  Random random(2);
  for (size_t width : {kReplicateGroup, 3 * kReplicateGroup, 4 * kReplicateGroup}) {
    for (size_t n : kLengths) {
      const std::vector<double> values = log_probs(n, random);
      const Weighing weighing(n, 1 + n / 2, width, random);
      std::vector<double> want(width, -0.1);
      for (size_t r = 0; r < n; r++) {
        if (!std::isfinite(values[r])) continue;
        for (size_t b = 0; b < width; b++) want[b] += weighing.weight(r, b) * values[r];
      }
      for (const auto& [name, table] : runnable_tables()) {
        std::vector<double> sums(width, -0.1);
        table->sum_replicates(values.data(), n, weighing.view(), sums.data());
        CHECK(sums == want);
      }
    }
  }
}

namespace {

// Coarse values, so that ties at a threshold are common; some -inf.
std::vector<double> coarse_log_probs(size_t models, size_t responses, uint64_t seed) {
  Random random(seed);
  std::vector<double> values(models * responses);
  for (double& v : values) v = random.bits() % 50 == 0 ? -kInfinity : -0.5 * static_cast<double>(random.bits() % 40);
  return values;
}

struct Outcome {
  std::vector<int32_t> choices, worst_opponent;
  std::vector<double> ladder_scores, choice_counts, limits;

  bool operator==(const Outcome&) const = default;
  double score(size_t model) const { return ladder_scores[ladder_scores.size() - worst_opponent.size() + model]; }
};

// One outcome for each ladder.
std::vector<Outcome> run_tournaments(const LogProbMatrix& p, const std::vector<std::vector<double>>& ladders,
                                     const std::vector<int32_t>& units, size_t unit_count, size_t replicates,
                                     size_t tail_rank, uint64_t seed, bool on_pool, Target target) {
  size_t rungs = 0;
  for (const std::vector<double>& ladder : ladders) rungs += ladder.size();
  Outcome o{std::vector<int32_t>(ladders.size() * 2), std::vector<int32_t>(ladders.size() * p.models),
            std::vector<double>(rungs * p.models), std::vector<double>(ladders.size() * 2 * p.models),
            std::vector<double>(ladders.size() * 2 * (p.models + 1))};
  TournamentRequest request;
  request.log_probs = p;
  request.ladders = ladders;
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
  CHECK(make_tournament_job(request, target, job).ok());
  if (on_pool) {
    ThreadPool pool(3);
    CHECK(run_on_pool(pool, std::move(job), 0).ok());
  } else {
    CHECK(run_inline(*job).ok());
  }
  std::vector<Outcome> outcomes;
  const auto part = [](const auto& all, size_t begin, size_t count) {
    return std::remove_cvref_t<decltype(all)>(all.begin() + static_cast<ptrdiff_t>(begin),
                                              all.begin() + static_cast<ptrdiff_t>(begin + count));
  };
  size_t rung = 0;
  for (size_t l = 0; l < ladders.size(); l++) {
    const size_t m = p.models, scores = ladders[l].size() * m;
    outcomes.push_back({part(o.choices, 2 * l, 2), part(o.worst_opponent, l * m, m),
                        part(o.ladder_scores, rung, scores), part(o.choice_counts, 2 * m * l, 2 * m),
                        part(o.limits, 2 * (m + 1) * l, 2 * (m + 1))});
    rung += scores;
  }
  return outcomes;
}

Outcome run_tournament(const LogProbMatrix& p, const std::vector<double>& thresholds, const std::vector<int32_t>& units,
                       size_t unit_count, size_t replicates, size_t tail_rank, uint64_t seed, bool on_pool,
                       Target target = best_target()) {
  return run_tournaments(p, {thresholds}, units, unit_count, replicates, tail_rank, seed, on_pool, target)[0];
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
    CHECK(again == o);
    const Outcome other = run_tournament(p, thresholds, units, unit_count, replicates, rank, 78, true);
    CHECK(other.choice_counts != o.choice_counts || other.limits != o.limits);
  }
}

COVN_TEST(every_target_and_any_company_of_ladders_give_the_same_bits) {
  const size_t models = 5, responses = 9001, replicates = 150;
  Random random(31);
  std::vector<double> values(models * responses);  // sums of these depend on their order
  for (double& v : values) v = random.bits() % 500 == 0 ? -kInfinity : -30.0 * random.uniform();
  const LogProbMatrix p{values.data(), models, responses};
  for (size_t unit_count : {responses, size_t{700}}) {
    std::vector<int32_t> units(responses);
    for (size_t r = 0; r < responses; r++) units[r] = static_cast<int32_t>(r * 7919 % unit_count);
    const std::vector<std::vector<double>> ladders{{0.5, 1.0, 2.0}, {0.0}, {1.0, 2.0, 3.5, 7.0}, {0.5, 1.0, 2.0}};
    std::vector<Outcome> want;
    for (const std::vector<double>& ladder : ladders) {
      want.push_back(run_tournament(p, ladder, units, unit_count, replicates, 4, 9, false, Target::scalar));
    }
    CHECK(want[0] == want[3] && want[0] != want[2]);
    for (Target target : kTargets) {
      if (!target_support(target).available) continue;
      CHECK(run_tournaments(p, ladders, units, unit_count, replicates, 4, 9, true, target) == want);
    }
  }
}

COVN_TEST(many_units_are_drawn_in_narrow_blocks) {
  const size_t responses = 900'001, replicates = 20;
  std::vector<double> values(2 * responses);
  for (size_t r = 0; r < responses; r++) values[r] = r * 7919 % 13 == 0 ? -3.0 : -1.0, values[responses + r] = -2.0;
  std::vector<int32_t> units(responses);
  for (size_t r = 0; r < responses; r++) units[r] = static_cast<int32_t>(r);
  const LogProbMatrix p{values.data(), 2, responses};
  const Outcome o = run_tournament(p, {1.0}, units, responses, replicates, 1, 5, true);
  double least = 1.0, most = 0.0;
  for (uint32_t b = 1; b <= replicates; b++) {
    size_t count = 0;
    for (size_t i = 0; i < responses; i++) {
      const PhiloxCounter bits = philox4x32({static_cast<uint32_t>(i), 0, b, 1}, 5);
      count += bounded(uint64_t{bits[0]} << 32 | bits[1], responses) * 7919 % 13 == 0;
    }
    const double share = static_cast<double>(count) / static_cast<double>(responses);
    least = std::min(least, share);
    most = std::max(most, share);
  }
  CHECK(o.limits[0] == least && o.limits[1] == most);
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

COVN_TEST(bad_tournaments_are_refused) {
  const std::vector<double> values(12, -1.0);
  const std::vector<int32_t> units{0, 1, 2, 4};
  TournamentRequest request;
  request.log_probs = {values.data(), 3, 4};
  request.ladders = {{1.0}};
  request.units = units.data();
  request.unit_count = 4;
  request.replicates = 1;
  std::unique_ptr<Job> job;
  CHECK(make_tournament_job(request, Target::scalar, job).code == Code::range);
  request.unit_count = 5;
  CHECK(make_tournament_job(request, Target::scalar, job).code == Code::range);
  request.ladders = {{0.5}, {2.0, 1.0}};
  CHECK(make_tournament_job(request, Target::scalar, job).code == Code::range);
  request.ladders = {{1.0}};
  request.replicates = kMaxReplicateScores;
  CHECK(make_tournament_job(request, Target::scalar, job).code == Code::range);
  request.replicates = kMaxReplicateScores / 3;
  request.ladders = {{1.0}, {2.0}};
  CHECK(make_tournament_job(request, Target::scalar, job).code == Code::range);
  request.ladders = {};
  CHECK(make_tournament_job(request, Target::scalar, job).code == Code::range);
  request.ladders = {{1.0}};
  request.replicates = 5;
  request.tail_rank = 6;
  CHECK(make_tournament_job(request, Target::scalar, job).code == Code::range);
}

int main() { return run_all(); }
