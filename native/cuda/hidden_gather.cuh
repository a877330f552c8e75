// The weights of rows' targets, side by side, for rows whose data lie on the device: the job's host gathers them
// itself.
#pragma once

#include <cstdint>

#include "cuda/runtime.hpp"

namespace covn::cuda {

constexpr unsigned kGatherThreads = 256;

struct alignas(16) GatheredBytes {
  uint32_t words[4];
};

// A block a row, of `packs` times 16 bytes; bias may be null.
static __global__ void __launch_bounds__(kGatherThreads)
    gather_targets(const GatheredBytes* weight, uint32_t packs, const float* bias, const int32_t* targets,
                   GatheredBytes* target_weight, float* target_bias) {
  const auto target = static_cast<uint32_t>(targets[blockIdx.x]);
  const GatheredBytes* from = weight + uint64_t{target} * packs;
  GatheredBytes* to = target_weight + uint64_t{blockIdx.x} * packs;
  for (uint32_t i = threadIdx.x; i < packs; i += kGatherThreads) to[i] = from[i];
  if (bias != nullptr && threadIdx.x == 0) target_bias[blockIdx.x] = bias[target];
}

}  // namespace covn::cuda
