// The job for pairs of models: threads, batches, sums, errors.
#include <cmath>
#include <limits>

#include "covn/pair.hpp"
#include "reference/pair.hpp"
#include "test/check.hpp"
#include "test/pool.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

namespace {

struct Outputs {
  Status status;
  std::vector<double> log_ratio, kl, hellinger;
  std::vector<float> token_kl;
  std::vector<int64_t> non_finite_rows;
};

struct Batch {
  std::vector<float> reference, model;
  std::vector<int32_t> targets;
  size_t vocab;
};

Batch random_batch(size_t rows, size_t vocab) {
  Random random(rows);
  Batch batch{std::vector<float>(rows * vocab), std::vector<float>(rows * vocab), std::vector<int32_t>(rows), vocab};
  for (float& x : batch.reference) x = static_cast<float>(3.0 * random.normal());
  for (float& x : batch.model) x = static_cast<float>(3.0 * random.normal());
  for (int32_t& t : batch.targets) t = static_cast<int32_t>(random.bits() % vocab);
  return batch;
}

Outputs run(const Batch& batch, std::vector<int64_t> offsets, ThreadPool* pool, unsigned threads,
            bool propagate = false) {
  const size_t rows = batch.targets.size(), responses = offsets.size() - 1;
  Outputs out{{},
              std::vector<double>(responses),
              std::vector<double>(responses),
              std::vector<double>(responses),
              std::vector<float>(rows),
              {}};
  PairRequest request;
  request.reference = batch.reference.data();
  request.model = batch.model.data();
  request.reference_count = batch.reference.size();
  request.model_count = batch.model.size();
  request.vocab = batch.vocab;
  request.tokens.targets = batch.targets.data();
  request.tokens.rows = rows;
  request.tokens.offsets = std::move(offsets);
  request.tokens.propagate_non_finite = propagate;
  request.tokens.target = best_target();
  request.log_ratio = out.log_ratio.data();
  request.kl = out.kl.data();
  request.hellinger = out.hellinger.data();
  request.token_kl = out.token_kl.data();
  std::unique_ptr<ScoreJob> made;
  out.status = make_pair_job(std::move(request), made);
  if (!out.status.ok()) return out;
  std::shared_ptr<ScoreJob> job = std::move(made);
  out.status = pool ? run_on_pool(*pool, job, threads) : run_inline(*job);
  out.non_finite_rows = job->non_finite_rows();
  return out;
}

}  // namespace

COVN_TEST(same_bits_for_any_threads_and_batches) {
  ThreadPool pool(4);
  const Batch batch = random_batch(3000, 257);
  const Outputs whole = run(batch, {0, 1500, 3000}, nullptr, 0);
  CHECK(whole.status.ok());
  for (unsigned threads : {1u, 2u, 4u}) {
    const Outputs again = run(batch, {0, 1500, 3000}, &pool, threads);
    CHECK(again.log_ratio == whole.log_ratio && again.kl == whole.kl && again.hellinger == whole.hellinger);
    CHECK(again.token_kl == whole.token_kl);
  }
  const Batch half{{batch.reference.begin() + 1500 * 257, batch.reference.end()},
                   {batch.model.begin() + 1500 * 257, batch.model.end()},
                   {batch.targets.begin() + 1500, batch.targets.end()},
                   257};
  const Outputs alone = run(half, {0, 1500}, &pool, 2);
  CHECK(alone.log_ratio[0] == whole.log_ratio[1] && alone.kl[0] == whole.kl[1]);
  CHECK(alone.hellinger[0] == whole.hellinger[1]);
}

COVN_TEST(sums_are_of_the_scored_rows) {
  Batch batch = random_batch(6, 10);
  batch.targets[1] = -1;
  for (size_t i = 10; i < 20; i++) batch.model[i] = std::nanf("");
  const Outputs out = run(batch, {0, 3, 3, 6}, nullptr, 0);
  CHECK(out.status.ok() && std::isnan(out.token_kl[1]));
  long double kl = 0, log_ratio = 0;
  for (size_t row : {0, 2}) {
    const auto want = reference::score_pair(&batch.reference[row * 10], &batch.model[row * 10], 10,
                                            static_cast<size_t>(batch.targets[row]), 1.0L);
    kl += want.kl;
    log_ratio += want.log_ratio;
  }
  CHECK_AT_MOST(std::fabs(out.kl[0] - kl), 2e-6);
  CHECK_AT_MOST(std::fabs(out.log_ratio[0] - log_ratio), 2e-6);
  CHECK(out.kl[1] == 0.0 && out.log_ratio[1] == 0.0 && out.hellinger[1] == 0.0);
}

COVN_TEST(a_bad_row_is_named_with_its_model_or_flagged) {
  for (bool model : {false, true}) {
    Batch batch = random_batch(4, 5);
    (model ? batch.model : batch.reference)[2 * 5 + 1] = kInfinity;
    Outputs out = run(batch, {0, 4}, nullptr, 0);
    const std::string place = model ? "row 2 of model" : "row 2 of reference";
    CHECK(out.status.code == Code::non_finite && out.status.message.find(place) != std::string::npos);
    CHECK(out.status.message.find("+inf at column 1") != std::string::npos);
    out = run(batch, {0, 2, 4}, nullptr, 0, true);
    CHECK(out.status.ok() && out.non_finite_rows == std::vector<int64_t>{2});
    CHECK(std::isfinite(out.kl[0]) && std::isnan(out.kl[1]) && std::isnan(out.hellinger[1]));
  }
}

COVN_TEST(bad_requests_are_refused) {
  const Batch batch = random_batch(4, 5);
  CHECK(run(batch, {0, 5}, nullptr, 0).status.code == Code::shape);
  Batch bad = batch;
  bad.model.pop_back();
  CHECK(run(bad, {0, 4}, nullptr, 0).status.code == Code::shape);
  bad = batch;
  bad.targets[3] = 5;
  CHECK(run(bad, {0, 4}, nullptr, 0).status.code == Code::range);
}

int main() { return run_all(); }
