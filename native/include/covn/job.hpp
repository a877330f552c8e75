// Work that is cut into chunks which any number of threads may run in any order, with a result that does not depend on
// either. A job knows nothing of who runs it: the thread pool, or the calling thread for small synchronous calls.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <limits>
#include <mutex>

#include "covn/status.hpp"

namespace covn {

class Job {
 public:
  Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  virtual size_t chunk_count() const = 0;
  // How many threads have something to do at the same time: more would wait for one another.
  virtual size_t thread_limit() const { return chunk_count(); }

  // Asks every chunk to stop soon; chunks look at `cancelled()` every few thousand elements.
  void cancel() {
    cancelled_.store(true, std::memory_order_relaxed);
    on_cancel();
  }
  bool cancelled() const { return cancelled_.load(std::memory_order_relaxed); }

  // Called from a worker thread with the fraction of chunks done (below 1), at most once every 50 ms. Set before the
  // job starts.
  std::function<void(double)> on_progress;

  // Takes chunks until none is left, or the job is cancelled or has failed. Safe to call from several threads at once.
  void run_chunks();
  // Takes one chunk; false when there was none to take.
  bool run_one_chunk();
  // After the last run_chunks has returned: merges what needs merging and gives the outcome.
  Status settle();
  // Whether settling gives back what takes long to: not on a thread that must not wait. Asked while no chunk is running.
  virtual bool settles_slowly() const { return false; }

 protected:
  virtual void run_chunk(size_t chunk) = 0;
  // Runs once, on one thread, after every chunk has succeeded.
  virtual Status merge() { return {}; }
  // Tells those who cannot look at `cancelled()`. From any thread, at any time, and more than once.
  virtual void on_cancel() {}
  // Runs instead where one has failed or the job was cancelled, and after a merge that fails.
  virtual void abandon() {}
  // Records a failure at `place` (an order among failures, such as a row). The lowest place wins, so that the error is
  // the same whatever the thread count; chunks after a failed one are not started.
  void fail(size_t chunk, size_t place, Status status);

 private:
  Status outcome();
  void report_progress();

  std::atomic<bool> cancelled_{false};
  std::atomic<size_t> next_chunk_{0};
  std::atomic<size_t> done_chunks_{0};
  std::atomic<size_t> failed_chunk_{std::numeric_limits<size_t>::max()};
  std::atomic<int64_t> last_progress_ns_{0};
  std::mutex failure_mutex_;
  size_t failed_place_ = std::numeric_limits<size_t>::max();
  Status failure_;
};

// Runs the whole job on the calling thread.
Status run_inline(Job& job);

}  // namespace covn
