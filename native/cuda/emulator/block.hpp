// The threads of one emulated block: fibers, and the rendezvous at which they meet. What runs next is chosen from the
// seed, so that an order which a kernel relies on without saying so does not hold for every seed.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <type_traits>

#include "cuda/emulator/keywords.hpp"

namespace covn::cuda::emulator {

using Place = std::source_location;

struct Grid {
  dim3 blocks, threads;
  size_t shared_bytes = 0;
  const void* kernel = nullptr;  // tells which module's shared variables are to be poisoned
};

// Runs body() on every thread of the grid, block after block, on the calling thread; an empty string, or what went
// wrong. The caller sees to it that one grid runs at a time in the whole process.
std::string run_grid(const Grid& grid, uint64_t seed, const std::function<void()>& body);

// What follows is called by the threads of a running block.

// The block's dynamic shared memory, aligned to 1024 bytes.
void* dynamic_shared();
size_t dynamic_shared_bytes();
// Differs from block to block, and from grid to grid; never 0.
uint64_t block_serial();

// Lets other threads run: for loops that wait for what another thread writes.
void yield();
// Ends the grid with this finding.
[[noreturn]] void stop(const std::string& finding);

// A named barrier (bar.sync, bar.arrive): `threads` is the number of those who arrive or wait, 0 for the whole block.
struct BarrierResult {
  int any, all, count;  // over the predicates of those who waited
};
BarrierResult barrier_sync(unsigned id, unsigned threads, int predicate, Place place);
void barrier_arrive(unsigned id, unsigned threads, Place place);

// What the lanes of `mask` do together.
enum class WarpOperation : uint8_t {
  sync,
  shuffle,
  shuffle_up,
  shuffle_down,
  shuffle_xor,
  ballot,
  match,
  add,
  min,
  max,
  bit_and,
  bit_or,
  bit_xor,
  custom
};
uint64_t warp_collective(WarpOperation operation, unsigned mask, uint64_t value, int parameter, int width, Place place);

// A collective of the caller's own, for instructions of a whole warp: the last lane to arrive runs combine(values,
// present), where values[i] is what lane i passed, and then all go on.
using Combine = void (*)(void* const values[32], unsigned present);
void warp_custom(unsigned mask, void* value, Combine combine, Place place);

// Of the running thread.
unsigned thread_rank();  // in its block
unsigned lane_of_thread();

template <class T>
uint64_t to_word(T value) {
  static_assert(sizeof(T) == 8 || sizeof(T) == 4 || (std::is_integral_v<T> && sizeof(T) < 4));
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<uint64_t>(value);
  } else if constexpr (sizeof(T) == 4) {
    return std::bit_cast<uint32_t>(value);
  } else {
    return static_cast<uint64_t>(value);
  }
}
template <class T>
T from_word(uint64_t word) {
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<T>(word);
  } else if constexpr (sizeof(T) == 4) {
    return std::bit_cast<T>(static_cast<uint32_t>(word));
  } else {
    return static_cast<T>(word);
  }
}

}  // namespace covn::cuda::emulator
