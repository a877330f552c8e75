#include "core/thread_pool.hpp"

#include <algorithm>

#include "core/denormals.hpp"

namespace covn {

namespace {

// As long as JavaScript takes from the end of a call to the next where it does little else.
constexpr std::chrono::microseconds kSoon{200};
// At a time: what watching takes is bounded, however many processors there are (and of a container's share of them).
constexpr size_t kMostWatching = 8;

}  // namespace

// A submitted job and the number of its tickets that have not come to an end.
struct ThreadPool::Run {
  std::shared_ptr<Job> job;
  std::function<void(Status)> settled;
  std::atomic<unsigned> open_tickets;
};

ThreadPool::ThreadPool(unsigned threads) {
  workers_.reserve(threads);
  try {
    for (unsigned i = 0; i < threads; i++) workers_.emplace_back([this] { work(); });
  } catch (...) {
    // The system gave fewer threads than asked for; one is enough to go on.
    if (workers_.empty()) throw;
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    queued_.store(1, std::memory_order_relaxed);
    submissions_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::submit(std::shared_ptr<Job> job, unsigned threads, std::function<void(Status)> settled) {
  const size_t limit = threads == 0 ? workers_.size() : std::min<size_t>(threads, workers_.size());
  const size_t tickets = std::max<size_t>(1, std::min({limit, job->chunk_count(), job->thread_limit()}));
  auto run = std::make_shared<Run>(std::move(job), std::move(settled), static_cast<unsigned>(tickets));
  bool enough;
  {
    std::lock_guard lock(mutex_);
    tickets_.insert(tickets_.end(), tickets, run);
    queued_.store(tickets_.size(), std::memory_order_relaxed);
    submissions_.fetch_add(1, std::memory_order_release);
    enough = tickets_.size() <= watching_;
  }
  if (!enough) wake_.notify_all();
}

void ThreadPool::cancel(Job& job) {
  job.cancel();
  std::shared_ptr<Run> run;
  unsigned waiting = 0;
  {
    std::lock_guard lock(mutex_);
    // The next worker that is free ends what this thread must not wait for.
    const auto own = [&](const std::shared_ptr<Run>& ticket) { return ticket->job.get() == &job; };
    if (const auto first = std::find_if(tickets_.begin(), tickets_.end(), own);
        first != tickets_.end() && job.settles_slowly()) {
      std::stable_partition(tickets_.begin(), tickets_.end(), own);
      return;
    }
    std::erase_if(tickets_, [&](const std::shared_ptr<Run>& ticket) {
      if (ticket->job.get() != &job) return false;
      run = ticket;
      waiting++;
      return true;
    });
    queued_.store(tickets_.size(), std::memory_order_relaxed);
  }
  if (waiting > 0) end_tickets(*run, waiting);
}

void ThreadPool::end_tickets(Run& run, unsigned count) {
  // The last to end sees all that the others wrote (acquire-release).
  if (run.open_tickets.fetch_sub(count, std::memory_order_acq_rel) == count) run.settled(run.job->settle());
}

void ThreadPool::watch(Clock::time_point until, std::unique_lock<std::mutex>& lock) {
  while (tickets_.empty() && !stopping_ && Clock::now() < until) {
    const unsigned seen = submissions_.load(std::memory_order_relaxed);
    watching_++;
    lock.unlock();
    do {
      std::this_thread::yield();
    } while (submissions_.load(std::memory_order_acquire) == seen && Clock::now() < until);
    lock.lock();
    watching_--;
  }
}

void ThreadPool::work() {
  const FlushDenormals flush;
  std::unique_lock lock(mutex_);
  bool soon = false;
  while (true) {
    if (tickets_.empty()) {
      const Clock::time_point idle_since = Clock::now();
      if (soon && watching_ < kMostWatching) watch(idle_since + kSoon, lock);
      wake_.wait(lock, [this] { return stopping_ || !tickets_.empty(); });
      soon = Clock::now() - idle_since < kSoon;
    }
    if (stopping_) return;
    std::shared_ptr<Run> run = std::move(tickets_.front());
    tickets_.pop_front();
    queued_.store(tickets_.size(), std::memory_order_relaxed);
    lock.unlock();
    bool more = run->job->run_one_chunk();
    while (more && queued_.load(std::memory_order_relaxed) == 0) more = run->job->run_one_chunk();
    if (!more) {
      end_tickets(*run, 1);
      run.reset();
    }
    lock.lock();
    if (more) tickets_.push_back(std::move(run));  // to the back: other jobs take their turn
  }
}

namespace {

std::mutex shared_pool_mutex;
unsigned shared_pool_users = 0;
// A plain pointer: process.exit() runs static destructors while workers may be in mid-job, and must not join them.
ThreadPool* shared_pool = nullptr;

}  // namespace

ThreadPool& ThreadPool::acquire() {
  std::lock_guard lock(shared_pool_mutex);
  if (shared_pool == nullptr) shared_pool = new ThreadPool(std::max(1u, std::thread::hardware_concurrency()));
  shared_pool_users++;
  return *shared_pool;
}

void ThreadPool::release() {
  std::lock_guard lock(shared_pool_mutex);
  if (--shared_pool_users > 0) return;
  delete shared_pool;
  shared_pool = nullptr;
}

}  // namespace covn
