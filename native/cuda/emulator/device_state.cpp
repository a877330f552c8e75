#include "cuda/emulator/device_state.hpp"

#include <cfenv>
#include <cstdio>
#include <thread>
#include <utility>

#include "cuda/emulator/block.hpp"
#include "cuda/emulator/control.hpp"

namespace covn::cuda::emulator {

// Never destroyed: static destructors may still free memory.
Device& device() {
  static Device& it = *new Device;
  return it;
}

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
  const Queue::Work work = std::move(queue.work.front());
  queue.work.pop_front();
  // What else a lost device was still to do does not happen.
  if (device().lost == cudaSuccess || work.frees) work.run();
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

void enqueue(Queue* queue, std::function<void()> work, bool frees, const void* host) {
  queue->work.push_back({std::move(work), frees, host});
  run_ahead();
}

void drain_all() {
  for (Queue* queue : device().queues) drain(*queue);
}

namespace {

void run_kernel(const Grid& grid, const std::function<void()>& body) {
  std::string finding;
  // A thread of its own, whose static variables are the shared memory of its kernels.
  std::thread([&] {
    std::fesetenv(FE_DFL_ENV);  // the pool flushes denormals in its threads, a device does not
    finding = run_grid(grid, device().seed, body);
  }).join();
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
