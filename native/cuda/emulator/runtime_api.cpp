#include "cuda/emulator/runtime_api.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "cuda/emulator/device_state.hpp"

namespace covn::cuda::emulator {

namespace {

bool is_device(const void* memory, size_t bytes) { return device().memory.holds(memory, bytes); }
bool is_pinned(const void* memory, size_t bytes) { return device().pinned.holds(memory, bytes); }

// A range that begins in emulated memory has to lie in it, on the side that the kind says.
bool range_is_right(const void* memory, size_t bytes, bool on_device) {
  if (on_device) return is_device(memory, bytes);
  if (device().memory.near(memory)) return false;
  return !device().pinned.near(memory) || is_pinned(memory, bytes);
}

// Whether a copy from or to pinned memory is still to be done, by a device that is not lost.
bool is_awaited(const void* memory) {
  bool awaited = false;
  for (const Queue* queue : device().queues) {
    for (const Queue::Work& work : queue->work) awaited = awaited || device().pinned.same(memory, work.host);
  }
  return awaited && device().lost == cudaSuccess;
}

}  // namespace

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
  drain_all();
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
  drain_all();
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
    enqueue(stream, free, true);
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
  // CUDA may wait here; nobody should count on it.
  if (is_awaited(memory)) find("pinned memory freed before a copy was done", cudaErrorInvalidValue);
  drain_all();
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
  const auto copy = [=] {
    std::memcpy(to, from, bytes);
    check_guards();
  };
  enqueue(stream, copy, false, is_pinned(to, bytes) ? to : is_pinned(from, bytes) ? from : nullptr);
  if ((!to_device && !is_pinned(to, bytes)) || (!from_device && !is_pinned(from, bytes))) {
    device().unpinned_copies++;
    drain(*stream);
  }
  return call.end();
}
cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind) {
  COVN_CALL(call);
  drain_all();
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
