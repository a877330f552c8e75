// Best-of-N from tabular models whose tables lie in device memory already.
#pragma once

#include <cstddef>
#include <cstdint>

#include "covn/best_of_n.hpp"
#include "cuda/runtime.hpp"
#include "kernels/rollout_lanes.hpp"
#include "model/moments.hpp"

namespace covn::cuda {

// The model that is drawn from, and what reads responses along; all pointers are the device's.
struct RolloutModel {
  RolloutTables tables;
  uint64_t entries;  // of the tables, but for the end's
  bool sparse, follows;
  FollowTables follow;
  const double* values;  // [states that are followed]: an automaton's rewards
  uint32_t columns;      // between two of those states
  Reward::Kind reward;
};

// A prompt, and the states that its responses start in.
struct RolloutPrompt {
  uint32_t prompt, state, follow;
};

// A prompt's samples are cut into parts of equal size, whose number follows from the request alone; parts are numbered
// prompt after prompt.
struct RolloutParts {
  uint64_t samples, part_samples, parts_of_prompt;
  uint64_t first, count;  // the parts of this call
};

// What a prompt's samples in a call add up to: whole numbers, so that no order of additions changes them. `surprisal`
// in 2^-34 nats, its low and high 32 bits added apart.
struct RolloutTotals {
  unsigned long long surprisal_low, surprisal_high, tokens, ended;
};

// A part's moments of rewards, and its best sample; of equal rewards the lower number.
struct PartResult {
  Moments rewards;
  double reward, log_prob;
  uint32_t sample;
};

// Zeros before the call: totals, successes, best. Null where not wanted: rewards, log_probs.
struct RolloutResults {
  RolloutTotals* totals;          // [prompts of the call]
  unsigned long long* successes;  // [prompts of the call, sizes]: of the samples between the size before and this one
  unsigned long long* best;       // likewise: order_key64 of the best reward; 0: none
  PartResult* parts;              // [count]
  double *rewards, *log_probs;    // [count, part_samples]
};

struct RolloutTask {
  RolloutModel model;
  RolloutParts parts;
  const RolloutPrompt* prompts;  // [prompts of the call], from that of the first part on
  const uint64_t* sizes;         // [size_count], ascending, the last is parts.samples
  uint32_t size_count;
  uint32_t max_length;
  uint64_t seed;
  double success;
  RolloutResults out;
  // Null, or a word of pinned memory: once it is not 0, what the call gives means nothing, and it ends soon.
  const uint32_t* stop;
};

// How many samples a part has.
uint64_t rollout_part_samples(uint64_t samples, size_t max_length);

struct RolloutDevice {
  int multiprocessors;
  size_t shared_bytes;  // of a block, at most
};
Status find_rollout_device(RolloutDevice& device);

cudaError_t enqueue_rollouts(const RolloutTask& task, const RolloutDevice& device, cudaStream_t stream);

}  // namespace covn::cuda
