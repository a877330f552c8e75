// scoreHidden: its kernels on every target against long double, and its jobs, whose bits depend on the row alone.
#include <chrono>
#include <cmath>
#include <thread>

#include "covn/hidden.hpp"
#include "kernels/hidden_rows.hpp"
#include "test/check.hpp"
#include "test/hidden_cases.hpp"
#include "test/pool.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

Status make_job(const Case& c, Target target, bool propagate, Result& r, std::unique_ptr<ScoreJob>& job) {
  HiddenRequest request = make_request(c, propagate, r);
  request.scoring.target = target;
  return make_hidden_job(std::move(request), job);
}

Result score(const Case& c, Target target, ThreadPool* pool = nullptr, unsigned threads = 0, bool propagate = false) {
  Result r;
  std::unique_ptr<ScoreJob> made;
  r.status = make_job(c, target, propagate, r, made);
  if (!r.status.ok()) return r;
  const std::shared_ptr<ScoreJob> job = std::move(made);
  r.status = pool ? run_on_pool(*pool, job, threads) : run_inline(*job);
  r.non_finite_rows = job->non_finite_rows();
  return r;
}

std::vector<Target> available_targets() {
  std::vector<Target> available;
  for (Target target : kTargets) {
    if (target_support(target).available) available.push_back(target);
  }
  return available;
}

constexpr DType kDTypes[] = {DType::f32, DType::f16, DType::bf16};

// The logits [rows, vocab] of a table's kernels, without a job.
template <class T>
std::vector<float> kernel_logits(const HiddenKernels& kernels, const Case& c) {
  const auto* weight = static_cast<const T*>(c.weight.data());
  std::vector<ScoredToken> tokens;
  for (size_t row = 0; row < c.rows; row++) tokens.push_back({row, 0});
  const FloatBuffer panels =
      pack_panels(static_cast<const T*>(c.hidden.data()), c.width, tokens.data(), c.rows, kernels);
  const size_t panel_count = (c.rows + kernels.panel_rows - 1) / kernels.panel_rows;
  Workspaces workspaces(panel_count, kernels.panel_rows);
  const std::unique_ptr<Workspace> workspace = workspaces.take();
  std::vector<const void*> weights;
  for (size_t j = 0; j < c.vocab; j++) weights.push_back(weight + j * c.width);
  const LogitTile tile{
      weights.data(),          nullptr, c.vocab, c.width, panels.data(), panel_count, workspace->staged.data(),
      workspace->logits.data()};
  const size_t slots = slots_of(c.width, kernels.slot_elements);
  for (size_t slice = 0; slice * kSlice < slots; slice++) kernels.multiply(tile, slice);
  kernels.shape(tile, {c.bias.empty() ? nullptr : c.bias.data(), c.softcap});
  std::vector<float> logits;
  for (size_t row = 0; row < c.rows; row++) {
    const size_t lane = row % kernels.panel_rows;
    for (size_t j = 0; j < c.vocab; j++) {
      logits.push_back(tile.logits[((row - lane) * kTileVocab) + j * kernels.panel_rows + lane]);
    }
  }
  return logits;
}

std::vector<float> kernel_logits(const HiddenKernels& kernels, const Case& c) {
  switch (c.dtype) {
    case DType::f16: return kernel_logits<Float16>(kernels, c);
    case DType::bf16: return kernel_logits<BFloat16>(kernels, c);
    default: return kernel_logits<float>(kernels, c);
  }
}

void check_kernels(const HiddenKernels& kernels, const Case& c) {
  const std::vector<float> logits = kernel_logits(kernels, c);
  for (size_t row = 0; row < c.rows; row++) {
    const std::vector<long double> want = row_logits(c, row);
    for (size_t j = 0; j < c.vocab; j++) CHECK_AT_MOST(std::fabs(logits[row * c.vocab + j] - want[j]), 4e-6);
  }
}

}  // namespace

COVN_TEST(tiles_of_every_table_agree_with_long_double) {
  for (const auto& [name, table] : runnable_tables()) {
    for (DType dtype : kDTypes) {
      for (size_t width : {size_t{1}, size_t{7}, size_t{64}, size_t{259}}) {
        Case c = random_case(dtype, 35, width, 27, 1.0, width);
        check_kernels(table->hidden[static_cast<size_t>(dtype)], c);
        c.softcap = 0.75;
        c.bias.assign(c.vocab, 0.5f);
        check_kernels(table->hidden[static_cast<size_t>(dtype)], c);
      }
    }
  }
}

COVN_TEST(pairs_of_bfloat16_agree_with_long_double) {
  const HiddenKernels& kernels = hidden_kernels_for(best_target(), DType::bf16);
  std::printf("    elements of a slot: %zu\n", kernels.slot_elements);
  for (size_t width : {1, 2, 31, 33, 511, 513, 1030}) {
    check_kernels(kernels, random_case(DType::bf16, 33, width, 13, 1.0, width));
  }
}

COVN_TEST(soft_cap_is_exact_to_a_float) {
  // Width 1: the logits are the weights.
  for (const auto& [name, table] : runnable_tables()) {
    for (double cap : {0.5, 30.0}) {
      Case c = random_case(DType::f32, 1, 1, 384, 1.0, 5);
      c.softcap = cap;
      c.hidden.values[0] = 1.0f;
      for (size_t j = 0; j < c.vocab; j++) {
        c.weight.values[j] = static_cast<float>((j % 2 ? 1 : -1) * cap * std::exp2(static_cast<double>(j) / 16 - 20));
      }
      const std::vector<float> logits = kernel_logits(table->hidden[0], c);
      for (size_t j = 0; j < c.vocab; j++) {
        const double want = cap * std::tanh(c.weight.values[j] / cap);
        CHECK_AT_MOST(std::fabs(logits[j] / want - 1.0), 0x1p-24 + 6e-9);
      }
      c.weight.values = std::vector<float>(384, std::nanf(""));
      c.weight.values[1] = kInfinity;
      c.weight.values[2] = -kInfinity;
      const std::vector<float> special = kernel_logits(table->hidden[0], c);
      CHECK(std::isnan(special[0]) && special[1] == static_cast<float>(cap) && special[2] == -static_cast<float>(cap));
    }
  }
}

COVN_TEST(outputs_agree_with_long_double) {
  for (Target target : available_targets()) {
    for (DType dtype : kDTypes) {
      check_against_reference(random_case(dtype, 1, 1, 1, 1.0, 1), score(random_case(dtype, 1, 1, 1, 1.0, 1), target),
                              2e-6);
      Case c = random_case(dtype, 41, 65, 1001, 1.0, 2);
      check_against_reference(c, score(c, target), 2e-6);
      c.temperature = 0.7;
      c.softcap = 3.0;
      check_against_reference(c, score(c, target), 3e-6);
      c.bias.assign(c.vocab, 0.25f);
      for (size_t j = 0; j < c.vocab; j += 3) c.bias[j] = -kInfinity;
      c.softcap = 0.0;
      check_against_reference(c, score(c, target), 3e-6);
    }
  }
}

COVN_TEST(huge_logits_keep_their_differences) {
  // Hidden states of 1 and whole weights: every logit is exact, and so far out that a row needs a place of its own.
  for (Target target : available_targets()) {
    Case c = random_case(DType::f32, 5, 1, 900, 1.0, 3);
    for (float scale : {1.0f, 1e4f, 1e6f}) {
      for (size_t row = 0; row < c.rows; row++) c.hidden.values[row] = row % 2 ? -scale : scale;
      for (size_t j = 0; j < c.vocab; j++) c.weight.values[j] = static_cast<float>((j * 37) % 100) / 8.0f;
      check_against_reference(c, score(c, target), 2e-6);
    }
  }
}

COVN_TEST(equal_logits_share_a_rank) {
  for (Target target : available_targets()) {
    for (DType dtype : kDTypes) {
      Case c = random_case(dtype, 40, 333, 800, 1.0, 4);
      // Every weight row is there twice, far apart.
      for (size_t i = 0; i < 400 * c.width; i++) {
        c.weight.values[400 * c.width + i] = c.weight.values[i];
        if (dtype != DType::f32) c.weight.bits[400 * c.width + i] = c.weight.bits[i];
      }
      const Result first = score(c, target);
      for (int32_t& t : c.targets) t = (t + 400) % 800;
      CHECK(same(score(c, target), first));
      for (int32_t rank : first.rank) CHECK(rank % 2 == 1);
    }
  }
}

COVN_TEST(same_bits_for_any_threads_batch_and_order) {
  ThreadPool pool(4);
  for (DType dtype : kDTypes) {
    const Case c = random_case(dtype, 700, 70, 1500, 3.0, 6);
    const Result whole = score(c, best_target());
    for (unsigned threads : {1u, 2u, 4u}) CHECK(same(score(c, best_target(), &pool, threads), whole));
    // Every third row, backwards.
    Case part = c;
    part.rows = 0;
    part.targets.clear();
    std::vector<size_t> from;
    for (size_t row = c.rows - 1; row < c.rows; row -= 3) {
      std::copy_n(c.hidden.values.begin() + row * c.width, c.width, part.hidden.values.begin() + part.rows * c.width);
      if (dtype != DType::f32) {
        std::copy_n(c.hidden.bits.begin() + row * c.width, c.width, part.hidden.bits.begin() + part.rows * c.width);
      }
      part.targets.push_back(c.targets[row]);
      from.push_back(row);
      part.rows++;
    }
    part.hidden.values.resize(part.rows * c.width);
    const Result alone = score(part, best_target(), &pool, 2);
    for (size_t i = 0; i < part.rows; i++) CHECK(same_row(alone, i, whole, from[i]));
  }
}

COVN_TEST(rows_not_scored_are_not_read) {
  Case c = random_case(DType::f32, 6, 9, 20, 1.0, 7);
  c.targets[1] = c.targets[4] = -1;
  for (size_t k = 0; k < c.width; k++) c.hidden.values[c.width + k] = std::nanf("");
  const Result r = score(c, best_target());
  CHECK(r.status.ok());
  CHECK(std::isnan(r.token[1]) && std::isnan(r.log_z[4]) && r.rank[4] == 0 && r.sequence[1] == 0.0);
  CHECK(std::isfinite(r.token[0]) && std::isfinite(r.token[5]));
  for (int32_t& t : c.targets) t = -1;
  CHECK(score(c, best_target()).status.ok());
}

COVN_TEST(rows_that_are_not_finite_are_named_or_flagged) {
  ThreadPool pool(3);
  Case c = random_case(DType::f32, 1200, 5, 2000, 1.0, 8);
  c.weight.values[1900 * c.width] = kInfinity;
  for (size_t row = 0; row < c.rows; row++) c.hidden.values[row * c.width] = row == 3 || row == 1100 ? 1.0f : -1.0f;
  c.hidden.values[700 * c.width + 1] = std::nanf("");
  for (Target target : available_targets()) {
    for (unsigned threads : {1u, 3u}) {
      const Status status = score(c, target, &pool, threads).status;
      CHECK(status.code == Code::non_finite);
      CHECK(status.message.find("row 3 of hidden but received +inf") != std::string::npos);
      const Result flagged = score(c, target, &pool, threads, true);
      CHECK(flagged.status.ok());
      CHECK((flagged.non_finite_rows == std::vector<int64_t>{3, 700, 1100}));
      CHECK(std::isnan(flagged.sequence[3]) && std::isfinite(flagged.sequence[4]));
    }
    Case none = random_case(DType::f32, 2, 3, 4, 1.0, 9);
    none.bias.assign(4, -kInfinity);
    CHECK(score(none, target).status.message.find("-inf in every column") != std::string::npos);
  }
}

COVN_TEST(a_cancelled_job_ends_soon) {
  ThreadPool pool(2);
  const Case c = random_case(DType::f32, 512, 256, 20000, 1.0, 10);
  Result r;
  std::unique_ptr<ScoreJob> made;
  CHECK(make_job(c, Target::scalar, false, r, made).ok());
  const std::shared_ptr<ScoreJob> job = std::move(made);
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    pool.cancel(*job);
  });
  CHECK(run_on_pool(pool, job, 2).code == Code::cancelled);
  canceller.join();
}

COVN_TEST(bad_requests_are_refused) {
  const Case good = random_case(DType::f32, 4, 3, 5, 1.0, 11);
  CHECK(score(good, best_target()).status.ok());
  Case bad = good;
  bad.hidden.values.pop_back();
  CHECK(score(bad, best_target()).status.code == Code::shape);
  bad = good;
  bad.weight.values.pop_back();
  CHECK(score(bad, best_target()).status.code == Code::shape);
  bad = good;
  bad.width = 0;
  CHECK(score(bad, best_target()).status.code == Code::range);
  bad = good;
  bad.vocab = 0;
  CHECK(score(bad, best_target()).status.code == Code::range);
  for (double cap : {-1.0, 1e7, std::nan("")}) {
    bad = good;
    bad.softcap = cap;
    CHECK(score(bad, best_target()).status.code == Code::range);
  }
  for (int32_t target : {5, -2}) {
    bad = good;
    bad.targets[3] = target;
    CHECK(score(bad, best_target()).status.code == Code::range);
  }
}

int main() { return run_all(); }
