// How much memory the device has free: asking may wait for the driver, which the thread that makes a job should not.
#pragma once

#include <atomic>
#include <cstddef>

#include "cuda/runtime.hpp"
#include "cuda/status.hpp"

namespace covn::cuda {

// What make_open_job found, until a job that is made has planned with it; 0: nothing.
inline std::atomic<size_t> noted_free_memory{0};

inline Status ask_free_memory(size_t& bytes) {
  size_t total = 0;
  return to_status(cudaMemGetInfo(&bytes, &total), "asking for free memory");
}

// As noted, or else asked for now.
inline Status free_memory(size_t& bytes) {
  bytes = noted_free_memory.exchange(0, std::memory_order_relaxed);
  return bytes > 0 ? Status() : ask_free_memory(bytes);
}

}  // namespace covn::cuda
