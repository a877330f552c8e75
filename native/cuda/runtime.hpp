// CUDA, or its emulator where COVN_CUDA_EMULATED is defined. Kernels are launched by launch() alone, and reach their
// dynamic shared memory by COVN_DYNAMIC_SHARED alone: the two things of CUDA C++ that only its own compiler can parse.
#pragma once

#ifdef COVN_CUDA_EMULATED
#include "cuda/emulator/cuda_emulator.hpp"
#else
#include <cuda_runtime.h>
#endif

#include <cstddef>
#include <mutex>
#include <tuple>
#include <type_traits>
#include <utility>

namespace covn::cuda {

// Dynamic shared memory beyond this has to be asked for, kernel by kernel.
constexpr size_t kPlainSharedBytes = size_t{48} << 10;

#ifdef COVN_CUDA_EMULATED

// A device function that is seldom called.
#define COVN_APART __attribute__((noinline))
// Inside a kernel: `type* name`, aligned to 1024 bytes.
#define COVN_DYNAMIC_SHARED(type, name) type* const name = static_cast<type*>(::covn::cuda::emulator::dynamic_shared())

template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   Arguments&&... arguments) {
  std::tuple<std::remove_cv_t<Parameters>...> values(std::forward<Arguments>(arguments)...);
  return emulator::enqueue_grid(reinterpret_cast<const void*>(kernel), grid, block, shared_bytes, stream,
                                [kernel, values] { std::apply(kernel, values); });
}

#else

#define COVN_APART __noinline__
#define COVN_DYNAMIC_SHARED(type, name)                                        \
  extern __shared__ __align__(1024) unsigned char covn_dynamic_shared_bytes[]; \
  type* const name = reinterpret_cast<type*>(covn_dynamic_shared_bytes)

// A kernel's limit of dynamic shared memory is the process's: nobody may set another between setting and launching.
inline std::mutex shared_limit_mutex;

// Returns what the launch itself says; what happens while the kernel runs is said by whoever waits for the stream.
template <class... Parameters, class... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   Arguments&&... arguments) {
  std::unique_lock<std::mutex> lock;
  if (shared_bytes > kPlainSharedBytes) {
    lock = std::unique_lock(shared_limit_mutex);
    const cudaError_t error =
        cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  std::tuple<std::remove_cv_t<Parameters>...> values(std::forward<Arguments>(arguments)...);
  return std::apply(
      [&](auto&... value) {
        void* pointers[] = {const_cast<void*>(static_cast<const void*>(&value))..., nullptr};
        return cudaLaunchKernel(reinterpret_cast<const void*>(kernel), grid, block, pointers, shared_bytes, stream);
      },
      values);
}

#endif

}  // namespace covn::cuda
