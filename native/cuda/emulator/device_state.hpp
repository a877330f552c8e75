// The state of the emulated device, and what its calls share.
#pragma once

#include <chrono>
#include <cstdlib>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/emulator/memory_map.hpp"
#include "cuda/emulator/runtime_api.hpp"

namespace covn::cuda::emulator {

// An event: how often it was recorded into a stream, and how often that was reached.
struct Mark {
  uint64_t recorded = 0, reached = 0;
  Queue* queue = nullptr;
  std::chrono::steady_clock::time_point time;
};

struct Queue {
  struct Work {
    std::function<void()> run;
    bool frees = false;          // happens on a lost device too
    const void* host = nullptr;  // of a copy: where in pinned memory
  };
  std::deque<Work> work;
};

struct Device {
  std::mutex mutex;
  MemoryMap memory, pinned;
  std::vector<Queue*> queues;
  std::vector<std::string> findings;
  size_t limit = size_t{1} << 30, events = 0;
  int count = 1, multiprocessors = 4;
  uint64_t seed = 0, random = 1, calls = 0, failing_call = 0, unpinned_copies = 0;
  cudaError_t failure = cudaSuccess;  // of the failing call
  cudaError_t lost = cudaSuccess;     // what every call says once the device is
  Device() {
    const char* text = std::getenv("COVN_EMULATOR_SEED");
    set_seed(text == nullptr ? 0 : std::strtoull(text, nullptr, 10));
  }
  void set_seed(uint64_t value) {
    seed = value;
    random = value * 0x9E3779B97F4A7C15u | 1;
  }
};

Device& device();
inline thread_local cudaError_t last_error = cudaSuccess;

bool loses_device(cudaError_t error);
// Notes what went wrong; the device is lost by it.
void find(const std::string& what, cudaError_t error);
void check_guards();

void enqueue(Queue* queue, std::function<void()> work, bool frees = false, const void* host = nullptr);
void run_one(Queue& queue);
void drain(Queue& queue);
// Until the event has been reached so often.
void drain_to(Mark& mark, uint64_t count);
void drain_all();

// Every call: holds the device, and says what fails it.
class Call {
 public:
  Call() : lock_(device().mutex) {
    Device& d = device();
    d.calls++;
    if (d.failure != cudaSuccess && d.calls == d.failing_call) {
      error_ = d.failure;
      d.failure = cudaSuccess;
      if (loses_device(error_)) d.lost = error_;
    }
    if (d.lost != cudaSuccess) error_ = d.lost;
    if (d.count == 0) error_ = cudaErrorNoDevice;
    if (error_ != cudaSuccess) last_error = error_;
  }
  bool failed() const { return error_ != cudaSuccess; }
  cudaError_t error() const { return error_; }
  // The outcome after what the call did.
  cudaError_t end(cudaError_t error = cudaSuccess) {
    if (error == cudaSuccess) error = device().lost;
    if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
    return error;
  }

 private:
  std::lock_guard<std::mutex> lock_;
  cudaError_t error_ = cudaSuccess;
};

#define COVN_CALL(call) \
  Call call;            \
  if (call.failed()) return call.error()

}  // namespace covn::cuda::emulator
