// Drawing from rows of logits: the token of a uniform, and whether it is proved.
#pragma once

#include "cuda/sample_sums.cuh"

namespace covn::cuda {

template <class T>
struct DrawTask {
  SampleRows<T> in;
  RowCut cut;
  uint64_t seed;
  size_t first, count;  // draws of every row
  DrawConstants constants;
  const double* prefix;  // [rows, cut.parts]
  SampleOutputs out;
};

// The first of n prefixes above a place; where there is none, the first that is as large as the last.
__device__ __forceinline__ size_t find_prefix(const double* prefix, size_t n, double place) {
  if (!(place < prefix[n - 1])) place = prefix[n - 1] * (1.0 - 0x1p-52);
  size_t from = 0;
  while (n > 1) {
    const size_t half = n / 2;
    if (prefix[from + half - 1] <= place) from += half;
    n -= half;
  }
  return from;
}

// Where among n sums a place falls, that has `share` of the item there below it; `begin`, `extent`: the item's own.
struct Found {
  size_t index;
  double begin, extent, share;
};
__device__ __forceinline__ Found find_share(const double* prefix, size_t n, double place) {
  const size_t index = find_prefix(prefix, n, place);
  const double begin = index > 0 ? prefix[index - 1] : 0.0, extent = prefix[index] - begin;
  return {index, begin, extent, (place - begin) / extent};
}

// Which of n logits holds a share of the sum of their terms; its ends as shares.
struct FoundToken {
  int index;
  double begin, end;
};
template <class T>
__device__ __forceinline__ FoundToken find_token(const T* logits, int n, const KeptTerms& terms, double share) {
  double sum = 0.0;
#pragma unroll 4
  for (int i = 0; i < n; i++) sum += terms(to_float(logits[i]));
  const double place = share * sum;
  FoundToken found{0, 0.0, 0.0};
  double before = 0.0;
#pragma unroll 1
  for (int i = 0; i < n; i++) {
    const double term = terms(to_float(logits[i]));
    if (term > 0.0) found = {i, before / sum, (before + term) / sum};
    before += term;
    if (before > place) break;
  }
  return found;
}

// One draw of a row; group_prefix(part): the sums of a part's groups up to and with each. By one thread.
template <class T, class GroupPrefix>
__device__ __forceinline__ void draw_one(const DrawTask<T>& task, size_t row, const DrawnRow& drawn, size_t i,
                                         double uniform, const GroupPrefix& group_prefix) {
  const RowCut& cut = task.cut;
  const KeptTerms terms(drawn, task.constants);
  const Found part = find_share(task.prefix + row * cut.parts, cut.parts, uniform * drawn.total);
  const size_t begin = part.index * cut.length, length = min(cut.length, task.in.vocab - begin);
  const double* const prefix = group_prefix(part.index);
  const size_t groups = (length + kGroupLogits - 1) / kGroupLogits;
  const double sum = prefix[groups - 1];
  const Found group = find_share(prefix, groups, part.share * sum);
  const size_t at = begin + group.index * kGroupLogits;
  const T* const logits = task.in.logits + row * task.in.vocab;
  const FoundToken token =
      find_token(logits + at, static_cast<int>(min(size_t{kGroupLogits}, begin + length - at)), terms, group.share);
  // The token's ends as uniforms.
  const auto uniform_at = [&](double share) {
    return (part.begin + part.extent * ((group.begin + group.extent * share) / sum)) / drawn.total;
  };
  const double margin = uniform_margin(uniform);
  const bool proved = uniform - uniform_at(token.begin) > margin && uniform_at(token.end) - uniform > margin;
  const size_t to = row * task.count + i, chosen = at + static_cast<size_t>(token.index);
  task.out.tokens[to] = static_cast<int32_t>(chosen);
  task.out.open[to] = !proved || drawn.state == DrawnState::undecided;
  const float logit = to_float(logits[chosen]);
  if (task.out.log_prob != nullptr) {
    task.out.log_prob[to] = static_cast<float>(logit_log_prob(logit, drawn.max, drawn.unit_log_sum, 1.0));
  }
  if (task.out.sampled_log_prob != nullptr) {
    task.out.sampled_log_prob[to] =
        static_cast<float>(logit_log_prob(logit, drawn.max, drawn.log_sum, 1.0 / task.constants.temperature));
  }
}

template <class T>
__device__ __forceinline__ double uniform_at(const DrawTask<T>& task, size_t row, size_t i) {
  return sample_uniform(task.seed, task.in.sequences[row], task.in.positions[row],
                        task.in.first_samples[row] + static_cast<uint32_t>(task.first + i));
}
template <class T>
__device__ __forceinline__ void write_no_token(const DrawTask<T>& task, size_t row, size_t i) {
  const size_t to = row * task.count + i;
  task.out.tokens[to] = -1;
  task.out.open[to] = 0;
}

// Few draws of a row: a warp each, which sums the groups of the part that the draw falls into.
constexpr int kDrawWarps = 8;
template <class T>
__global__ void __launch_bounds__(kDrawWarps* kWarpLanes, 3) draw_few(DrawTask<T> task) {
  __shared__ double prefixes[kDrawWarps][kMaxPartGroups];
  const size_t unit = warp_number();
  if (unit >= task.in.rows * task.count) return;
  const size_t row = unit / task.count, i = unit % task.count;
  const int lane = static_cast<int>(threadIdx.x % kWarpLanes);
  const DrawnRow drawn = task.out.rows[row];
  if (drawn.state == DrawnState::bad) {
    if (lane == 0) write_no_token(task, row, i);
    return;
  }
  double* const prefix = prefixes[threadIdx.x / kWarpLanes];
  const double uniform = uniform_at(task, row, i);
  const size_t part = find_prefix(task.prefix + row * task.cut.parts, task.cut.parts, uniform * drawn.total);
  const size_t begin = part * task.cut.length, length = min(task.cut.length, task.in.vocab - begin);
  sum_part(task.in.logits + row * task.in.vocab + begin, length, KeptTerms(drawn, task.constants), prefix);
  __syncwarp();
  if (lane == 0) draw_one(task, row, drawn, i, uniform, [&](size_t) { return prefix; });
}

// Many draws: a block sums the groups of all of a row, and draws `in_block` of the row's tokens, a thread each in turn.
template <class T>
__global__ void __launch_bounds__(kDrawWarps* kWarpLanes, 2) draw_many(DrawTask<T> task, size_t in_block) {
  COVN_DYNAMIC_SHARED(double, prefixes);  // [cut.parts, groups]
  const size_t blocks = (task.count + in_block - 1) / in_block;
  const size_t row = blockIdx.x / blocks, from = blockIdx.x % blocks * in_block;
  const size_t to = min(task.count, from + in_block), groups = part_groups(task.cut.length);
  const DrawnRow drawn = task.out.rows[row];
  if (drawn.state == DrawnState::bad) {
    for (size_t i = from + threadIdx.x; i < to; i += blockDim.x) write_no_token(task, row, i);
    return;
  }
  const KeptTerms terms(drawn, task.constants);
  for (size_t part = threadIdx.x / kWarpLanes; part < task.cut.parts; part += blockDim.x / kWarpLanes) {
    const size_t begin = part * task.cut.length, length = min(task.cut.length, task.in.vocab - begin);
    sum_part(task.in.logits + row * task.in.vocab + begin, length, terms, prefixes + part * groups);
  }
  __syncthreads();
  for (size_t i = from + threadIdx.x; i < to; i += blockDim.x) {
    draw_one(task, row, drawn, i, uniform_at(task, row, i), [&](size_t part) { return prefixes + part * groups; });
  }
}

}  // namespace covn::cuda
