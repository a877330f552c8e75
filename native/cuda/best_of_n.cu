#include "cuda/best_of_n.cuh"

#include <algorithm>

#include "cuda/status.hpp"

namespace covn::cuda {

namespace {

constexpr uint64_t kLeastPartSamples = 256, kMaxPartsOfPrompt = uint64_t{1} << 18;
constexpr uint64_t kMaxPartTokens = uint64_t{1} << 25;
constexpr uint64_t kBlocksAtOnce = kRolloutBlocks;  // of a multiprocessor, at most

template <bool kSparse, bool kFollow>
cudaError_t launch_parts(const RolloutTask& task, const RolloutDevice& device, cudaStream_t stream) {
  const size_t tables = size_t{2} * task.model.entries * sizeof(uint64_t);
  const bool shared = tables <= device.shared_bytes;
  constexpr size_t kReserved = 1024;  // of a block's shared memory
  const uint64_t fitting =
      shared ? std::max<uint64_t>(1, (device.shared_bytes + kReserved) / (tables + kReserved)) : kBlocksAtOnce;
  const auto multiprocessors = static_cast<uint64_t>(device.multiprocessors);
  // Few parts are spread over the device.
  const uint64_t warps =
      std::clamp<uint64_t>((task.parts.count + multiprocessors - 1) / multiprocessors, 1, kRolloutThreads / kWarpLanes);
  const uint64_t blocks =
      std::min((task.parts.count + warps - 1) / warps, multiprocessors * std::min(fitting, kBlocksAtOnce));
  return launch(shared ? roll_out_parts<kSparse, kFollow, true> : roll_out_parts<kSparse, kFollow, false>,
                static_cast<unsigned>(blocks), static_cast<unsigned>(warps) * kWarpLanes, shared ? tables : 0, stream,
                task);
}

}  // namespace

uint64_t rollout_part_samples(uint64_t samples, size_t max_length) {
  const uint64_t wanted = std::max(kLeastPartSamples, std::bit_ceil(samples) / kMaxPartsOfPrompt);
  // A part is not to take long, but to have work for all lanes of a warp.
  return std::min(samples, std::max<uint64_t>(kWarpLanes, std::min(wanted, kMaxPartTokens / max_length)));
}

Status find_rollout_device(RolloutDevice& device) {
  int id = 0, shared = 0;
  COVN_CUDA_TRY(cudaGetDevice(&id), "asking for the device");
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, id),
                "asking for its multiprocessors");
  COVN_CUDA_TRY(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, id),
                "asking for its shared memory");
  device.shared_bytes = static_cast<size_t>(shared);
  return {};
}

cudaError_t enqueue_rollouts(const RolloutTask& task, const RolloutDevice& device, cudaStream_t stream) {
  if (task.parts.count == 0) return cudaSuccess;
  if (task.model.sparse) {
    return task.model.follows ? launch_parts<true, true>(task, device, stream)
                              : launch_parts<true, false>(task, device, stream);
  }
  return task.model.follows ? launch_parts<false, true>(task, device, stream)
                            : launch_parts<false, false>(task, device, stream);
}

}  // namespace covn::cuda
