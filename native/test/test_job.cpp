// The thread pool and the life of a job.
#include <atomic>
#include <chrono>
#include <future>
#include <set>
#include <thread>
#include <vector>

#include "core/denormals.hpp"
#include "core/shared_items.hpp"
#include "core/thread_pool.hpp"
#include "test/check.hpp"

using namespace covn;
using namespace covn::test;

namespace {

class Counter : public Job {
 public:
  explicit Counter(size_t chunks) : seen(chunks), chunks_(chunks) {}
  size_t chunk_count() const override { return chunks_; }
  std::vector<std::atomic<int>> seen;
  std::function<void(size_t)> body;
  void fail_at(size_t chunk) { fail(chunk, chunk, {Code::range, std::to_string(chunk)}); }

 protected:
  void run_chunk(size_t chunk) override {
    seen[chunk]++;
    if (body) body(chunk);
  }

 private:
  size_t chunks_;
};

struct Waiting {
  std::promise<Status> promise;
  std::future<Status> future = promise.get_future();
};

std::shared_ptr<Waiting> submit(ThreadPool& pool, std::shared_ptr<Job> job, unsigned threads) {
  auto waiting = std::make_shared<Waiting>();
  pool.submit(std::move(job), threads, [waiting](Status status) { waiting->promise.set_value(std::move(status)); });
  return waiting;
}

}  // namespace

COVN_TEST(every_chunk_runs_once) {
  ThreadPool pool(4);
  for (size_t chunks : {0, 1, 2, 3, 1000}) {
    auto job = std::make_shared<Counter>(chunks);
    CHECK(submit(pool, job, 0)->future.get().ok());
    for (auto& count : job->seen) CHECK(count == 1);
  }
}

COVN_TEST(cancelling_stops_and_is_reported) {
  ThreadPool pool(2);
  auto job = std::make_shared<Counter>(100000);
  std::promise<void> started;
  std::atomic<bool> once{false};
  job->body = [&](size_t) {
    if (!once.exchange(true)) started.set_value();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  };
  auto waiting = submit(pool, job, 0);
  started.get_future().wait();
  job->cancel();
  CHECK(waiting->future.get().code == Code::cancelled);
  CHECK(job->seen.back() == 0);
}

COVN_TEST(the_lowest_failure_wins) {
  ThreadPool pool(4);
  for (int repeat = 0; repeat < 50; repeat++) {
    auto job = std::make_shared<Counter>(500);
    job->body = [&](size_t chunk) {
      if (chunk >= 40 && chunk % 3 == 1) job->fail_at(chunk);
    };
    const Status status = submit(pool, job, 0)->future.get();
    job->body = nullptr;
    CHECK(status.code == Code::range && status.message == "40");
  }
}

COVN_TEST(exceptions_become_statuses) {
  ThreadPool pool(2);
  auto job = std::make_shared<Counter>(10);
  job->body = [](size_t) { throw std::bad_alloc(); };
  CHECK(submit(pool, job, 0)->future.get().code == Code::out_of_memory);
  job = std::make_shared<Counter>(10);
  job->body = [](size_t) { throw std::runtime_error("broken"); };
  CHECK(submit(pool, job, 0)->future.get().code == Code::internal);
}

COVN_TEST(a_short_job_overtakes_a_long_one) {
  ThreadPool pool(1);
  std::atomic<size_t> done{0};
  auto slow = std::make_shared<Counter>(2000);
  slow->body = [&](size_t) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    done++;
  };
  auto waiting_slow = submit(pool, slow, 0);
  auto quick = std::make_shared<Counter>(5);
  CHECK(submit(pool, quick, 0)->future.get().ok());
  CHECK(done < 2000);
  slow->cancel();
  CHECK(waiting_slow->future.get().code == Code::cancelled);
}

COVN_TEST(at_most_the_threads_asked_for) {
  ThreadPool pool(4);
  auto job = std::make_shared<Counter>(400);
  std::atomic<int> running{0}, most{0};
  job->body = [&](size_t) {
    const int now = ++running;
    int seen = most;
    while (now > seen && !most.compare_exchange_weak(seen, now)) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(50));
    running--;
  };
  CHECK(submit(pool, job, 2)->future.get().ok());
  CHECK(most <= 2);
}

COVN_TEST(progress_rises_to_at_most_one) {
  ThreadPool pool(2);
  auto job = std::make_shared<Counter>(400);
  std::mutex mutex;
  std::vector<double> reports;
  job->on_progress = [&](double fraction) {
    std::lock_guard lock(mutex);
    reports.push_back(fraction);
  };
  job->body = [](size_t) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
  CHECK(submit(pool, job, 0)->future.get().ok());
  CHECK(!reports.empty());
  for (double fraction : reports) CHECK(fraction > 0 && fraction <= 1);
}

COVN_TEST(the_shared_pool_comes_and_goes) {
  for (int repeat = 0; repeat < 20; repeat++) {
    ThreadPool& pool = ThreadPool::acquire();
    CHECK(&ThreadPool::acquire() == &pool);
    ThreadPool::release();
    CHECK(submit(pool, std::make_shared<Counter>(10), 0)->future.get().ok());
    ThreadPool::release();
  }
}

COVN_TEST(jobs_that_come_soon_and_late_all_run) {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (unsigned caller = 0; caller < 3; caller++) {
    callers.emplace_back([&, caller] {
      for (unsigned i = 0; i < 300; i++) {
        auto job = std::make_shared<Counter>(1 + (i + caller) % 7);
        auto waiting = submit(pool, job, i % 3);
        if (waiting->future.wait_for(std::chrono::seconds(60)) != std::future_status::ready) std::abort();
        if (!waiting->future.get().ok()) wrong++;
        for (auto& count : job->seen) wrong += count == 1 ? 0 : 1;
        // While workers watch, as they stop, and when they sleep.
        const unsigned pause = (i / 20 + caller) % 4;
        if (pause > 0) std::this_thread::sleep_for(std::chrono::microseconds(pause * pause * 60));
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong == 0);
}

COVN_TEST(a_pool_ends_while_its_workers_watch) {
  for (int repeat = 0; repeat < 50; repeat++) {
    ThreadPool pool(3);
    for (int i = 0; i < 3; i++) CHECK(submit(pool, std::make_shared<Counter>(6), 0)->future.get().ok());
  }
}

COVN_TEST(a_pool_ends_in_the_middle_of_a_job) {
  auto job = std::make_shared<Counter>(100000);
  std::atomic<size_t> done{0};
  std::promise<void> started;
  job->body = [&](size_t) {
    if (done++ == 0) started.set_value();
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  };
  {
    ThreadPool pool(2);
    submit(pool, job, 0);
    started.get_future().wait();
  }
  CHECK(done < 10000);
}

COVN_TEST(denormals_are_flushed_and_restored) {
#if defined(__SSE2__)
  volatile float tiny = 1e-38f, half = 0.5f;
  CHECK(tiny * half != 0.0f);
  {
    const FlushDenormals flush;
    CHECK(tiny * half == 0.0f);
    volatile float subnormal = 1e-39f, zero = 0.0f;
    CHECK(subnormal > zero);
  }
  CHECK(tiny * half != 0.0f);
#endif
}

COVN_TEST(a_cancelled_job_settles_though_others_keep_the_workers_busy) {
  ThreadPool pool(1);
  std::promise<void> started, release;
  auto busy = std::make_shared<Counter>(1);
  busy->body = [&](size_t) {
    started.set_value();
    release.get_future().wait();
  };
  auto waiting_busy = submit(pool, busy, 0);
  started.get_future().wait();
  auto queued = std::make_shared<Counter>(10);
  auto waiting = submit(pool, queued, 0);
  pool.cancel(*queued);
  CHECK(waiting->future.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
  CHECK(waiting->future.get().code == Code::cancelled);
  CHECK(queued->seen[0] == 0);
  release.set_value();
  CHECK(waiting_busy->future.get().ok());
  pool.cancel(*busy);  // after the end: nothing to do
}

COVN_TEST(what_settles_slowly_does_so_on_a_worker) {
  struct Holder : Counter {
    using Counter::Counter;
    bool settles_slowly() const override { return seen[0] > 0; }
    void abandon() override { abandoned = std::this_thread::get_id(); }
    std::thread::id abandoned;
  };
  ThreadPool pool(1);
  std::promise<void> started, release;
  auto busy = std::make_shared<Counter>(1);
  busy->body = [&](size_t) {
    started.set_value();
    release.get_future().wait();
  };
  const auto cancelled = std::make_shared<Holder>(10), untouched = std::make_shared<Holder>(10);
  std::shared_ptr<Waiting> waiting_busy;
  // While the first chunk runs, others are put before the second.
  cancelled->body = [&](size_t) {
    if (waiting_busy == nullptr) waiting_busy = submit(pool, busy, 0);
  };
  const auto waiting = submit(pool, cancelled, 0);
  started.get_future().wait();
  const auto waiting_untouched = submit(pool, untouched, 0);
  pool.cancel(*cancelled);
  pool.cancel(*untouched);
  CHECK(waiting->future.wait_for(std::chrono::seconds(0)) == std::future_status::timeout);
  CHECK(waiting_untouched->future.wait_for(std::chrono::seconds(0)) == std::future_status::ready);
  CHECK(untouched->abandoned == std::this_thread::get_id());
  release.set_value();
  CHECK(waiting->future.get().code == Code::cancelled && waiting_busy->future.get().ok());
  CHECK(cancelled->abandoned != std::this_thread::get_id() && cancelled->abandoned != std::thread::id());
  CHECK(cancelled->seen[1] == 0);
}

COVN_TEST(shared_items_are_done_once_and_before_anybody_goes_on) {
  for (size_t count : {0, 1, 2, 100}) {
    SharedItems items;
    std::vector<std::atomic<int>> done(count);
    std::vector<std::thread> threads;
    std::atomic<int> early{0};
    for (int t = 0; t < 4; t++) {
      threads.emplace_back([&] {
        items.run(count, [&](size_t i) noexcept { done[i]++; });
        for (const auto& each : done) early += each != 1;
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(early == 0);
  }
}

int main() { return run_all(); }
