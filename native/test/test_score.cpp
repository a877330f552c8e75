// Scoring jobs: agreement with the long double reference end to end, and the same bits whatever the threads and
// batches.
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "covn/logprob.hpp"
#include "reference/logprob.hpp"
#include "test/check.hpp"
#include "test/pool.hpp"

using namespace covn;
using namespace covn::test;

namespace {

struct Case {
  std::vector<float> logits;
  std::vector<int32_t> targets;
  size_t vocab;
};

Case random_case(size_t rows, size_t vocab, double deviation, uint64_t seed) {
  Random random(seed);
  Case c{std::vector<float>(rows * vocab), std::vector<int32_t>(rows), vocab};
  for (float& x : c.logits) x = static_cast<float>(deviation * random.normal());
  for (int32_t& t : c.targets) t = static_cast<int32_t>(random.bits() % vocab);
  return c;
}

struct Result {
  Status status;
  std::vector<double> sequence, log_z;
  std::vector<float> token, entropy;
  std::vector<int32_t> rank;
  std::vector<int64_t> non_finite_rows;
};

// threads = 0: on this thread.
Result score(const Case& c, std::vector<int64_t> offsets, Target target, ThreadPool* pool, unsigned threads,
             bool propagate = false) {
  const size_t rows = c.targets.size();
  Result r{{},
           std::vector<double>(offsets.size() - 1),
           std::vector<double>(rows),
           std::vector<float>(rows),
           std::vector<float>(rows),
           std::vector<int32_t>(rows),
           {}};
  LogitsRequest request;
  request.logits = c.logits.data();
  request.logit_count = c.logits.size();
  request.vocab = c.vocab;
  request.scoring.targets = c.targets.data();
  request.scoring.rows = rows;
  request.scoring.offsets = std::move(offsets);
  request.scoring.propagate_non_finite = propagate;
  request.scoring.target = target;
  request.scoring.sequence = r.sequence.data();
  request.scoring.log_z = r.log_z.data();
  request.scoring.token = r.token.data();
  request.scoring.entropy = r.entropy.data();
  request.scoring.rank = r.rank.data();
  std::unique_ptr<ScoreJob> made;
  r.status = make_score_job(std::move(request), made);
  if (!r.status.ok()) return r;
  std::shared_ptr<ScoreJob> job = std::move(made);
  r.status = pool ? run_on_pool(*pool, job, threads) : run_inline(*job);
  r.non_finite_rows = job->non_finite_rows();
  return r;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); i++) {
    using Word = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    if (std::bit_cast<Word>(a[i]) != std::bit_cast<Word>(b[i])) return false;
  }
  return true;
}

bool same(const Result& a, const Result& b) {
  return same_bits(a.sequence, b.sequence) && same_bits(a.log_z, b.log_z) && same_bits(a.token, b.token) &&
         same_bits(a.entropy, b.entropy) && a.rank == b.rank;
}

std::vector<Target> available_targets() {
  std::vector<Target> available;
  for (Target target : kTargets) {
    if (target_support(target).available) available.push_back(target);
  }
  return available;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

COVN_TEST(outputs_agree_with_long_double) {
  const Case c = random_case(50, 3001, 5.0, 11);
  for (Target target : available_targets()) {
    const Result r = score(c, {0, 20, 20, 50}, target, nullptr, 0);
    CHECK(r.status.ok());
    std::vector<long double> tokens;
    for (size_t row = 0; row < 50; row++) {
      const auto want = reference::score_row(c.logits.data() + row * c.vocab, c.vocab, c.targets[row], 1.0L);
      tokens.push_back(want.token);
      CHECK_AT_MOST(std::fabs(r.log_z[row] - want.log_z), 1e-6);
      CHECK_AT_MOST(std::fabs(r.entropy[row] - want.entropy), 2e-6);
      CHECK(r.rank[row] == want.rank);
      CHECK_AT_MOST(std::fabs(r.token[row] - want.token), 1e-6 + std::fabs(want.token) * 0x1p-24);
    }
    long double first = 0, last = 0;
    for (size_t row = 0; row < 20; row++) first += tokens[row];
    for (size_t row = 20; row < 50; row++) last += tokens[row];
    CHECK_AT_MOST(std::fabs(r.sequence[0] - first), 20 * 1e-6);
    CHECK(r.sequence[1] == 0.0);
    CHECK_AT_MOST(std::fabs(r.sequence[2] - last), 30 * 1e-6);
  }
}

COVN_TEST(same_bits_for_any_threads_and_batches) {
  ThreadPool pool(4);
  const Case c = random_case(3000, 257, 5.0, 12);
  const Result whole = score(c, {0, 1500, 3000}, best_target(), nullptr, 0);
  for (unsigned threads : {1u, 2u, 4u}) {
    CHECK(same(score(c, {0, 1500, 3000}, best_target(), &pool, threads), whole));
  }
  // The second response alone, as another batch.
  Case half{{c.logits.begin() + 1500 * 257, c.logits.end()}, {c.targets.begin() + 1500, c.targets.end()}, 257};
  const Result alone = score(half, {0, 1500}, best_target(), &pool, 2);
  CHECK(alone.sequence[0] == whole.sequence[1]);
  CHECK(same_bits(alone.token, {whole.token.begin() + 1500, whole.token.end()}));
}

COVN_TEST(a_million_tokens_within_a_hundredth_of_a_nat) {
  // The rows repeat, so that the reference stays quick; the sums do not.
  const size_t distinct = 2000, tokens = 1'000'000, vocab = 64;
  const Case pool_case = random_case(distinct, vocab, 5.0, 13);
  std::vector<long double> want(distinct);
  for (size_t row = 0; row < distinct; row++) {
    want[row] = reference::score_row(pool_case.logits.data() + row * vocab, vocab, pool_case.targets[row], 1.0L).token;
  }
  Case c{std::vector<float>(tokens * vocab), std::vector<int32_t>(tokens), vocab};
  Random random(14);
  long double total = 0;
  for (size_t row = 0; row < tokens; row++) {
    const size_t from = random.bits() % distinct;
    std::copy_n(pool_case.logits.begin() + from * vocab, vocab, c.logits.begin() + row * vocab);
    c.targets[row] = pool_case.targets[from];
    total += want[from];
  }
  ThreadPool pool(2);
  for (Target target : available_targets()) {
    const Result r = score(c, {0, static_cast<int64_t>(tokens)}, target, &pool, 2);
    std::printf("    %s: error of a 1,000,000-token sum %.2e nats\n", target_name(target),
                static_cast<double>(std::fabs(r.sequence[0] - total)));
    CHECK_AT_MOST(std::fabs(r.sequence[0] - total), 0.01);
  }
}

COVN_TEST(rows_not_scored_are_not_read) {
  Case c = random_case(6, 10, 1.0, 15);
  c.targets[1] = c.targets[4] = -1;
  for (size_t i = 10; i < 20; i++) c.logits[i] = std::nanf("");
  const Result r = score(c, {0, 3, 6}, best_target(), nullptr, 0);
  CHECK(r.status.ok());
  CHECK(std::isnan(r.token[1]) && std::isnan(r.log_z[4]) && std::isnan(r.entropy[1]) && r.rank[4] == 0);
  CHECK(std::isfinite(r.sequence[0]) && std::isfinite(r.sequence[1]));
}

COVN_TEST(degenerate_rows) {
  for (Target target : available_targets()) {
    Case c = random_case(4, 5, 1.0, 16);
    c.logits[0] = -kInfinity;  // fine
    c.targets[0] = 0;
    Result r = score(c, {0, 4}, target, nullptr, 0);
    CHECK(r.status.ok() && r.token[0] == -kInfinity && r.sequence[0] == -std::numeric_limits<double>::infinity());
    CHECK(r.rank[0] == 5);

    struct Bad {
      float value;
      const char* text;
    };
    for (const Bad& bad : {Bad{std::nanf(""), "NaN at column 2"}, Bad{kInfinity, "+inf at column 2"}}) {
      c = random_case(4, 5, 1.0, 16);
      c.logits[2 * 5 + 2] = bad.value;
      r = score(c, {0, 4}, target, nullptr, 0);
      CHECK(r.status.code == Code::non_finite);
      CHECK(r.status.message.find("row 2") != std::string::npos &&
            r.status.message.find(bad.text) != std::string::npos);
      r = score(c, {0, 2, 4}, target, nullptr, 0, true);
      CHECK(r.status.ok() && r.non_finite_rows == std::vector<int64_t>{2});
      CHECK(std::isnan(r.token[2]) && std::isfinite(r.token[3]) && std::isnan(r.sequence[1]) &&
            std::isfinite(r.sequence[0]));
    }
    c = random_case(4, 5, 1.0, 16);
    std::fill_n(c.logits.begin() + 15, 5, -kInfinity);
    r = score(c, {0, 4}, target, nullptr, 0);
    CHECK(r.status.code == Code::non_finite && r.status.message.find("row 3") != std::string::npos);

    Case one{{7.5f, -1e30f}, {0, 0}, 1};
    r = score(one, {0, 2}, target, nullptr, 0);
    CHECK(r.status.ok() && r.sequence[0] == 0.0 && r.entropy[0] == 0.0f && r.rank[1] == 1);
  }
}

COVN_TEST(the_first_bad_row_is_named_whatever_the_threads) {
  ThreadPool pool(4);
  Case c = random_case(5000, 101, 1.0, 17);
  for (size_t row = 3000; row < 5000; row += 7) c.logits[row * 101 + 5] = std::nanf("");
  for (int repeat = 0; repeat < 20; repeat++) {
    const Result r = score(c, {0, 5000}, best_target(), &pool, 4);
    CHECK(r.status.code == Code::non_finite && r.status.message.find("row 3000 ") != std::string::npos);
  }
}

#if defined(__linux__)
COVN_TEST(elements_past_2_to_the_32) {
  // 70,000 * 65,536 = 4.6e9 bfloat16s of untouched memory; only the last two rows are ever written or read.
  const size_t rows = 70'000, vocab = 65'536, bytes = rows * vocab * sizeof(BFloat16);
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  if (memory == MAP_FAILED) return;
  auto* logits = static_cast<BFloat16*>(memory);
  for (size_t i = (rows - 2) * vocab; i < rows * vocab; i++) logits[i] = {static_cast<uint16_t>(0x3f80 + i % 50)};
  std::vector<int32_t> targets(rows, -1);
  targets[rows - 2] = 7;
  targets[rows - 1] = 65'535;
  std::vector<double> sequence(2);
  LogitsRequest request;
  request.logits = memory;
  request.logit_count = rows * vocab;
  request.dtype = DType::bf16;
  request.vocab = vocab;
  request.scoring.targets = targets.data();
  request.scoring.rows = rows;
  request.scoring.offsets = {0, static_cast<int64_t>(rows - 1), static_cast<int64_t>(rows)};
  request.scoring.target = best_target();
  request.scoring.sequence = sequence.data();
  std::unique_ptr<ScoreJob> made;
  CHECK(make_score_job(std::move(request), made).ok());
  ThreadPool pool(2);
  CHECK(run_on_pool(pool, std::shared_ptr<ScoreJob>(std::move(made)), 2).ok());
  for (size_t i = 0; i < 2; i++) {
    std::vector<float> row(vocab);
    for (size_t j = 0; j < vocab; j++) row[j] = to_float(logits[(rows - 2 + i) * vocab + j]);
    const auto want = reference::score_row(row.data(), vocab, static_cast<size_t>(targets[rows - 2 + i]), 1.0L);
    CHECK_AT_MOST(std::fabs(sequence[i] - want.token), 1e-6);
  }
  munmap(memory, bytes);
}
#endif

COVN_TEST(temperatures_at_the_ends) {
  const Case c = random_case(20, 500, 5.0, 21);
  for (double temperature : {1e-6, 1e-3, 1e3, 1e6}) {
    for (Target target : available_targets()) {
      std::vector<double> sequence(20), log_z(20);
      std::vector<float> entropy(20);
      std::vector<int64_t> offsets(21);
      for (size_t i = 0; i <= 20; i++) offsets[i] = static_cast<int64_t>(i);
      LogitsRequest request;
      request.logits = c.logits.data();
      request.logit_count = c.logits.size();
      request.vocab = c.vocab;
      request.scoring.targets = c.targets.data();
      request.scoring.rows = 20;
      request.scoring.offsets = offsets;
      request.scoring.temperature = temperature;
      request.scoring.target = target;
      request.scoring.sequence = sequence.data();
      request.scoring.entropy = entropy.data();
      std::unique_ptr<ScoreJob> job;
      CHECK(make_score_job(std::move(request), job).ok());
      CHECK(run_inline(*job).ok());
      for (size_t row = 0; row < 20; row++) {
        const auto want = reference::score_row(c.logits.data() + row * c.vocab, c.vocab, c.targets[row], temperature);
        // Relative where the log-prob itself is large.
        CHECK_AT_MOST(std::fabs(sequence[row] - want.token), 1e-6 + 1e-15 * std::fabs(want.token));
        CHECK_AT_MOST(std::fabs(entropy[row] - want.entropy), 2e-6);
      }
    }
  }
}

COVN_TEST(subnormal_logits_are_ranked_as_they_are) {
  const Case c{{1e-40f, 2e-40f, 3e-40f, 0.0f}, {0}, 4};
  for (Target target : available_targets()) {
    ThreadPool pool(1);
    CHECK(score(c, {0, 1}, target, &pool, 1).rank[0] == 3);
  }
}

COVN_TEST(bad_requests_are_refused) {
  const Case c = random_case(4, 5, 1.0, 18);
  CHECK(score(c, {0, 5}, best_target(), nullptr, 0).status.code == Code::shape);
  CHECK(score(c, {1, 4}, best_target(), nullptr, 0).status.code == Code::range);
  CHECK(score(c, {0, 3, 2, 4}, best_target(), nullptr, 0).status.code == Code::range);
  Case bad = c;
  bad.logits.pop_back();
  CHECK(score(bad, {0, 4}, best_target(), nullptr, 0).status.code == Code::shape);
  for (int32_t target : {5, -2, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    bad = c;
    bad.targets[3] = target;
    CHECK(score(bad, {0, 4}, best_target(), nullptr, 0).status.code == Code::range);
  }
  for (Target target : kTargets) {
    if (!target_support(target).available) CHECK(score(c, {0, 4}, target, nullptr, 0).status.code == Code::device);
  }
}

COVN_TEST(sums_of_tokens_are_those_of_the_job) {
  const Case c = random_case(5000, 7, 2.0, 19);
  const std::vector<int64_t> offsets{0, 1, 1, 3000, 5000};
  const Result r = score(c, offsets, best_target(), nullptr, 0);
  std::vector<double> tokens;
  for (size_t row = 0; row < 5000; row++) {
    tokens.push_back(score({{c.logits.begin() + row * 7, c.logits.begin() + (row + 1) * 7}, {c.targets[row]}, 7},
                           {0, 1}, best_target(), nullptr, 0)
                         .sequence[0]);
  }
  std::vector<double> sums(4);
  CHECK(sum_tokens(tokens.data(), tokens.size(), offsets, sums.data()).ok());
  CHECK(same_bits(sums, r.sequence));
}

int main() { return run_all(); }
