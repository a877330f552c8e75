// scorePair on the emulated device, against long double; and its job as that of the CPU in all that is not a number.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "covn/cuda.hpp"
#include "cuda/emulator/control.hpp"
#include "test/cuda/pair_cases.hpp"
#include "test/pool.hpp"

using namespace covn;
using namespace covn::test;

COVN_TEST(agrees_with_long_double) {
  for (DType dtype : kDTypes) {
    for (const double deviation : {0.1, 1.0, 2.0, 5.0, 30.0}) {
      const double bound = deviation > 5.0 ? 2e-6 : 1e-6;
      double worst = 0.0;
      for (const size_t vocab : {1, 2, 7, 33, 511, 513, 1000, 4096, 4097, 9001, 32001}) {
        const size_t rows = vocab > 4000 ? 3 : 20;
        for (const bool alike : {false, true}) {
          worst = std::fmax(worst, check(random_pair(dtype, rows, vocab, deviation, 10 * vocab, alike), bound));
        }
        if (deviation != 5.0) continue;
        for (const double temperature : {0.6, 2.5}) {
          check(with(random_pair(dtype, rows, vocab, deviation, vocab), temperature), temperature < 1 ? 2e-6 : 1e-6);
        }
        if (dtype == DType::f32) check(random_pair(dtype, rows, vocab, deviation, vocab, false, 1000.0), 1e-6);
      }
      std::printf("    %s, deviation %g: KL error at most %.1e\n", name(dtype), deviation, worst);
    }
  }
  CHECK(cuda::emulator::take_findings().empty());
}

// Two tokens share nearly all, with log ratios of opposite signs and a hundred nats: what floats are too coarse for.
COVN_TEST(heavy_terms_are_precise) {
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {40, 700, 5000}) {
      PairCase c = random_pair(dtype, 40, vocab, 1.0, vocab);
      Random random(vocab);
      for (size_t row = 0; row < 40; row++) {
        for (size_t k = 0; k < 2 + row % 4; k++) {
          const size_t at = row * vocab + random.bits() % vocab;
          c.reference.set(at, static_cast<float>(50.0 + random.uniform()));
          c.model.set(at, static_cast<float>(50.0 + 40.0 * random.normal()));
        }
      }
      check(c, 2e-6);
    }
  }
}

COVN_TEST(equal_logits_are_at_distance_0_exactly) {
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {1, 2, 33, 1000, 9001}) {
      for (const double temperature : {1e-6, 0.7, 1.0, 1e6}) {
        PairCase c = random_pair(dtype, 4, vocab, 10.0, vocab);
        c.reference.set(vocab / 2, -kInfinity);
        if (vocab == 1) c.reference.set(0, 1.0f);
        c.model = c.reference;
        c.reference.targets = {static_cast<int32_t>(vocab - 1), 0, 0, 0};
        const PairOut out = score_pair(with(c, temperature));
        CHECK(out.status.ok());
        for (size_t row = 0; row < 4; row++) {
          CHECK(out.kl[row] == 0.0 && out.hellinger[row] == 0.0);
          CHECK(out.log_ratio[row] == 0.0 || (vocab == 2 && row == 0));
        }
      }
    }
  }
}

COVN_TEST(constant_rows) {
  for (const double gap : {0.1, 6.18758142491, 19.372811579765}) {
    for (const double level : {-2.433697435009839, 0.5207990516872261, 17.3}) {
      PairCase c = random_pair(DType::f32, 1, 20000, 1.0, 1);
      for (size_t i = 0; i < 20000; i++) {
        c.reference.set(i, static_cast<float>(level));
        c.model.set(i, static_cast<float>(level + gap));
      }
      const PairOut out = score_pair(c);
      CHECK_AT_MOST(out.kl[0], 1e-6);
      CHECK_AT_MOST(std::fabs(out.log_ratio[0]), 1e-6);
      CHECK_AT_MOST(out.hellinger[0], 1e-6);
    }
  }
}

COVN_TEST(infinite_and_very_low_logits) {
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {5, 100, 5000}) {
      const PairCase plain = random_pair(dtype, 1, vocab, 1.0, vocab);
      PairCase c = plain;
      c.reference.targets = {0};
      c.reference.set(vocab - 1, -kInfinity);  // 0 log 0
      check(c, 1e-6);
      c.model.set(vocab - 1, -kInfinity);  // excluded by both
      check(c, 1e-6);
      c.reference.set(vocab - 1, dtype == DType::f16 ? -6e4f : -1e5f);  // however small the share
      CHECK(score_pair(c).kl[0] == kInfinity);
      check(c, 1e-6);
      // One of the largest excluded by the model; then all but one, one of which it keeps.
      c = plain;
      c.reference.set(vocab / 2, 9.0f);
      c.model.set(vocab / 2, -kInfinity);
      check(c, 1e-6);
      for (size_t i = 0; i < vocab; i++) c.reference.set(i, i == vocab - 1 ? 3.0f : -kInfinity);
      c.model.set(vocab - 1, -kInfinity);
      c.model.set(vocab / 2, 1.0f);
      c.reference.targets = {static_cast<int32_t>(vocab - 1)};
      const PairOut out = score_pair(c);
      CHECK(out.kl[0] == kInfinity && out.hellinger[0] == 1.0 && out.log_ratio[0] == kInfinity);
      c.reference.targets = {1};
      c.model.set(1, -kInfinity);
      CHECK(std::isnan(score_pair(c).log_ratio[0]));
    }
  }
  for (const float low : {-1e4f, -1e10f, -1e26f, -1e30f, -3.4028235e38f}) {
    PairCase c = random_pair(DType::f32, 1, 6000, 1.0, 1);
    for (size_t i = 0; i < 6000; i++) c.reference.set(i, 0.0f), c.model.set(i, 0.1f);
    c.reference.set(4999, 8.0f), c.model.set(4999, 8.0f);
    c.reference.set(300, -5.0f), c.model.set(300, low);
    c.reference.targets = {5};
    const PairOut out = score_pair(c);
    const reference::Pair want = exact(c, 0);
    CHECK_AT_MOST(std::fabs(out.kl[0] - want.kl), 1e-6L + 2e-6L * want.kl);
    CHECK_AT_MOST(std::fabs(out.hellinger[0] - want.hellinger), 1e-6);
    CHECK_AT_MOST(std::fabs(out.log_ratio[0] - want.log_ratio), 1e-6);
  }
}

// Parts of a row of which one model, or neither, has anything.
COVN_TEST(masked_rows_agree_with_long_double) {
  for (const size_t vocab : {70, 5000, 20000}) {
    for (const size_t kept : {1, 3, 50}) {
      Random random(vocab + kept);
      PairCase c = random_pair(DType::f32, 1, vocab, 1.0, 1);
      for (size_t i = 0; i < vocab; i++) {
        const bool masked = kept == 50 ? i < vocab / 2 : i % kept != kept / 2 || kept == 1;
        const float a = masked && i % 7 ? -kInfinity : static_cast<float>(4.0 * random.normal());
        float b = masked && i % 14 ? -kInfinity : static_cast<float>(a == -kInfinity ? 1.0 : a + random.normal());
        if (a > -kInfinity && b == -kInfinity) b = -50.0f;
        c.reference.set(i, a);
        c.model.set(i, b);
      }
      c.reference.targets = {0};
      check(c, 1e-6);
      std::swap(c.reference.values, c.model.values);
      std::swap(c.reference.logits, c.model.logits);
      CHECK(std::isinf(score_pair(c).kl[0]) == std::isinf(exact(c, 0).kl));
    }
  }
}

COVN_TEST(the_same_bits_in_any_batch_memory_and_order) {
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {101, 9003}) {
      PairCase c = random_pair(dtype, 24, vocab, 5.0, 10);
      c.model.set(3 * vocab + 50, -kInfinity);
      const PairOut alone = score_pair(c);
      c.reference.targets[2] = c.reference.targets[17] = c.reference.targets[23] = -1;
      const std::vector<int64_t> offsets{0, 3, 3, 20, 24};
      const PairOut want = score_pair(c, cuda::make_pair_job, offsets);
      CHECK(want.status.ok() && want.token_kl[5] == alone.token_kl[5] && std::isnan(want.token_kl[2]));
      for (const size_t slot :
           {size_t{1} << 22, 10 * vocab * c.reference.size(), 2 * vocab * c.reference.size() + 300, size_t{20000}}) {
        for (const uint64_t seed : {0, 1, 3}) {
          const DeviceMemory memory(slot);
          cuda::emulator::set_seed(seed);
          cuda::emulator::reset();
          CHECK(score_pair(c, cuda::make_pair_job, offsets) == want);
          const auto usage = cuda::emulator::usage();
          CHECK(usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0 && usage.events == 0);
        }
      }
      // One row, wherever in memory it begins.
      for (const size_t row : {1, 3}) {
        PairCase one = c;
        const auto cut = [&](Case& x) {
          x.values = {x.values.begin() + static_cast<ptrdiff_t>(row * vocab),
                      x.values.begin() + static_cast<ptrdiff_t>((row + 1) * vocab)};
          x.logits = {x.logits.begin() + static_cast<ptrdiff_t>(row * vocab * x.size()),
                      x.logits.begin() + static_cast<ptrdiff_t>((row + 1) * vocab * x.size())};
          x.targets = {x.targets[row]};
        };
        cut(one.reference);
        cut(one.model);
        const PairOut out = score_pair(one);
        CHECK(out.kl[0] == alone.kl[row] && out.hellinger[0] == alone.hellinger[row] &&
              out.log_ratio[0] == alone.log_ratio[row]);
      }
    }
  }
  cuda::emulator::set_seed(0);
  CHECK(cuda::emulator::take_findings().empty() && cuda::emulator::unpinned_copies() == 0);
}

COVN_TEST(what_is_no_number_is_as_on_the_cpu) {
  const auto equal = [](const PairCase& c, bool propagate) {
    const std::vector<int64_t> offsets{0, 4, 8, 12};
    const PairOut want = score_pair(c, covn::make_pair_job, offsets, propagate);
    const PairOut out = score_pair(c, cuda::make_pair_job, offsets, propagate);
    CHECK(out.status.code == want.status.code && out.status.message == want.status.message);
    CHECK(out.non_finite_rows == want.non_finite_rows);
    if (!out.status.ok()) return;
    for (size_t row = 0; row < 12; row++) {
      CHECK(std::isnan(out.token_kl[row]) == std::isnan(want.token_kl[row]));
      CHECK(std::isnan(out.token_hellinger[row]) == std::isnan(want.token_hellinger[row]));
      CHECK(!(std::fabs(out.token_kl[row] - want.token_kl[row]) > 2e-6));
    }
    for (size_t i = 0; i < 3; i++) CHECK(std::isnan(out.kl[i]) == std::isnan(want.kl[i]));
  };
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {5, 700, 9000}) {
      for (const bool model : {false, true}) {
        for (const float bad : {std::nanf(""), -std::nanf(""), kInfinity}) {
          if (vocab == 9000 && bad < 0.0f) continue;
          PairCase c = random_pair(dtype, 12, vocab, 1.0, 13);
          Case& worse = model ? c.model : c.reference;
          worse.set(9 * vocab + vocab - 1, bad);
          worse.set(5 * vocab + vocab / 2, bad);
          c.reference.targets[2] = -1;
          worse.set(2 * vocab, bad);  // not read
          for (const size_t slot : {size_t{1} << 22, size_t{20000}}) {
            const DeviceMemory memory(slot);
            equal(c, false);
            equal(c, true);
          }
        }
        PairCase c = random_pair(dtype, 12, vocab, 1.0, 14);
        for (size_t i = 0; i < vocab; i++) (model ? c.model : c.reference).set(3 * vocab + i, -kInfinity);
        (model ? c.reference : c.model).set(3 * vocab, std::nanf(""));  // both are wrong
        equal(c, true);
        equal(c, false);
        c.reference.targets[8] = static_cast<int32_t>(vocab);
        equal(c, false);
        equal(c, true);
        c.reference.targets[1] = -2;
        equal(c, false);
      }
    }
  }
}

COVN_TEST(requests_are_refused_as_on_the_cpu) {
  const auto equal = [](const PairCase& c, std::vector<int64_t> offsets) {
    const Status want = score_pair(c, covn::make_pair_job, offsets).status;
    const Status status = score_pair(c, cuda::make_pair_job, offsets).status;
    CHECK(!want.ok() && status.code == want.code && status.message == want.message);
  };
  const PairCase c = random_pair(DType::f32, 4, 5, 1.0, 15);
  equal(c, {0, 5});
  equal(c, {0, 3, 2, 4});
  PairCase bad = c;
  bad.model.values.pop_back();
  equal(bad, {0, 4});
  equal(with(c, 0.0), {0, 4});
  bad = c;
  bad.reference.targets[3] = 5;
  equal(bad, {0, 4});
  CHECK(score_pair(random_pair(DType::f16, 0, 3, 1.0, 1), cuda::make_pair_job, {0, 0}).kl[0] == 0.0);
}

COVN_TEST(every_call_of_the_runtime_may_fail) {
  const PairCase c = random_pair(DType::bf16, 6, 5000, 1.0, 16);
  for (const size_t slot : {size_t{50000}, size_t{18000}}) {
    const DeviceMemory memory(slot);
    cuda::emulator::reset();
    const PairOut want = score_pair(c);
    const uint64_t before = cuda::emulator::calls();
    CHECK(score_pair(c) == want);
    const uint64_t calls = cuda::emulator::calls() - before;
    CHECK(calls > 20);
    for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
      for (uint64_t call = 0; call < calls; call++) {
        cuda::emulator::fail_after(call, error);
        const PairOut out = score_pair(c);
        CHECK(out.status.ok()
                  ? out == want
                  : out.status.code == (error == cudaErrorMemoryAllocation ? Code::out_of_memory : Code::device));
        CHECK(cuda::emulator::take_findings().empty());
        cuda::emulator::reset();
        const auto usage = cuda::emulator::usage();
        CHECK(usage.streams == 0 && usage.device_bytes == 0 && usage.pinned_bytes == 0);
      }
    }
  }
}

COVN_TEST(a_cancelled_job_gives_its_memory_back) {
  const DeviceMemory memory(40000);
  const PairCase c = random_pair(DType::f32, 100, 1000, 1.0, 17);
  std::vector<int64_t> offsets;
  for (int64_t i = 0; i <= 100; i++) offsets.push_back(i);
  PairOut out;
  std::unique_ptr<ScoreJob> job;
  CHECK(cuda::make_pair_job(request_of(c, offsets, false, out), job).ok());
  CHECK(job->chunk_count() > 10 && job->thread_limit() == 1);
  for (int i = 0; i < 5; i++) CHECK(job->run_one_chunk());
  job->cancel();
  CHECK(job->settle().code == Code::cancelled);
  job.reset();
  const auto usage = cuda::emulator::usage();
  CHECK(usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0);
  ThreadPool pool(3);
  CHECK(cuda::make_pair_job(request_of(c, offsets, false, out), job).ok());
  CHECK(run_on_pool(pool, std::shared_ptr<ScoreJob>(std::move(job)), 3).ok() && out == score_pair(c));
}

int main() { return run_all(); }
