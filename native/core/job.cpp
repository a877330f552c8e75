#include "covn/job.hpp"

#include <new>

namespace covn {

namespace {

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

constexpr int64_t kProgressIntervalNs = 50'000'000;

}  // namespace

bool Job::run_one_chunk() {
  if (cancelled()) return false;
  const size_t chunk = next_chunk_.fetch_add(1, std::memory_order_relaxed);
  // Chunks are handed out in order, so every chunk before a failed one has been started and will be finished: the
  // lowest failing place is always seen.
  if (chunk >= chunk_count() || chunk > failed_chunk_.load(std::memory_order_relaxed)) return false;
  try {
    run_chunk(chunk);
  } catch (const std::bad_alloc&) {
    fail(chunk, 0, {Code::out_of_memory, "Out of memory in a native job"});
  } catch (const std::exception& error) {
    fail(chunk, 0, {Code::internal, error.what()});
  }
  done_chunks_.fetch_add(1, std::memory_order_relaxed);
  report_progress();
  return true;
}

void Job::run_chunks() {
  while (run_one_chunk()) {
  }
}

Status Job::settle() {
  Status status = outcome();
  if (!status.ok()) abandon();
  return status;
}

Status Job::outcome() {
  if (cancelled()) return {Code::cancelled, "The job was cancelled"};
  {
    std::lock_guard lock(failure_mutex_);
    if (!failure_.ok()) return failure_;
  }
  try {
    Status status = merge();
    return cancelled() ? Status{Code::cancelled, "The job was cancelled"} : status;
  } catch (const std::bad_alloc&) {
    return {Code::out_of_memory, "Out of memory in a native job"};
  } catch (const std::exception& error) {
    return {Code::internal, error.what()};
  }
}

void Job::fail(size_t chunk, size_t place, Status status) {
  std::lock_guard lock(failure_mutex_);
  if (place < failed_place_ || failure_.ok()) {
    failed_place_ = place;
    failure_ = std::move(status);
  }
  size_t first = failed_chunk_.load(std::memory_order_relaxed);
  if (chunk < first) failed_chunk_.store(chunk, std::memory_order_relaxed);
}

void Job::report_progress() {
  if (!on_progress) return;
  const int64_t now = now_ns();
  int64_t last = last_progress_ns_.load(std::memory_order_relaxed);
  if (now - last < kProgressIntervalNs) return;
  // Only one of several threads that arrive together reports.
  if (!last_progress_ns_.compare_exchange_strong(last, now, std::memory_order_relaxed)) return;
  const size_t done = done_chunks_.load(std::memory_order_relaxed);
  if (done >= chunk_count()) return;  // the outcome says so
  try {
    on_progress(static_cast<double>(done) / static_cast<double>(chunk_count()));
  } catch (...) {
    // A report that could not be made is no failure of the job.
  }
}

Status run_inline(Job& job) {
  job.run_chunks();
  return job.settle();
}

}  // namespace covn
