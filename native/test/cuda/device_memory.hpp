// The emulated device's memory: how much there is, and whether all of it came back.
#pragma once

#include "cuda/emulator/control.hpp"

namespace covn::test {

// Bytes of the emulated device such that a slot gets about this many.
struct DeviceMemory {
  explicit DeviceMemory(size_t slot_bytes) { cuda::emulator::set_memory(slot_bytes * 8); }
  ~DeviceMemory() { cuda::emulator::set_memory(size_t{1} << 30); }
};

// Neither memory nor streams, nor anything that the emulator found wrong.
inline bool nothing_left() {
  const auto usage = cuda::emulator::usage();
  return usage.device_bytes == 0 && usage.pinned_bytes == 0 && usage.streams == 0 &&
         cuda::emulator::take_findings().empty();
}

}  // namespace covn::test
