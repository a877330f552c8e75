// The worker threads that run jobs, shared by every Node environment of the process (a pool for each worker_thread
// would oversubscribe the machine), and apart from libuv's four, which belong to the file system and DNS.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "covn/job.hpp"

namespace covn {

class ThreadPool {
 public:
  explicit ThreadPool(unsigned threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  unsigned thread_count() const { return static_cast<unsigned>(workers_.size()); }

  // Runs the job on at most `threads` workers (0: all) and then, on one of them, calls `settled` with its outcome. Jobs
  // in flight take turns chunk by chunk, so a long one does not hold up a short one.
  void submit(std::shared_ptr<Job> job, unsigned threads, std::function<void(Status)> settled);

  // Cancels a job that was submitted. What of it still waits for a worker is taken out of the queue, so that it settles
  // as soon as no chunk of it is running (at once, on this thread, where none is), whatever other jobs keep the workers
  // busy. A job that settles slowly does so on the next worker that is free.
  void cancel(Job& job);

  // The process-wide pool. It lives from the first acquire to the last release and not longer: a worker_thread that
  // was the only user of the addon unloads its code on exit, and no thread may then be running in it.
  static ThreadPool& acquire();
  static void release();

 private:
  using Clock = std::chrono::steady_clock;
  struct Run;
  void work();
  // Waits for a ticket without going to sleep, of which the system takes tens of microseconds to wake a thread. A
  // worker does so whose last wait was not long: callers that await one short call after another get theirs sooner, for
  // the processor time between them. It yields its processor to any thread that can use it.
  void watch(Clock::time_point until, std::unique_lock<std::mutex>& lock);
  // Ends some of a run's tickets; the last one to end settles it.
  static void end_tickets(Run& run, unsigned count);

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Run>> tickets_;
  bool stopping_ = false;
  size_t watching_ = 0;                   // workers
  std::atomic<size_t> queued_{0};         // tickets, as busy workers see it
  std::atomic<unsigned> submissions_{0};  // what watching workers look at; counts the end as well
  std::vector<std::thread> workers_;
};

}  // namespace covn
