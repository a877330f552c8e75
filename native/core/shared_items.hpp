// Work that the chunks of a job do together before they go on by themselves.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

namespace covn {

// Numbered items that any number of threads take in turn.
class SharedItems {
 public:
  // Takes items until none is left and returns when all of them are done; every thread passes the same count and item.
  // Nobody waits longer than one item takes. `item` must not throw: the others would wait for ever.
  template <class Item>
  void run(size_t count, const Item& item) {
    static_assert(noexcept(item(size_t{0})));
    std::unique_lock lock(mutex_);
    while (next_ < count) {
      const size_t mine = next_++;
      lock.unlock();
      item(mine);
      lock.lock();
      if (++done_ == count) all_done_.notify_all();
    }
    all_done_.wait(lock, [&] { return done_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_done_;
  size_t next_ = 0;
  size_t done_ = 0;
};

}  // namespace covn
