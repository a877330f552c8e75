// What a scoreHidden takes from the device, so that tests can make it small. None of it changes a bit of the results,
// except `kernel`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace covn::cuda {

enum class HiddenKernel : uint8_t { automatic, portable, hopper };

struct HiddenOptions {
  HiddenKernel kernel = HiddenKernel::automatic;
  size_t batch_rows = 8192;                // of a launch at most
  size_t stripe_tiles = 128;               // of a launch at most, a multiple of 32
  size_t panel_batches = 8;                // batches that meet streamed weights together at most
  size_t device_bytes = 0;                 // to be used at most; 0: half of what is free
  size_t staged_bytes = size_t{16} << 20;  // of each of two pinned buffers
};

}  // namespace covn::cuda
