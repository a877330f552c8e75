// Kernels with one bug each, for those who claim to find such bugs: positive controls.
#include <cstdio>

#include "cuda/runtime.hpp"
#include "test/cuda/gpu_check/check.hpp"

namespace covn::gpu_check {
namespace {

constexpr unsigned kThreads = 64;

// The last thread writes past the end.
__global__ void write_out_of_bounds(int* out) { out[threadIdx.x + 1] = 1; }

// No barrier between the writes of one warp and the reads of the other.
__global__ void race_in_shared_memory(int* out) {
  __shared__ int values[kThreads];
  values[threadIdx.x] = static_cast<int>(threadIdx.x) + 1;
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

// Nobody wrote `in`.
__global__ void read_uninitialised(const int* in, int* out) { out[threadIdx.x] = in[threadIdx.x] + 1; }

// A quarter of the threads, half a warp, does not come, and is still running.
__global__ void divergent_barrier(int* out) {
  if (threadIdx.x < kThreads * 3 / 4) {
    __syncthreads();
  } else {
#ifdef __CUDA_ARCH__
    const long long begin = clock64();
    while (clock64() - begin < 2'000'000) {
    }
#endif
  }
  out[threadIdx.x] = 1;
}

}  // namespace

int run_planted(const std::string& bug) {
  int *in = nullptr, *out = nullptr;
  cudaStream_t stream = nullptr;
  cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (error == cudaSuccess) error = cudaMalloc(&in, kThreads * sizeof(int));
  if (error == cudaSuccess) error = cudaMalloc(&out, kThreads * sizeof(int));
  if (error != cudaSuccess) {
    std::printf("the control could not be set up: %s\n", cudaGetErrorString(error));
    return 2;
  }
  const dim3 grid(1), block(kThreads);
  if (bug == "memcheck") error = cuda::launch(write_out_of_bounds, grid, block, 0, stream, out);
  if (bug == "racecheck") error = cuda::launch(race_in_shared_memory, grid, block, 0, stream, out);
  if (bug == "initcheck") error = cuda::launch(read_uninitialised, grid, block, 0, stream, in, out);
  if (bug == "synccheck") error = cuda::launch(divergent_barrier, grid, block, 0, stream, out);
  if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
  static_cast<void>(cudaFree(in));
  static_cast<void>(cudaFree(out));
  static_cast<void>(cudaStreamDestroy(stream));
  const std::vector<std::string> findings = device_findings();
  for (const std::string& finding : findings) std::printf("found: %s\n", finding.c_str());
  if (error != cudaSuccess) std::printf("the device says: %s\n", cudaGetErrorString(error));
#ifdef COVN_CUDA_EMULATED
  if (findings.empty()) {
    std::printf("the emulator does not look for this\n");
    return 2;
  }
  std::printf("0 passed, 1 failed\n");
  return 1;
#else
  // What a tool has found is in its own exit status.
  std::printf("the kernel with the bug of %s ran\n", bug.c_str());
  return 0;
#endif
}

}  // namespace covn::gpu_check
