#include "cuda/sample_logits.hpp"

#include <algorithm>
#include <cmath>

#include "cuda/sample_draw.cuh"
#include "cuda/sample_filter.cuh"

namespace covn::cuda {

namespace {

constexpr unsigned kBlockWarps = 8;
unsigned blocks_of(size_t warps) { return static_cast<unsigned>((warps + kBlockWarps - 1) / kBlockWarps); }

// Shared memory that a block has on every device.
constexpr size_t kMostShared = size_t{96} << 10;
constexpr size_t kDrawsOfBlock = 8192;

// Sums of rows at temperature 1, where log-probs are wanted of rows that are drawn from at another one.
template <class T>
cudaError_t enqueue_unit_sums(const SampleRows<T>& in, const SampleWorkspace& workspace, DrawnRow* rows,
                              cudaStream_t stream) {
  const cudaError_t error = enqueue_row_parts(in.logits, in.rows, in.vocab, 1.0, workspace.parts, stream);
  if (error != cudaSuccess) return error;
  return launch(finish_unit_rows, blocks_of(in.rows), kBlockWarps * kWarpLanes, 0, stream, in.rows,
                row_cut<T>(in.vocab).parts, workspace.parts, row_finish<T>(1.0), rows);
}

template <class T>
cudaError_t enqueue_filter(const SampleRows<T>& in, const SampleFilter& filter, const DrawConstants& constants,
                           double* sums, DrawnRow* rows, cudaStream_t stream) {
  const RowCut cut = row_cut<T>(in.vocab);
  const FilterTask task{static_cast<uint32_t>(std::min<size_t>(filter.top_k, 0xffffffffu)), filter.top_p,
                        std::log(filter.min_p)};
  cudaError_t error =
      launch(find_least_kept<T>, static_cast<unsigned>(in.rows), kFilterThreads, 0, stream, in, task, constants, rows);
  if (error != cudaSuccess) return error;
  error = launch(sum_kept_parts<T>, blocks_of(in.rows * cut.parts), kBlockWarps * kWarpLanes, 0, stream, in, cut, rows,
                 constants, sums);
  if (error != cudaSuccess) return error;
  return launch(finish_kept_rows, blocks_of(in.rows), kBlockWarps * kWarpLanes, 0, stream, in.rows, cut.parts,
                constants, sums, rows);
}

template <class T>
cudaError_t enqueue_draws(const DrawTask<T>& task, cudaStream_t stream) {
  const size_t shared = task.cut.parts * part_groups(task.cut.length) * sizeof(double);
  // A draw alone costs about as much as the sums of a part.
  if (task.count <= task.cut.parts || shared > kMostShared) {
    return launch(draw_few<T>, blocks_of(task.in.rows * task.count), kDrawWarps * kWarpLanes, 0, stream, task);
  }
  const size_t blocks = (task.count + kDrawsOfBlock - 1) / kDrawsOfBlock;
  const size_t warps = std::max(task.cut.parts, (task.count + kWarpLanes - 1) / kWarpLanes);
  return launch(draw_many<T>, static_cast<unsigned>(task.in.rows * blocks),
                static_cast<unsigned>(std::min<size_t>(warps, kDrawWarps)) * kWarpLanes, shared, stream, task,
                std::min(kDrawsOfBlock, task.count));
}

}  // namespace

template <class T>
cudaError_t enqueue_sample(const SampleRows<T>& in, const SampleDraws& draws, const SampleWorkspace& workspace,
                           const SampleOutputs& out, cudaStream_t stream) {
  if (in.rows == 0 || draws.count == 0) return cudaSuccess;
  const double temperature = draws.filter.temperature;
  const RowCut cut = row_cut<T>(in.vocab);
  const DrawConstants constants = draw_constants(temperature);
  cudaError_t error = cudaSuccess;
  if (temperature != 1.0 && out.log_prob != nullptr) error = enqueue_unit_sums(in, workspace, out.rows, stream);
  if (error != cudaSuccess) return error;
  error = enqueue_row_parts(in.logits, in.rows, in.vocab, temperature, workspace.parts, stream);
  if (error != cudaSuccess) return error;
  error = launch(finish_drawn_rows, blocks_of(in.rows), kBlockWarps * kWarpLanes, 0, stream, in.rows, cut.parts,
                 workspace.parts, row_finish<T>(temperature), constants.octaves, temperature == 1.0, workspace.prefix,
                 out.rows);
  if (error != cudaSuccess) return error;
  if (!draws.filter.keeps_all()) {
    error = enqueue_filter(in, draws.filter, constants, workspace.prefix, out.rows, stream);
    if (error != cudaSuccess) return error;
  }
  return enqueue_draws<T>({in, cut, draws.seed, draws.first, draws.count, constants, workspace.prefix, out}, stream);
}

template cudaError_t enqueue_sample(const SampleRows<float>&, const SampleDraws&, const SampleWorkspace&,
                                    const SampleOutputs&, cudaStream_t);
template cudaError_t enqueue_sample(const SampleRows<Float16>&, const SampleDraws&, const SampleWorkspace&,
                                    const SampleOutputs&, cudaStream_t);
template cudaError_t enqueue_sample(const SampleRows<BFloat16>&, const SampleDraws&, const SampleWorkspace&,
                                    const SampleOutputs&, cudaStream_t);

}  // namespace covn::cuda
