// Which kernel of scoreHidden a launch takes, and how.
#pragma once

#include <algorithm>
#include <type_traits>

#include "cuda/hidden_float.cuh"
#include "cuda/hidden_hopper.cuh"
#include "cuda/hidden_merge.cuh"
#include "cuda/hidden_plan.hpp"
#include "cuda/hidden_portable.cuh"
#include "cuda/status.hpp"

namespace covn::cuda {

// What of the device decides about launches.
struct HiddenDevice {
  HiddenKernel kernel;
  uint32_t multiprocessors;
};

inline Status find_hidden_device(HiddenKernel wanted, HiddenDevice& device) {
  int index = 0, major = 0, minor = 0, multiprocessors = 0;
  COVN_CUDA_TRY(cudaGetDevice(&index), "choosing a device");
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index), "asking what it is");
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index), "asking what it is");
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, index), "asking what it is");
  // Code for sm_90a runs on 9.0 alone.
  const bool hopper = major == 9 && minor == 0;
  device.kernel = wanted != HiddenKernel::automatic ? wanted : hopper ? HiddenKernel::hopper : HiddenKernel::portable;
  device.multiprocessors = static_cast<uint32_t>(multiprocessors);
  return {};
}

// Vocabulary entries of a tile.
template <class T>
constexpr uint32_t kTileEntries = std::is_same_v<T, float> ? FloatTile::kEntries : HopperTile::kEntries;
static_assert(PortableTile::kEntries == HopperTile::kEntries);

template <bool Diagonal, class T>
cudaError_t launch_hopper(const HiddenMatrix<T>& hidden, const HiddenMatrix<T>& weight, const HiddenTiles& t,
                          uint32_t units, uint32_t multiprocessors, cudaStream_t stream) {
  constexpr bool kBFloat16 = std::is_same_v<T, BFloat16>;
  TensorMap hidden_map, weight_map;
  cudaError_t error = make_tensor_map(hidden_map, hidden.data, hidden.pitch, hidden.rows, hidden.pitch * sizeof(T),
                                      kTileRows, kBFloat16);
  if (error != cudaSuccess) return error;
  error = make_tensor_map(weight_map, weight.data, weight.pitch, weight.rows, weight.pitch * sizeof(T),
                          HopperTile::kEntries, kBFloat16);
  if (error != cudaSuccess) return error;
  const auto steps = static_cast<uint32_t>((hidden.pitch + HopperTile::kDepth - 1) / HopperTile::kDepth);
  return launch(hidden_hopper<T, Diagonal>, dim3(std::min(units, multiprocessors)), dim3(HopperTile::kThreads),
                HopperTile::kSharedBytes, stream, hidden_map, weight_map, steps, t);
}

template <bool Diagonal, class T>
cudaError_t launch_tiles(const HiddenDevice& device, const HiddenMatrix<T>& hidden, const HiddenMatrix<T>& weight,
                         const HiddenTiles& t, cudaStream_t stream) {
  const uint32_t units = unit_count<Diagonal>(t, kTileEntries<T>);
  if constexpr (std::is_same_v<T, float>) {
    return launch(hidden_float<Diagonal>, dim3(units), dim3(FloatTile::kThreads), 0, stream, hidden, weight, t);
  } else if (device.kernel == HiddenKernel::hopper) {
    return launch_hopper<Diagonal>(hidden, weight, t, units, device.multiprocessors, stream);
  } else {
    return launch(hidden_portable<T, Diagonal>, dim3(units), dim3(PortableTile::kThreads), PortableTile::kSharedBytes,
                  stream, hidden, weight, t);
  }
}

// The logits of targets, whose weights lie in the rows of `weight`: t.diagonal [rows].
template <class T>
Status launch_diagonal(const HiddenDevice& device, const HiddenMatrix<T>& hidden, const HiddenMatrix<T>& weight,
                       const HiddenTiles& t, cudaStream_t stream) {
  return to_status(launch_tiles<true>(device, hidden, weight, t, stream), "starting a kernel");
}

// Adds a stripe's parts to totals [rows]; `first`: sets them.
template <class T>
Status launch_stripe(const HiddenDevice& device, const HiddenMatrix<T>& hidden, const HiddenMatrix<T>& weight,
                     const HiddenTiles& t, bool first, HiddenTotal* totals, cudaStream_t stream) {
  COVN_CUDA_TRY(launch_tiles<false>(device, hidden, weight, t, stream), "starting a kernel");
  const uint32_t tiles = (t.entries + kTileEntries<T> - 1) / kTileEntries<T>;
  constexpr uint32_t kRows = kMergeThreads / 32;
  const dim3 blocks((t.rows + kRows - 1) / kRows);
  return to_status(launch(first ? hidden_merge<true> : hidden_merge<false>, blocks, dim3(kMergeThreads), 0, stream,
                          static_cast<const HiddenPart*>(t.parts), tiles, t.rows, t.terms, totals),
                   "starting a kernel");
}

}  // namespace covn::cuda
