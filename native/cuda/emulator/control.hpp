// What tests set and ask of the emulator. A program starts with the seed of the environment variable
// COVN_EMULATOR_SEED (0), one device, 1 GiB of memory and 4 multiprocessors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cuda/emulator/runtime_api.hpp"

namespace covn::cuda::emulator {

// 0: threads, blocks and streams in their own order, work as late as possible; 1: blocks backwards; others: any order.
void set_seed(uint64_t seed);
uint64_t seed();

void set_device_count(int count);
void set_memory(size_t bytes);
void set_multiprocessors(int count);

// The call of the runtime that comes after `calls` others fails with `error`, once, or from then on where the error is
// one that a device does not recover from. Launches count as calls.
void fail_after(uint64_t calls, cudaError_t error);
// Calls so far.
uint64_t calls();

// What went wrong in kernels and copies, which also fail with the runtime's errors; taking forgets it.
std::vector<std::string> take_findings();
// Copies between the device and memory that is not pinned, which wait for their stream as on a device.
uint64_t unpinned_copies();

struct Usage {
  size_t device_bytes, most_device_bytes, pinned_bytes, most_pinned_bytes;
  size_t streams, events;
};
Usage usage();

// As new: waits for nothing, frees nothing, forgets errors, findings, failures to come and the most that was in use.
void reset();

}  // namespace covn::cuda::emulator
