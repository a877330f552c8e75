// Running a job on a pool and waiting for its outcome.
#pragma once

#include <future>
#include <memory>

#include "core/thread_pool.hpp"

namespace covn::test {

// threads = 0: all of the pool's.
inline Status run_on_pool(ThreadPool& pool, std::shared_ptr<Job> job, unsigned threads) {
  std::promise<Status> done;
  pool.submit(std::move(job), threads, [&done](Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

}  // namespace covn::test
