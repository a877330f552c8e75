// What the checks of arrays past 2^32 elements share. The arrays lie on the device and are made there, since jobs hand
// kernels slices that are smaller.
#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "cuda/device/host_device.hpp"
#include "cuda/memory.hpp"
#include "cuda/status.hpp"
#include "cuda/stream.hpp"
#include "test/cuda/gpu_check/check.hpp"

namespace covn::gpu_check {

// 64 bits that host and device make alike.
COVN_HD inline uint64_t mixed_bits(uint64_t index, uint64_t seed) {
  uint64_t z = (index + seed) * 0x9E3779B97F4A7C15u;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  return z ^ z >> 27;
}

struct Outcome {
  const char* name;
  double figure, bound;
};

// A check under the name "past 2^32: `what`". Where there is no such device, or too little is to be done, it runs too,
// with little data and under another name, so that what is skipped is known to work.
struct RegisterLarge {
  using Run = Status (*)(const Scale&, std::vector<Outcome>&);

  RegisterLarge(const std::string& what, size_t gibibytes, Run run) {
    const std::string full = "past 2^32: " + what;
    RegisterCheck(full, [=](const Scale& scale, Report& report) {
      if (scale.tiny()) {
        report.skip(full, scale.emulated ? "the emulator is too slow" : "left to the full run");
      } else if (device_memory().first >> 30 < gibibytes) {
        return report.skip(full, "needs " + std::to_string(gibibytes) + " GiB of free device memory");
      }
      const std::string name = scale.tiny() ? "where it lies: " + what : full;
      std::vector<Outcome> outcomes;
      const Status status = run(scale, outcomes);
      if (!status.ok()) report.holds(name, status.message, "no error", false);
      for (const Outcome& outcome : outcomes) report.at_most(name + ", " + outcome.name, outcome.figure, outcome.bound);
    });
  }
};

// Kernels that fill an array go through its places in steps of the grid, of any size.
constexpr unsigned kFillThreads = 256;
inline dim3 fill_grid(const Scale& scale) { return dim3(scale.tiny() ? 8 : 4096); }
#define COVN_EACH_PLACE(i, count) \
  for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < (count); i += size_t{gridDim.x} * blockDim.x)

}  // namespace covn::gpu_check
