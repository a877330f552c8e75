// The machine's limits: that the jobs do all of the work that they say, not how fast.
#include <limits>

#include "covn/machine.hpp"
#include "test/check.hpp"
#include "test/pool.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

COVN_TEST(read_kernels_read_every_value) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t n : {1, 7, 16, 127, 128, 300, 1025}) {
      std::vector<float> values(n, 1.0f);
      values[0] = std::numeric_limits<float>::quiet_NaN();
      for (size_t at = 0; at < n; at++) {
        const float before = values[at];
        values[at] = 2.0f;
        CHECK(table->read_values[0](values.data(), n) == 2.0f);
        CHECK(table->read_values[1](values.data(), n) == 2.0f);
        values[at] = before;
      }
    }
  }
}

COVN_TEST(multiply_adds_reach_their_fixed_point) {
  for (const auto& [name, table] : runnable_tables()) {
    uint64_t operations = 0;
    // Each lane tends to a / (1 - f) = 2; 200 steps of factor 1/2 reach it exactly.
    const float sum = table->multiply_add(200, 0.5f, 1.0f, operations);
    CHECK(operations == 200 * static_cast<uint64_t>(sum));  // 2 operations a lane, and 2 in each lane
    CHECK(sum >= 2.0f * 16);
  }
}

COVN_TEST(jobs_do_their_work_on_every_target) {
  ThreadPool pool(2);
  const std::vector<float> values((size_t{9} << 18) + 3, 1.0f);
  for (Target target : kTargets) {
    if (!target_support(target).available) continue;
    for (bool prefetch : {false, true}) {
      std::unique_ptr<MachineJob> job;
      CHECK(make_read_job(values.data(), values.size(), prefetch, target, job).ok());
      const std::shared_ptr<MachineJob> shared = std::move(job);
      CHECK(run_on_pool(pool, shared, 2).ok());
      CHECK(shared->chunk_count() == 3 && shared->work() == 4.0 * static_cast<double>(values.size()));
    }
    std::unique_ptr<MachineJob> job;
    CHECK(make_fma_job(3, target, job).ok());
    const std::shared_ptr<MachineJob> shared = std::move(job);
    CHECK(run_on_pool(pool, shared, 2).ok());
    CHECK(shared->work() > 0.0);
  }
}

COVN_TEST(requests_without_work_are_refused) {
  std::unique_ptr<MachineJob> job;
  CHECK(make_read_job(nullptr, 0, false, Target::scalar, job).code == Code::shape);
  CHECK(make_fma_job(0, Target::scalar, job).code == Code::range);
  CHECK(make_fma_job(kMaxFmaChunks + 1, Target::scalar, job).code == Code::range);
  for (Target target : kTargets) {
    if (!target_support(target).available) CHECK(make_fma_job(1, target, job).code == Code::device);
  }
  CHECK(!job);
}

int main() { return run_all(); }
