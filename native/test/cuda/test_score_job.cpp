// The jobs of scoreLogits on the emulated device: as those of the CPU in all that is not a number, the same bits
// whatever the memory, and memory given back however they end.
#include <cmath>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "test/cuda/score_cases.hpp"
#include "test/pool.hpp"

using namespace covn;
using namespace covn::test;

COVN_TEST(the_same_bits_for_every_size_of_memory) {
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {100, 20011}) {
      Case c = random_case(dtype, 40, vocab, 5.0, 10);
      c.targets[3] = c.targets[17] = c.targets[39] = -1;
      const Result want = score(c, cuda::make_score_job, {0, 5, 5, 30, 40});
      CHECK(want.status.ok());
      // Rows at once: all, some, one, and pieces of one.
      for (const size_t slot : {size_t{1} << 22, 5 * vocab * c.size(), vocab * c.size() + 2000, size_t{12000}}) {
        for (const uint64_t seed : {0, 3, 4}) {
          const DeviceMemory memory(slot);
          cuda::emulator::set_seed(seed);
          cuda::emulator::reset();
          CHECK(same(score(c, cuda::make_score_job, {0, 5, 5, 30, 40}), want));
          const auto usage = cuda::emulator::usage();
          CHECK(usage.most_device_bytes <= 2 * slot + 2 * (20011 / 512 + 3) * 24 + 8192);
          CHECK(usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0 && usage.events == 0);
        }
      }
    }
  }
  cuda::emulator::set_seed(0);
  CHECK(cuda::emulator::take_findings().empty());
  CHECK(cuda::emulator::unpinned_copies() == 0);
}

COVN_TEST(what_is_no_number_is_as_on_the_cpu) {
  const auto equal = [](const Case& c, std::vector<int64_t> offsets, bool propagate) {
    const Result want = score(c, covn::make_score_job, offsets, propagate);
    const Result r = score(c, cuda::make_score_job, offsets, propagate);
    CHECK(r.status.code == want.status.code && r.status.message == want.status.message);
    CHECK(r.non_finite_rows == want.non_finite_rows);
    if (!r.status.ok()) return;
    for (size_t row = 0; row < c.targets.size(); row++) {
      CHECK(std::isnan(r.token[row]) == std::isnan(want.token[row]));
      CHECK(std::isnan(r.log_z[row]) == std::isnan(want.log_z[row]));
      CHECK(std::isnan(r.entropy[row]) == std::isnan(want.entropy[row]));
      CHECK(r.rank[row] == want.rank[row]);
      CHECK(!(std::fabs(r.token[row] - want.token[row]) > 2e-6));
    }
    for (size_t i = 0; i + 1 < offsets.size(); i++) CHECK(std::isnan(r.sequence[i]) == std::isnan(want.sequence[i]));
  };
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {5, 700, 9000}) {
      for (const float bad : {std::nanf(""), -std::nanf(""), kInfinity}) {
        for (const size_t column : {size_t{0}, vocab / 2, vocab - 1}) {
          if (vocab == 9000 && (bad < 0.0f || column != (bad > 0.0f ? vocab - 1 : vocab / 2))) continue;
          Case c = random_case(dtype, 12, vocab, 1.0, 13);
          c.set(9 * vocab + column, bad);
          c.set(5 * vocab + column, bad);
          c.targets[2] = -1;
          c.set(2 * vocab, bad);  // not read
          for (const size_t slot : {size_t{1} << 22, vocab * 6, size_t{6000}}) {
            const DeviceMemory memory(slot);
            equal(c, {0, 4, 8, 12}, false);
            equal(c, {0, 4, 8, 12}, true);
          }
        }
      }
      Case c = random_case(dtype, 12, vocab, 1.0, 14);
      for (size_t i = 0; i < vocab; i++) c.set(3 * vocab + i, -kInfinity);
      equal(c, {0, 12}, true);
      // A target out of range behind a row that is wrong, and before it.
      c.targets[8] = static_cast<int32_t>(vocab);
      for (const size_t slot : {size_t{1} << 22, vocab * 6, size_t{6000}}) {
        const DeviceMemory memory(slot);
        equal(c, {0, 12}, false);
        equal(c, {0, 12}, true);
        Case before = c;
        before.targets[1] = -2;
        equal(before, {0, 12}, false);
      }
    }
  }
  Case one{DType::f32, 1, {7.5f, -1e30f}, std::vector<unsigned char>(8), {0, 0}};
  one.set(0, 7.5f);
  one.set(1, -1e30f);
  const Result r = score(one);
  CHECK(r.status.ok() && r.sequence[0] == 0.0 && r.entropy[0] == 0.0f && r.rank[1] == 1);
}

COVN_TEST(requests_are_refused_as_on_the_cpu) {
  const auto equal = [](const Case& c, std::vector<int64_t> offsets) {
    const Status want = score(c, covn::make_score_job, offsets).status,
                 status = score(c, cuda::make_score_job, offsets).status;
    CHECK(!want.ok() && status.code == want.code && status.message == want.message);
  };
  const Case c = random_case(DType::f32, 4, 5, 1.0, 15);
  equal(c, {0, 5});
  equal(c, {1, 4});
  equal(c, {0, 3, 2, 4});
  Case bad = c;
  bad.values.pop_back();
  equal(bad, {0, 4});
  bad = c;
  bad.temperature = 0.0;
  equal(bad, {0, 4});
  bad = c;
  bad.targets[3] = 5;
  equal(bad, {0, 4});
  cuda::emulator::set_device_count(0);
  const Status status = score(c).status;
  CHECK(status.code == Code::device && status.message ==
                                           "Expected an available device for device but received cuda (no "
                                           "CUDA-capable device is detected)");
  cuda::emulator::set_device_count(1);
  const Case none{DType::f16, 3, {}, {}, {}};
  CHECK(score(none, cuda::make_score_job, {0, 0}).sequence[0] == 0.0);
}

COVN_TEST(every_call_of_the_runtime_may_fail) {
  const Case c = random_case(DType::bf16, 12, 5000, 1.0, 16);
  for (const size_t slot : {size_t{40000}, size_t{4000}}) {
    const DeviceMemory memory(slot);
    cuda::emulator::reset();
    const Result want = score(c);
    uint64_t before = cuda::emulator::calls();
    CHECK(same(score(c), want));
    const uint64_t calls = cuda::emulator::calls() - before;
    CHECK(calls > 30);
    for (const cudaError_t error : {cudaErrorMemoryAllocation, cudaErrorLaunchFailure}) {
      for (uint64_t call = 0; call < calls; call++) {
        cuda::emulator::fail_after(call, error);
        const Result r = score(c);
        // Freeing may fail without harm.
        CHECK(r.status.ok()
                  ? same(r, want)
                  : r.status.code == (error == cudaErrorMemoryAllocation ? Code::out_of_memory : Code::device));
        CHECK(cuda::emulator::take_findings().empty());
        cuda::emulator::reset();
        CHECK(same(score(c), want));
        const auto usage = cuda::emulator::usage();
        CHECK(usage.streams == 0 && usage.events == 0 && usage.device_bytes == 0 && usage.pinned_bytes == 0);
        cuda::emulator::reset();
      }
    }
  }
}

COVN_TEST(a_cancelled_job_gives_its_memory_back) {
  const DeviceMemory memory(20000);
  const Case c = random_case(DType::f32, 200, 1000, 1.0, 17);
  std::vector<double> sequence(200);
  LogitsRequest request;
  request.logits = c.logits.data();
  request.logit_count = c.values.size();
  request.vocab = c.vocab;
  request.scoring.targets = c.targets.data();
  request.scoring.rows = 200;
  for (int64_t i = 0; i <= 200; i++) request.scoring.offsets.push_back(i);
  request.scoring.sequence = sequence.data();
  std::unique_ptr<ScoreJob> job;
  CHECK(cuda::make_score_job(request, job).ok());
  CHECK(job->chunk_count() > 10 && job->thread_limit() == 1);
  for (int i = 0; i < 5; i++) CHECK(job->run_one_chunk());
  CHECK(cuda::emulator::usage().device_bytes > 0);
  job->cancel();
  CHECK(!job->run_one_chunk());
  // Before the job itself goes, which may be on a thread that must not wait.
  CHECK(job->settles_slowly() && job->settle().code == Code::cancelled && !job->settles_slowly());
  const auto usage = cuda::emulator::usage();
  CHECK(usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0);

  ThreadPool pool(3);
  CHECK(cuda::make_score_job(request, job).ok());
  CHECK(run_on_pool(pool, std::shared_ptr<ScoreJob>(std::move(job)), 3).ok());
  CHECK(same_bits(sequence, [&] {
    auto r = score(c).sequence;
    r.resize(200);
    return r;
  }()));
}

COVN_TEST(jobs_of_several_threads_share_the_device) {
  const DeviceMemory memory(60000);
  for (const uint64_t seed : {0, 9}) {
    cuda::emulator::set_seed(seed);
    Case cases[4];
    Result want[4], got[4];
    for (size_t i = 0; i < 4; i++) {
      cases[i] = random_case(kDTypes[i % 3], 30, 1000 + 700 * i, 5.0, 20 + i);
      want[i] = score(cases[i]);
    }
    std::vector<std::thread> threads;
    for (size_t i = 0; i < 4; i++) threads.emplace_back([&, i] { got[i] = score(cases[i]); });
    for (std::thread& thread : threads) thread.join();
    for (size_t i = 0; i < 4; i++) CHECK(got[i].status.ok() && same(got[i], want[i]));
    CHECK(cuda::emulator::usage().device_bytes == 0);
  }
  cuda::emulator::set_seed(0);
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
  request.scoring.sequence = sequence.data();
  std::unique_ptr<ScoreJob> job;
  CHECK(cuda::make_score_job(std::move(request), job).ok() && run_inline(*job).ok());
  for (size_t i = 0; i < 2; i++) {
    std::vector<float> row(vocab);
    for (size_t j = 0; j < vocab; j++) row[j] = to_float(logits[(rows - 2 + i) * vocab + j]);
    const auto want = reference::score_row(row.data(), vocab, static_cast<size_t>(targets[rows - 2 + i]), 1.0L);
    CHECK_AT_MOST(std::fabs(sequence[i] - want.token), 1e-6);
  }
  munmap(memory, bytes);
}
#endif

int main() { return run_all(); }
