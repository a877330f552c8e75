// Responses of a tabular model, drawn, scored, rewarded and reduced in one pass. README.md beside this says what it
// costs.
#pragma once

#include <array>
#include <bit>
#include <limits>

#include "core/philox.hpp"
#include "cuda/best_of_n.hpp"
#include "cuda/device/order_keys.hpp"
#include "cuda/score_logits.cuh"

namespace covn::cuda {

constexpr int kRolloutThreads = 256, kRolloutBlocks = 3;

// A response in progress.
struct Response {
  uint32_t sample, state, length, follow;
  uint64_t surprisal;
  double follow_log_prob;
};

// The tables of the model that is drawn from: those that each token reads lie in shared memory where they fit.
struct StepTables {
  RolloutTables all;
  const uint64_t *columns, *outcomes;
};

// Chooses again where the first 32 bits of the draw do not decide. Seldom called.
__device__ COVN_APART uint32_t choose_again(const RolloutTables& tables, uint64_t seed, uint32_t prompt,
                                            uint32_t position, uint32_t sample, uint64_t first, uint64_t width,
                                            uint32_t word) {
  const PhiloxCounter bits = philox4x32({prompt, position, sample, kRolloutStream + 1}, seed);
  return static_cast<uint32_t>(chosen_entry(tables, first, width, word, uint64_t{bits[0]} << 32 | bits[1]));
}

// Advances a response by one token, drawn by `word`: the same choices as kernels/rollout.inl.hpp makes.
template <bool kSparse, bool kFollow>
__device__ __forceinline__ void advance(const RolloutTask& task, const StepTables& tables, uint32_t prompt,
                                        uint32_t word, Response& r) {
  uint32_t first, width;
  if constexpr (kSparse) {
    const uint64_t row = __ldg(tables.all.rows + r.state);
    first = static_cast<uint32_t>(row);
    width = static_cast<uint32_t>(row >> 32);
  } else {
    width = static_cast<uint32_t>(tables.all.width);
    first = r.state * width;
  }
  const uint64_t scaled = uint64_t{word} * width;
  const auto column = static_cast<uint32_t>(scaled >> 32), place = static_cast<uint32_t>(scaled);
  const uint64_t entry = tables.columns[first + column];
  const auto threshold = static_cast<uint32_t>(entry >> 32);
  uint32_t chosen = place < threshold ? column : static_cast<uint32_t>(entry);
  // Bits to come move the place by less than the width: over the threshold, or into the next column. (Where these
  // differences wrap around, the choice is made again for nothing.)
  if (threshold - place < width || 0u - place < width) {
    chosen = choose_again(tables.all, task.seed, prompt, r.length, r.sample, first, width, word);
  }
  const uint32_t index = first + chosen;
  const uint64_t outcome = tables.outcomes[index];
  r.state = static_cast<uint32_t>(outcome) & ((1u << kStateBits) - 1);
  r.surprisal += outcome >> kStateBits;
  r.length++;
  if constexpr (kFollow) {
    const FollowTables& follow = task.model.follow;
    const uint32_t token = kSparse ? __ldg(tables.all.tokens + index) : chosen;
    const uint32_t at = r.follow + (follow.classes == nullptr ? token : __ldg(follow.classes + token));
    if (follow.log_probs != nullptr) r.follow_log_prob += __ldg(follow.log_probs + at);
    r.follow = __ldg(follow.next + at);
  }
}

// Nats, exact.
__device__ __forceinline__ double log_prob_of(uint64_t surprisal) {
  return 0.0 - static_cast<double>(static_cast<int64_t>(surprisal)) * (1.0 / (uint64_t{1} << kSurprisalBits));
}

__device__ __forceinline__ double reward_of(const RolloutModel& model, const Response& r, double log_prob) {
  switch (model.reward) {
    case Reward::Kind::own_log_prob: return log_prob;
    case Reward::Kind::log_prob: return r.follow_log_prob;
    case Reward::Kind::log_ratio: return r.follow_log_prob - log_prob;
    default: return __ldg(model.values + r.follow / model.columns);
  }
}

// What a lane's responses of a part come to. Successes and the best reward are of the size that they count for.
struct LaneResult {
  Moments rewards;
  RolloutTotals totals;
  double reward, log_prob;  // of the best sample
  uint32_t sample;
  uint32_t size, successes;
  double best;
};
constexpr uint32_t kNoSample = 0xffffffffu;

__device__ __forceinline__ void flush_size(const RolloutTask& task, size_t prompt, LaneResult& lane) {
  const size_t at = prompt * task.size_count + lane.size;
  if (lane.successes > 0) atomicAdd(task.out.successes + at, static_cast<unsigned long long>(lane.successes));
  if (lane.best == lane.best) atomicMax(task.out.best + at, static_cast<unsigned long long>(order_key64(lane.best)));
}

__device__ __forceinline__ void take(const RolloutTask& task, size_t prompt, size_t place, const Response& r,
                                     LaneResult& lane) {
  const double log_prob = log_prob_of(r.surprisal), reward = reward_of(task.model, r, log_prob);
  if (r.sample >= __ldg(task.sizes + lane.size)) {
    flush_size(task, prompt, lane);
    while (r.sample >= __ldg(task.sizes + lane.size)) lane.size++;
    lane.successes = 0;
    lane.best = std::numeric_limits<double>::quiet_NaN();
  }
  lane.successes += reward >= task.success;
  if (!(reward <= lane.best)) lane.best = reward;
  lane.rewards.add(reward);
  lane.totals.surprisal_low += static_cast<uint32_t>(r.surprisal);
  lane.totals.surprisal_high += r.surprisal >> 32;
  lane.totals.tokens += r.length;
  lane.totals.ended += r.state == task.model.tables.end;
  // A lane's samples come in ascending order.
  if (lane.sample == kNoSample || reward > lane.reward) {
    lane.reward = reward;
    lane.log_prob = log_prob;
    lane.sample = r.sample;
  }
  if (task.out.rewards != nullptr) {
    task.out.rewards[place] = reward;
    task.out.log_probs[place] = log_prob;
  }
}

// Looks now and then whether the call is to end: the word lies behind the bus.
class StopWatch {
 public:
  explicit __device__ __forceinline__ StopWatch(const uint32_t* stop) : stop_(stop) {}
  // Asked for every four tokens.
  __device__ __forceinline__ bool stops() {
    return (++turn_ & 1023u) == 0 && stop_ != nullptr && *static_cast<const volatile uint32_t*>(stop_) != 0;
  }

 private:
  const uint32_t* stop_;
  uint32_t turn_ = 0;
};

// All responses of a part that are this lane's: every 32nd. False when the call is to end.
template <bool kSparse, bool kFollow>
__device__ __forceinline__ bool draw_part(const RolloutTask& task, const StepTables& tables,
                                          const RolloutPrompt& prompt, size_t prompt_at, uint64_t part, uint32_t first,
                                          uint32_t end, StopWatch& watch, LaneResult& lane) {
  const auto end_state = static_cast<uint32_t>(task.model.tables.end);
  const auto begin = [&](uint64_t sample) {
    return Response{static_cast<uint32_t>(sample), prompt.state, 0, prompt.follow, 0, 0.0};
  };
  uint64_t sample = first + threadIdx.x % kWarpLanes;
  Response r = begin(sample);
  // One loop for all: a lane whose response has ended takes its next one while others are in the middle of theirs.
#pragma unroll 1
  while (sample < end) {
    if (watch.stops()) return false;
    const PhiloxCounter words = philox4x32({prompt.prompt, r.length / 4, r.sample, kRolloutStream}, task.seed);
#pragma unroll
    for (int w = 0; w < 4; w++) {
      if (r.state == end_state || r.length >= task.max_length) break;
      advance<kSparse, kFollow>(task, tables, prompt.prompt, words[w], r);
    }
    if (r.state != end_state && r.length < task.max_length) continue;
    take(task, prompt_at, part * task.parts.part_samples + (sample - first), r, lane);
    sample += kWarpLanes;
    r = begin(sample);
  }
  return true;
}

__device__ __forceinline__ Moments shuffled(const Moments& moments, int step) {
  auto numbers = std::bit_cast<std::array<double, 4>>(moments);
#pragma unroll
  for (int i = 0; i < 4; i++) numbers[i] = __shfl_xor_sync(kAllLanes, numbers[i], step);
  return std::bit_cast<Moments>(numbers);
}

__device__ __forceinline__ unsigned long long warp_sum(unsigned long long x) {
#pragma unroll
  for (int step = kWarpLanes / 2; step > 0; step /= 2) x += __shfl_xor_sync(kAllLanes, x, step);
  return x;
}

// A part of all lanes, and into the totals of its prompt. The order of merging is fixed.
__device__ __forceinline__ void finish_part(const RolloutTask& task, size_t prompt_at, uint64_t part,
                                            LaneResult& lane) {
  flush_size(task, prompt_at, lane);
#pragma unroll 1
  for (int step = 1; step < kWarpLanes; step *= 2) {
    const Moments others = shuffled(lane.rewards, step);
    const double reward = __shfl_xor_sync(kAllLanes, lane.reward, step);
    const double log_prob = __shfl_xor_sync(kAllLanes, lane.log_prob, step);
    const uint32_t sample = __shfl_xor_sync(kAllLanes, lane.sample, step);
    // The lower lanes' first, in both of a pair.
    if ((threadIdx.x & static_cast<unsigned>(step)) == 0) {
      lane.rewards.add(others);
    } else {
      Moments sum = others;
      sum.add(lane.rewards);
      lane.rewards = sum;
    }
    const bool better = reward != lane.reward ? reward > lane.reward : sample < lane.sample;
    if (sample != kNoSample && (lane.sample == kNoSample || better)) {
      lane.reward = reward;
      lane.log_prob = log_prob;
      lane.sample = sample;
    }
  }
  const RolloutTotals totals{warp_sum(lane.totals.surprisal_low), warp_sum(lane.totals.surprisal_high),
                             warp_sum(lane.totals.tokens), warp_sum(lane.totals.ended)};
  if (threadIdx.x % kWarpLanes != 0) return;
  RolloutTotals& out = task.out.totals[prompt_at];
  atomicAdd(&out.surprisal_low, totals.surprisal_low);
  atomicAdd(&out.surprisal_high, totals.surprisal_high);
  atomicAdd(&out.tokens, totals.tokens);
  atomicAdd(&out.ended, totals.ended);
  task.out.parts[part] = {lane.rewards, lane.reward, lane.log_prob, lane.sample};
}

// Parts of the call, a warp each in turn.
template <bool kSparse, bool kFollow, bool kShared>
__global__ void __launch_bounds__(kRolloutThreads, kRolloutBlocks) roll_out_parts(RolloutTask task) {
  StepTables tables{task.model.tables, task.model.tables.columns, task.model.tables.outcomes};
  if constexpr (kShared) {
    COVN_DYNAMIC_SHARED(uint64_t, shared);  // [2, entries]
    for (uint32_t i = threadIdx.x; i < task.model.entries; i += blockDim.x) {
      shared[i] = tables.columns[i];
      shared[task.model.entries + i] = tables.outcomes[i];
    }
    __syncthreads();
    tables.columns = shared;
    tables.outcomes = shared + task.model.entries;
  }
  const RolloutParts& parts = task.parts;
  const uint64_t warps = uint64_t{gridDim.x} * (blockDim.x / kWarpLanes),
                 first_prompt = parts.first / parts.parts_of_prompt;
  StopWatch watch(task.stop);
#pragma unroll 1
  for (uint64_t part = warp_number(); part < parts.count; part += warps) {
    const uint64_t number = parts.first + part, prompt_at = number / parts.parts_of_prompt - first_prompt;
    const uint64_t first = number % parts.parts_of_prompt * parts.part_samples;
    const uint64_t end = min(parts.samples, first + parts.part_samples);
    LaneResult lane{};
    lane.reward = -std::numeric_limits<double>::infinity();
    lane.sample = kNoSample;
    lane.best = std::numeric_limits<double>::quiet_NaN();
    const bool drawn =
        draw_part<kSparse, kFollow>(task, tables, task.prompts[prompt_at], prompt_at, part,
                                    static_cast<uint32_t>(first), static_cast<uint32_t>(end), watch, lane);
    if (__any_sync(kAllLanes, !drawn)) return;
    finish_part(task, prompt_at, part, lane);
  }
}

}  // namespace covn::cuda
