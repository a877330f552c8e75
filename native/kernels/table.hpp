// What each target provides: one table of functions over plain types. The tables are filled by kernels/targets/*.cpp
// from the algorithms in kernels/*.inl.hpp; nothing else in the project is compiled for a special instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cpu.hpp"
#include "core/number_formats.hpp"

namespace covn {

// Everything known of a row of logits x after part of it was read, relative to the largest finite logit so far:
//   sum      = sum_j exp((x_j - max) / T)
//   weighted = sum_j exp((x_j - max) / T) * (x_j - max) / T * log2(e)
//   greater  = #{j : x_j > target}
// NaN and +inf logits leave `sum` NaN; a row of -inf alone leaves it 0.
struct RowState {
  float max;
  double sum;
  double weighted;
  int64_t greater;
};

// What a row is read with. log2(e)/T is kept as the sum of two floats: rounding it to one would bias every token by
// about 2e-8 times the row's entropy, which a sequence of a million tokens would show.
struct RowParameters {
  float scale_high;
  float scale_low;
  double temperature;
  float target;  // the target's logit, for `greater`
};

// Reads n logits into the state. n is any length; blocks are counted from `x`, so that a row read in pieces gives the
// same bits as a row read whole when the pieces are multiples of kRowBlock.
template <class T>
using AccumulateRow = void (*)(RowState& state, const T* x, size_t n, const RowParameters& parameters);

constexpr size_t kRowBlock = 2048;

// For each threshold k: forward[k] += #{i : a_i - b_i >= t_k} and backward[k] += #{i : b_i - a_i >= t_k}.
using CountPairs = void (*)(const double* a, const double* b, size_t n, const double* thresholds,
                            size_t threshold_count, uint64_t* forward, uint64_t* backward);

struct KernelTable {
  // [1: with `weighted`][1: with `greater`]
  AccumulateRow<float> accumulate_f32[2][2];
  AccumulateRow<Float16> accumulate_f16[2][2];
  AccumulateRow<BFloat16> accumulate_bf16[2][2];
  CountPairs count_pairs;
};

// The table of a target that target_support() calls available.
const KernelTable& kernels_for(Target target);

}  // namespace covn
