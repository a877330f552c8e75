// covn's kernels for gpu.py, by plain C functions. Each enqueues on a stream of the caller's, through the launch
// functions of native/cuda, what one call computes from data that lies on the device; pointers are the device's unless
// their names begin with `host`. A function that can fail returns null, or what went wrong, valid until the thread's
// next failure.
#include <cstdint>
#include <future>
#include <string>
#include <vector>

#include "core/thread_pool.hpp"
#include "covn/cuda.hpp"
#include "cuda/best_of_n.hpp"
#include "cuda/element_type.hpp"
#include "cuda/pairwise.hpp"
#include "cuda/device/draw_terms.hpp"
#include "cuda/sample_logits.hpp"
#include "cuda/score_hidden.hpp"
#include "cuda/score_logits.hpp"
#include "cuda/score_pair.hpp"
#include "cuda/status.hpp"
#include "cuda/tail_counts.hpp"
#include "model/tabular_machine.hpp"

#define COVN_BENCH extern "C" __attribute__((visibility("default")))

using namespace covn;
using namespace covn::cuda;

namespace {

const char* said(const Status& status) {
  static std::string text;
  if (status.ok()) return nullptr;
  text = status.message;
  return text.c_str();
}
const char* said(cudaError_t error) { return said(to_status(error, "starting a kernel")); }

size_t row_parts(int dtype, size_t rows, size_t vocab) {
  return rows * with_type(static_cast<DType>(dtype), [&]<class T>(T) { return row_cut<T>(vocab).parts; });
}

int multiprocessors() {
  static const int count = [] {
    int device = 0, found = 1;
    static_cast<void>(cudaGetDevice(&device));
    static_cast<void>(cudaDeviceGetAttribute(&found, cudaDevAttrMultiProcessorCount, device));
    return found;
  }();
  return count;
}

}  // namespace

// What gpu.py knows of structs: their sizes, so that a change here is noticed there.
COVN_BENCH void covn_sizes(uint64_t* host_sizes) {
  const size_t sizes[] = {sizeof(RowScore),  sizeof(DrawnRow), sizeof(HiddenTotal),
                          sizeof(PairState), sizeof(TailSums), sizeof(PartResult)};
  for (size_t size : sizes) *host_sizes++ = size;
}

COVN_BENCH const char* covn_synchronize() { return said(to_status(cudaDeviceSynchronize(), "waiting for kernels")); }

// For the emulator, which has no stream that is there from the start.
COVN_BENCH cudaStream_t covn_make_stream() {
  cudaStream_t stream = nullptr;
  static_cast<void>(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return stream;
}

COVN_BENCH uint64_t covn_score_workspace(int dtype, uint64_t rows, uint64_t vocab) {
  return score_workspace(static_cast<DType>(dtype), rows, vocab) * sizeof(RowPart);
}
COVN_BENCH const char* covn_score(int dtype, const void* logits, uint64_t rows, uint64_t vocab, const int32_t* targets,
                                  double temperature, void* workspace, void* scores, cudaStream_t stream) {
  return said(enqueue_score(static_cast<DType>(dtype), logits, rows, vocab, targets, temperature,
                            static_cast<RowPart*>(workspace), static_cast<RowScore*>(scores), stream));
}

COVN_BENCH uint64_t covn_sample_workspace(int dtype, uint64_t rows, uint64_t vocab) {
  return row_parts(dtype, rows, vocab) * (sizeof(RowPart) + sizeof(double));
}
// `counters` [3, rows]: sequences, positions, first samples.
COVN_BENCH const char* covn_sample(int dtype, const void* logits, uint64_t rows, uint64_t vocab,
                                   const uint32_t* counters, double temperature, uint64_t top_k, double top_p,
                                   double min_p, uint64_t seed, uint64_t count, void* workspace, void* row_states,
                                   int32_t* tokens, uint8_t* open, float* log_prob, float* sampled_log_prob,
                                   cudaStream_t stream) {
  const SampleDraws draws{{temperature, top_k, top_p, min_p}, seed, 0, count};
  auto* const parts = static_cast<RowPart*>(workspace);
  const SampleWorkspace space{parts, reinterpret_cast<double*>(parts + row_parts(dtype, rows, vocab))};
  const SampleOutputs out{static_cast<DrawnRow*>(row_states), tokens, open, log_prob, sampled_log_prob};
  return with_type(static_cast<DType>(dtype), [&]<class T>(T) {
    const SampleRows<T> in{static_cast<const T*>(logits), rows, vocab, counters, counters + rows, counters + 2 * rows};
    return said(enqueue_sample(in, draws, space, out, stream));
  });
}
// The uniforms that samples 0 .. count of a row are drawn at.
COVN_BENCH void covn_sample_uniforms(uint64_t seed, uint32_t sequence, uint32_t position, uint64_t count,
                                     double* host_uniforms) {
  for (uint64_t i = 0; i < count; i++) {
    host_uniforms[i] = sample_uniform(seed, sequence, position, static_cast<uint32_t>(i));
  }
}

COVN_BENCH uint64_t covn_pair_parts(uint64_t vocab) { return pair_parts(vocab); }
COVN_BENCH const char* covn_pair(int dtype, const void* reference, const void* model, uint64_t rows, uint64_t vocab,
                                 double temperature, void* parts, cudaStream_t stream) {
  return said(enqueue_pair(static_cast<DType>(dtype), reference, model, rows, vocab, temperature,
                           static_cast<PairState*>(parts), stream));
}
// A row's log ratio, KL and squared Hellinger distance from its parts.
COVN_BENCH void covn_pair_finish(const void* host_parts, uint64_t vocab, float reference_target, float model_target,
                                 double temperature, double* host_result) {
  const auto* const parts = static_cast<const PairState*>(host_parts);
  const PairState state = merge_pair_parts(parts, pair_parts(vocab), temperature);
  const PairResult result = finish_pair(state, reference_target, model_target, temperature);
  host_result[0] = result.log_ratio, host_result[1] = result.kl, host_result[2] = result.hellinger;
}

COVN_BENCH const char* covn_pairwise(const double* log_probs, uint64_t models, uint64_t responses,
                                     const double* thresholds, uint64_t threshold_count, uint64_t* counts,
                                     uint64_t* bad, cudaStream_t stream) {
  constexpr size_t kCheckBlock = 4096;
  return said(enqueue_pair_counts(log_probs, responses, models, responses, thresholds, threshold_count, counts, bad, 0,
                                  kCheckBlock, stream));
}

// The power of two that weights are counted in.
COVN_BENCH int covn_tail_unit(double largest, uint64_t count) { return fixed_unit(largest, count); }
COVN_BENCH const char* covn_tails(const double* log_ratios, const double* weights, uint64_t count,
                                  const double* thresholds, uint64_t threshold_count, int unit, void* sums,
                                  uint64_t* bad, cudaStream_t stream) {
  const TailInput in{log_ratios,
                     weights,
                     count,
                     thresholds,
                     static_cast<uint32_t>(threshold_count),
                     unit,
                     static_cast<TailSums*>(sums),
                     reinterpret_cast<unsigned long long*>(bad),
                     0};
  return said(enqueue_tail_counts(in, multiprocessors(), stream));
}

COVN_BENCH uint64_t covn_hidden_workspace(int dtype, uint64_t rows, uint64_t width, uint64_t vocab) {
  HiddenRows in{};
  in.dtype = static_cast<DType>(dtype), in.rows = rows, in.width = width, in.vocab = vocab;
  return hidden_workspace(in);
}
COVN_BENCH const char* covn_hidden(int dtype, const void* hidden, const void* weight, uint64_t rows, uint64_t width,
                                   uint64_t vocab, const float* bias, double softcap, double temperature,
                                   const int32_t* targets, void* workspace, void* totals, float* target_logits,
                                   cudaStream_t stream) {
  const HiddenRows in{
      static_cast<DType>(dtype), hidden, weight, rows, width, vocab, bias, softcap, temperature, targets};
  return said(enqueue_hidden(in, workspace, static_cast<HiddenTotal*>(totals), target_logits, stream));
}
// Log-probs of the targets of rows.
COVN_BENCH void covn_hidden_finish(const void* host_totals, const float* host_target_logits, uint64_t rows,
                                   double temperature, double* host_tokens) {
  const auto* const totals = static_cast<const HiddenTotal*>(host_totals);
  for (uint64_t row = 0; row < rows; row++) {
    host_tokens[row] = finish_hidden_row(totals[row], host_target_logits[row], temperature).token;
  }
}

// A tabular model [states, vocab] with one prompt, which starts in state 0; never freed.
COVN_BENCH const TabularModel* covn_rollout_model(uint64_t states, uint64_t vocab, const double* host_log_probs,
                                                  const int32_t* host_next) {
  TabularRows rows;
  rows.vocab = vocab;
  rows.log_probs.assign(host_log_probs, host_log_probs + states * vocab);
  rows.next.assign(host_next, host_next + states * vocab);
  rows.starts = {0};
  std::shared_ptr<const TabularModel> model;
  Status status = make_tabular_model(std::move(rows), model);
  if (status.ok()) status = machine_of(*model).prepare([] { return false; });
  return status.ok() ? (new std::shared_ptr<const TabularModel>(model))->get() : nullptr;
}
// Its tables [3, states * vocab]: columns, thresholds, outcomes.
COVN_BENCH void covn_rollout_tables(const TabularModel* model, uint64_t* host_tables) {
  const TabularMachine& machine = machine_of(*model);
  const RolloutTables& tables = machine.tables();
  const size_t entries = machine.rows()->next.size();
  for (const uint64_t* table : {tables.columns, tables.thresholds, tables.outcomes}) {
    host_tables = std::copy_n(table, entries, host_tables);
  }
}
COVN_BENCH uint64_t covn_rollout_parts(uint64_t samples, uint64_t max_length) {
  const uint64_t in_part = rollout_part_samples(samples, max_length);
  return (samples + in_part - 1) / in_part;
}
// Best-of-N by the response's own log-prob. `prompt`: 12 bytes of 0; `size` [1]: the number of samples; `sums` [6]: 0
// before the call.
COVN_BENCH const char* covn_rollouts(uint64_t states, uint64_t vocab, const uint64_t* tables, uint64_t samples,
                                     uint64_t max_length, uint64_t seed, const uint64_t* prompt, const uint64_t* size,
                                     uint64_t* sums, void* parts, cudaStream_t stream) {
  static RolloutDevice device{};
  if (device.multiprocessors == 0) {
    if (const Status status = find_rollout_device(device); !status.ok()) return said(status);
  }
  const size_t entries = states * vocab;
  RolloutTask task{};
  task.model.tables = {tables, tables + entries, tables + 2 * entries, nullptr, nullptr, vocab, states};
  task.model.entries = entries;
  const uint64_t count = covn_rollout_parts(samples, max_length);
  task.parts = {samples, rollout_part_samples(samples, max_length), count, 0, count};
  task.prompts = reinterpret_cast<const RolloutPrompt*>(prompt);
  task.sizes = size;
  task.size_count = 1;
  task.max_length = static_cast<uint32_t>(max_length);
  task.seed = seed;
  task.success = 0.0;
  auto* const words = reinterpret_cast<unsigned long long*>(sums);
  task.out = {reinterpret_cast<RolloutTotals*>(words), words + 4, words + 5,
              static_cast<PartResult*>(parts),         nullptr,   nullptr};
  return said(enqueue_rollouts(task, device, stream));
}
// The best sample among parts, and its log-prob.
COVN_BENCH void covn_rollout_best(const void* host_parts, uint64_t count, double* host_result) {
  const auto* const parts = static_cast<const PartResult*>(host_parts);
  const PartResult* best = parts;
  for (const PartResult* part = parts; part < parts + count; part++) {
    if (part->reward > best->reward) best = part;
  }
  host_result[0] = best->sample, host_result[1] = best->log_prob;
}
// The same by the CPU's job.
COVN_BENCH const char* covn_rollout_expected(const TabularModel* model, uint64_t samples, uint64_t max_length,
                                             uint64_t seed, double* host_result) {
  BestOfNRequest request;
  request.model = {std::shared_ptr<void>(), model};
  request.prompts = {0};
  request.samples = samples;
  request.seed = seed;
  request.max_length = max_length;
  request.sizes = {samples};
  request.keep = 1;
  request.target = best_target();
  double successes, best, reward, sums[5];
  request.successes = &successes, request.best_rewards = &best, request.kept_rewards = &reward, request.sums = sums;
  request.kept_samples = host_result, request.kept_log_probs = host_result + 1;
  std::unique_ptr<Job> job;
  if (const Status status = covn::make_best_of_n_job(std::move(request), job); !status.ok()) return said(status);
  ThreadPool& pool = ThreadPool::acquire();
  std::promise<Status> done;
  pool.submit(std::move(job), 0, [&done](Status status) { done.set_value(std::move(status)); });
  return said(done.get_future().get());
}
