#include <string>

#include "cuda/runtime.hpp"
#include "test/cuda/gpu_check/check.hpp"
#ifdef COVN_CUDA_EMULATED
#include "cuda/emulator/control.hpp"
#endif

namespace covn::gpu_check {

std::pair<size_t, size_t> device_memory() {
  size_t free = 0, total = 0;
  if (cudaMemGetInfo(&free, &total) != cudaSuccess) return {0, 0};
  return {free, total};
}

#ifdef COVN_CUDA_EMULATED

DeviceUse device_use() {
  const auto usage = cuda::emulator::usage();
  return {usage.device_bytes, usage.pinned_bytes, usage.streams};
}
std::vector<std::string> device_findings() { return cuda::emulator::take_findings(); }

std::string describe_device(const cuda::DeviceInfo&) {
  return "emulated: no device, its kernels run on this processor";
}

Hog::Hog(size_t left) { cuda::emulator::set_memory(left); }
Hog::~Hog() { cuda::emulator::set_memory(size_t{1} << 30); }

#else

DeviceUse device_use() {
  // What jobs hold of the pool that they allocate from.
  cudaMemPool_t pool = nullptr;
  unsigned long long used = 0;
  int device = 0;
  if (cudaGetDevice(&device) != cudaSuccess || cudaDeviceGetDefaultMemPool(&pool, device) != cudaSuccess ||
      cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &used) != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
  }
  return {static_cast<size_t>(used), 0, 0};
}
std::vector<std::string> device_findings() { return {}; }

std::string describe_device(const cuda::DeviceInfo& info) {
  int multiprocessors = 0;
  static_cast<void>(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  const auto version = [](int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  };
  return info.name + ", compute capability " + std::to_string(info.major) + "." + std::to_string(info.minor) + ", " +
         std::to_string(multiprocessors) + " multiprocessors, " + std::to_string(info.memory >> 20) +
         " MiB; the driver runs CUDA " + version(info.driver) + ", built with " + version(info.runtime);
}

Hog::Hog(size_t left) {
  size_t block = device_memory().first;
  while (block >= size_t{1} << 20) {
    const size_t free = device_memory().first;
    if (free <= left + (size_t{2} << 20)) return;
    block = block < free - left ? block : free - left;
    void* memory = nullptr;
    if (cudaMalloc(&memory, block) == cudaSuccess) {
      blocks_.push_back(memory);
    } else {
      static_cast<void>(cudaGetLastError());
      block /= 2;
    }
  }
  ok_ = device_memory().first <= 2 * left;
}
Hog::~Hog() {
  for (void* memory : blocks_) static_cast<void>(cudaFree(memory));
}

#endif

}  // namespace covn::gpu_check
