#include "cuda/emulator/runtime_api.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "cuda/emulator/block.hpp"
#include "cuda/emulator/control.hpp"
#include "cuda/emulator/memory_map.hpp"

namespace covn::cuda::emulator {

// An event: how often it was recorded into a stream, and how often that was reached.
struct Mark {
  uint64_t recorded = 0, reached = 0;
  Queue* queue = nullptr;
  std::chrono::steady_clock::time_point time;
};

struct Queue {
  std::deque<std::function<void()>> work;
};

namespace {

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

// Never destroyed: static destructors may still free memory.
Device& device() {
  static Device& it = *new Device;
  return it;
}

thread_local cudaError_t last_error = cudaSuccess;

uint64_t next_random() {
  uint64_t& x = device().random;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return x >> 16;
}

bool loses_device(cudaError_t error) {
  return error == cudaErrorECCUncorrectable || (error >= cudaErrorIllegalAddress && error != cudaErrorUnknown);
}

void find(const std::string& what, cudaError_t error) {
  std::fprintf(stderr, "CUDA emulator: %s\n", what.c_str());
  device().findings.push_back(what);
  device().lost = error;
}

void check_guards() {
  if (std::string text = device().memory.damage("device"); !text.empty()) find(text, cudaErrorIllegalAddress);
  if (std::string text = device().pinned.damage("pinned"); !text.empty()) find(text, cudaErrorIllegalAddress);
}

void run_one(Queue& queue) {
  const std::function<void()> work = std::move(queue.work.front());
  queue.work.pop_front();
  // What a lost device was still to do does not happen.
  if (device().lost == cudaSuccess) work();
}

void drain(Queue& queue) {
  while (!queue.work.empty()) run_one(queue);
}

void drain_to(Mark& mark, uint64_t count) {
  while (mark.reached < count && mark.queue != nullptr && !mark.queue->work.empty()) run_one(*mark.queue);
}

// Now and then a device is ahead of who waits for it.
void run_ahead() {
  Device& d = device();
  if (d.seed < 2 || d.queues.empty()) return;
  while (next_random() % 3 != 0) {
    Queue& queue = *d.queues[next_random() % d.queues.size()];
    if (!queue.work.empty()) run_one(queue);
  }
}

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

void enqueue(Queue* queue, std::function<void()> work) {
  queue->work.push_back(std::move(work));
  run_ahead();
}

bool is_device(const void* memory, size_t bytes) { return device().memory.holds(memory, bytes); }
bool is_pinned(const void* memory, size_t bytes) { return device().pinned.holds(memory, bytes); }

// A range that begins in emulated memory has to lie in it, on the side that the kind says.
bool range_is_right(const void* memory, size_t bytes, bool on_device) {
  if (on_device) return is_device(memory, bytes);
  if (device().memory.near(memory)) return false;
  return !device().pinned.near(memory) || is_pinned(memory, bytes);
}

void run_kernel(const Grid& grid, const std::function<void()>& body) {
  std::string finding;
  // A thread of its own, whose static variables are the shared memory of its kernels.
  std::thread([&] { finding = run_grid(grid, device().seed, body); }).join();
  if (!finding.empty()) find(finding, cudaErrorLaunchFailure);
  check_guards();
}

}  // namespace

cudaError_t enqueue_grid(const void* kernel, dim3 blocks, dim3 threads, size_t shared_bytes, cudaStream_t stream,
                         std::function<void()> body) {
  COVN_CALL(call);
  constexpr size_t kMostShared = size_t{227} << 10;
  const size_t count = size_t{threads.x} * threads.y * threads.z;
  if (count == 0 || count > 1024 || threads.z > 64 || blocks.x == 0 || blocks.x > 0x7fffffffu || blocks.y == 0 ||
      blocks.y > 65535 || blocks.z == 0 || blocks.z > 65535) {
    return call.end(cudaErrorInvalidConfiguration);
  }
  if (shared_bytes > kMostShared) return call.end(cudaErrorInvalidValue);
  if (stream == nullptr) return call.end(cudaErrorInvalidResourceHandle);  // no work without an explicit stream
  const Grid grid{blocks, threads, shared_bytes, kernel};
  enqueue(stream, [grid, body = std::move(body)] { run_kernel(grid, body); });
  return call.end();
}

void set_seed(uint64_t seed) {
  std::lock_guard lock(device().mutex);
  device().set_seed(seed);
}
uint64_t seed() { return device().seed; }
void set_device_count(int count) { device().count = count; }
void set_memory(size_t bytes) { device().limit = bytes; }
void set_multiprocessors(int count) { device().multiprocessors = count; }

void fail_after(uint64_t calls, cudaError_t error) {
  std::lock_guard lock(device().mutex);
  device().failing_call = device().calls + calls + 1;
  device().failure = error;
}
uint64_t calls() { return device().calls; }

std::vector<std::string> take_findings() {
  std::lock_guard lock(device().mutex);
  return std::exchange(device().findings, {});
}
uint64_t unpinned_copies() { return device().unpinned_copies; }

Usage usage() {
  Device& d = device();
  std::lock_guard lock(d.mutex);
  return {d.memory.bytes(), d.memory.most_bytes(), d.pinned.bytes(), d.pinned.most_bytes(), d.queues.size(), d.events};
}

void reset() {
  Device& d = device();
  std::lock_guard lock(d.mutex);
  d.lost = d.failure = last_error = cudaSuccess;
  d.findings.clear();
  d.unpinned_copies = 0;
  d.memory.forget_most();
  d.pinned.forget_most();
}

}  // namespace covn::cuda::emulator

using namespace covn::cuda::emulator;

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }
cudaError_t cudaPeekAtLastError() { return last_error; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  COVN_CALL(call);
  *count = device().count;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* id) {
  COVN_CALL(call);
  *id = 0;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int id) {
  COVN_CALL(call);
  return call.end(id >= 0 && id < device().count ? cudaSuccess : cudaErrorInvalidDevice);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  COVN_CALL(call);
  *properties = {"emulator", device().limit, 9, 0, device().multiprocessors, 1 << 20};
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  COVN_CALL(call);
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount: *value = device().multiprocessors; break;
    case cudaDevAttrComputeCapabilityMajor: *value = 9; break;
    case cudaDevAttrComputeCapabilityMinor: *value = 0; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 227 << 10; break;
    case cudaDevAttrMemoryPoolsSupported: *value = 1; break;
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaRuntimeGetVersion(int* version) { return *version = 13000, cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  COVN_CALL(call);
  *total = device().limit;
  *free = *total - std::min(*total, device().memory.bytes());
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  COVN_CALL(call);
  for (Queue* queue : device().queues) drain(*queue);
  return call.end();
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = nullptr;
  COVN_CALL(call);
  if (bytes == 0) return cudaSuccess;
  *memory = device().memory.allocate(bytes, device().limit);
  return call.end(*memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
// Freeing works on a lost device too, so that nothing is left in a test that loses one.
cudaError_t cudaFree(void* memory) {
  Call call;
  for (Queue* queue : device().queues) drain(*queue);
  check_guards();
  if (memory != nullptr && !device().memory.free(memory)) return call.end(cudaErrorInvalidValue);
  return call.failed() ? call.error() : call.end();
}
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t) { return cudaMalloc(memory, bytes); }
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  Call call;
  if (memory == nullptr) return cudaSuccess;
  if (!device().memory.holds(memory, 0)) return call.end(cudaErrorInvalidValue);
  const auto free = [memory] {
    check_guards();
    device().memory.free(memory);
  };
  if (device().lost != cudaSuccess) {
    free();
  } else {
    enqueue(stream, free);
  }
  return call.failed() ? call.error() : call.end();
}
cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = nullptr;
  COVN_CALL(call);
  *memory = device().pinned.allocate(bytes, size_t{1} << 34);
  return call.end(*memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}
cudaError_t cudaFreeHost(void* memory) {
  Call call;
  for (Queue* queue : device().queues) drain(*queue);
  check_guards();
  if (memory != nullptr && !device().pinned.free(memory)) return call.end(cudaErrorInvalidValue);
  return call.failed() ? call.error() : call.end();
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  COVN_CALL(call);
  if (bytes == 0) return cudaSuccess;
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (kind == cudaMemcpyDefault) to_device = is_device(to, 0), from_device = is_device(from, 0);
  if (stream == nullptr || !range_is_right(to, bytes, to_device) || !range_is_right(from, bytes, from_device)) {
    return call.end(cudaErrorInvalidValue);
  }
  enqueue(stream, [=] {
    std::memcpy(to, from, bytes);
    check_guards();
  });
  if ((!to_device && !is_pinned(to, bytes)) || (!from_device && !is_pinned(from, bytes))) {
    device().unpinned_copies++;
    drain(*stream);
  }
  return call.end();
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  COVN_CALL(call);
  for (Queue* queue : device().queues) drain(*queue);
  if (device().lost == cudaSuccess) std::memcpy(to, from, bytes);
  check_guards();
  return call.end();
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  COVN_CALL(call);
  if (stream == nullptr || (bytes != 0 && !is_device(memory, bytes))) return call.end(cudaErrorInvalidValue);
  enqueue(stream, [=] { std::memset(memory, value, bytes); });
  return call.end();
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = nullptr;
  COVN_CALL(call);
  device().queues.push_back(*stream = new Queue);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  Call call;
  drain(*stream);
  std::erase(device().queues, stream);
  delete stream;
  return call.failed() ? call.error() : call.end();
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  COVN_CALL(call);
  drain(*stream);
  return call.end();
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
  COVN_CALL(call);
  if (stream->work.empty()) return cudaSuccess;
  run_one(*stream);
  return call.end(cudaErrorNotReady);
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  COVN_CALL(call);
  const uint64_t count = event->recorded;
  if (event->queue != stream) enqueue(stream, [event, count] { drain_to(*event, count); });
  return call.end();
}

// An event lives until the work that names it is done; the few that tests leave behind do not matter.
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = nullptr;
  COVN_CALL(call);
  *event = new Mark;
  device().events++;
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  Call call;
  for (Queue* queue : device().queues) drain(*queue);
  device().events--;
  delete event;
  return call.failed() ? call.error() : call.end();
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  COVN_CALL(call);
  if (stream == nullptr) return call.end(cudaErrorInvalidResourceHandle);
  drain_to(*event, event->recorded);
  event->queue = stream;
  event->recorded++;
  enqueue(stream, [event] {
    event->reached++;
    event->time = std::chrono::steady_clock::now();
  });
  return call.end();
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  COVN_CALL(call);
  drain_to(*event, event->recorded);
  return call.end();
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  COVN_CALL(call);
  if (event->reached == event->recorded) return cudaSuccess;
  run_one(*event->queue);
  return call.end(cudaErrorNotReady);
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  COVN_CALL(call);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - begin->time).count();
  return cudaSuccess;
}
