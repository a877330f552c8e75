// What each target provides: one table of functions over plain types. The tables are filled by kernels/targets/*.cpp
// from the algorithms in kernels/*.inl.hpp; nothing else in the project is compiled for a special instruction set.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/cpu.hpp"
#include "core/number_formats.hpp"
#include "core/read_ahead.hpp"
#include "kernels/ladder.hpp"
#include "kernels/hidden_tile.hpp"
#include "kernels/pair_sums.hpp"
#include "kernels/rollout_lanes.hpp"
#include "kernels/row_parameters.hpp"
#include "kernels/sample_table.hpp"

namespace covn {

constexpr size_t kRowBlock = 8192;
static_assert(kPieceLogits == kRowBlock, "a piece's sums are those of a block that scores are formed from");
// Longer rows than kGroupVocab are read up to kRowStreams at once, shorter ones in groups of as many as a vector has
// lanes.
constexpr size_t kRowStreams = 4;
constexpr size_t kGroupVocab = 128;
// Rows longer than this are cut into segments, which several threads may read; always the same ones.
constexpr size_t kMaxWholeRow = size_t{1} << 18;
constexpr size_t kSegment = size_t{1} << 16;

// Logits of one storage type. Index [1]: with `weighted`; second index [1]: with `greater`.
template <class T>
struct RowKernels {
  // Reads count <= kBatchRows rows of n logits, or one part of a longer row; targets [count] matter with `greater`.
  void (*accumulate[2][2])(const T* const* rows, size_t count, size_t n, const float* targets,
                           const RowParameters& parameters, RowBatch& batch);
  void (*finish[2])(const RowBatch& batch, size_t count, const RowParameters& parameters, RowResults& results);
};

// Reads the n logits of the reference's row and of the model's; `half`: the parameters of twice the temperature.
template <class T>
using AccumulatePair = void (*)(const T* reference, const T* model, size_t n, const RowParameters& half,
                                PairState& state);
struct PairKernels {
  AccumulatePair<float> f32;
  AccumulatePair<Float16> f16;
  AccumulatePair<BFloat16> bf16;

  AccumulatePair<float> of(float) const { return f32; }
  AccumulatePair<Float16> of(Float16) const { return f16; }
  AccumulatePair<BFloat16> of(BFloat16) const { return bf16; }
};

// For each threshold k: forward[k] += #{i : a_i - b_i >= t_k} and backward[k] += #{i : b_i - a_i >= t_k}.
using CountPairs = void (*)(const double* a, const double* b, size_t n, const double* thresholds,
                            size_t threshold_count, uint64_t* forward, uint64_t* backward);

// The same for the thresholds of a ladder.
using CountPairsOnLadder = void (*)(const double* a, const double* b, size_t n, const Ladder& ladder, uint64_t* forward,
                                    uint64_t* backward);

// How many of n values are below +inf; NaN is not.
using CountBelowInfinity = size_t (*)(const double* x, size_t n);
// The units drawn by draws first .. first + n of a bootstrap replicate: `drawn` [n], each below unit_count < 2^32. Draw
// i is covn::bounded() of the first two words of covn::philox4x32({i, i >> 32, replicate, stream}, seed).
struct DrawStream {
  uint64_t seed;
  uint32_t replicate, stream;
};
using DrawUnits = void (*)(DrawStream draws, uint64_t first, size_t n, uint32_t unit_count, uint64_t* drawn);

// Replicates stand side by side in rows whose length is a multiple of this many.
constexpr size_t kReplicateGroup = 16;
// What replicates weigh the responses r < n by: row units[r] of `weights` [units, width].
struct ReplicateWeights {
  const uint8_t* weights;
  size_t width;
  const int32_t* units;
};
// Adds each response's weights to row k of `counts` [threshold_count + 1, width], for k = how many of the ascending
// thresholds theirs[r] - mine[r] reaches; 0 for NaN.
using CountReplicates = void (*)(const double* theirs, const double* mine, size_t n, const double* thresholds,
                                 size_t threshold_count, const ReplicateWeights& replicates, uint32_t* counts);
// Adds weight * value to `sums` [width], response after response; those of -inf are passed over.
using SumReplicates = void (*)(const double* values, size_t n, const ReplicateWeights& replicates, double* sums);

using FindPieces = void (*)(const PiecePrefix& prefix, const double* uniforms, size_t count, PieceDraw* draws);
// Where the groups of a piece begin, that has the uniforms begin .. begin + extent; gives their sum.
using PlaceGroups = double (*)(const float* groups, size_t n, double begin, double extent, double* bounds);
using DrawUniforms = void (*)(const UniformStream& stream, uint32_t first, size_t n, double* uniforms);
// Logits of one storage type.
template <class T>
struct SampleKernels {
  // The sums of n <= kPieceLogits logits' terms, group by group; memory for a multiple of 16 groups.
  void (*sum_groups)(const T* x, size_t n, const TermRule& rule, float* sums);
  // kernels/read_groups.inl.hpp
  bool (*read_groups)(const T* x, size_t n, ReadAhead& ahead, const RowParameters& parameters, Place place,
                      bool& clamped, RowState& state, float* groups);
  // The tokens that draws choose.
  void (*draw_tokens)(const DrawnRow<T>& row, const PieceSums* pieces, const PieceDraw* draws, size_t count,
                      int32_t* tokens);
  // The cells of an index whose bounds are there.
  void (*lay_cells)(const DrawnRow<T>& row, const DrawIndex& index);
  // Tokens [count] for uniforms; gives how many of them are not proved, and in `open` which.
  size_t (*propose_tokens)(const DrawnRow<T>& row, const DrawIndex& index, const double* uniforms, size_t count,
                           int32_t* tokens, uint32_t* open);
  void (*write_log_probs)(const T* row, const int32_t* tokens, size_t count, const LogProbRule& rule, float* log_probs);
};

// [1: with rows of several lengths][1: followed]
using RollOut = void (*)(const RolloutTables& tables, const FollowTables& follow, uint64_t seed, size_t position,
                         size_t steps, RolloutLanes& lanes, int32_t* tokens, size_t stride);

// Rows of features of linear models, padded with zeros to `width`, a multiple of this many.
constexpr size_t kFeatureLanes = 8;
// log p of logit x: (x - largest) - log(sum).
struct Softmax {
  double largest, sum;
};
struct LearnKernels {
  void (*linear_logits)(const double* features, size_t rows, size_t width, const double* theta, double* logits);
  Softmax (*softmax)(const double* logits, size_t n, double* probabilities);
  void (*add_weighted_rows)(const double* features, size_t rows, size_t width, const double* weights, double* sum);
};

// Reads n values and gives the largest, or 0.
using ReadValues = float (*)(const float* values, size_t n);
// steps * (chains of the target) multiply-adds of vectors; adds the floating-point operations to `operations`.
using MultiplyAddChains = float (*)(size_t steps, float factor, float addend, uint64_t& operations);

struct KernelTable {
  size_t lanes;
  int table_bits;  // of the terms; see RowParameters
  RowKernels<float> f32;
  RowKernels<Float16> f16;
  RowKernels<BFloat16> bf16;
  PairKernels pairs;
  CountPairs count_pairs;
  CountPairsOnLadder count_pairs_on_ladder;
  CountBelowInfinity count_below_infinity;
  DrawUnits draw_units;
  CountReplicates count_replicates;
  SumReplicates sum_replicates;
  DrawUniforms draw_uniforms;
  FindPieces find_pieces;
  PlaceGroups place_groups;
  SampleKernels<float> sample_f32;
  SampleKernels<Float16> sample_f16;
  SampleKernels<BFloat16> sample_bf16;
  RollOut roll_out[2][2];
  LearnKernels learn;
  ReadValues read_values[2];  // [1: with software prefetching]
  MultiplyAddChains multiply_add;
  HiddenKernels hidden[3];  // by DType

  template <class T>
  const RowKernels<T>& rows() const;
  const SampleKernels<float>& samples(float) const { return sample_f32; }
  const SampleKernels<Float16>& samples(Float16) const { return sample_f16; }
  const SampleKernels<BFloat16>& samples(BFloat16) const { return sample_bf16; }
  RowParameters parameters(double temperature, size_t vocab) const {
    return make_row_parameters(temperature, table_bits, lanes, vocab);
  }
};
template <>
inline const RowKernels<float>& KernelTable::rows<float>() const {
  return f32;
}
template <>
inline const RowKernels<Float16>& KernelTable::rows<Float16>() const {
  return f16;
}
template <>
inline const RowKernels<BFloat16>& KernelTable::rows<BFloat16>() const {
  return bf16;
}

// The table of a target that target_support() calls available.
const KernelTable& kernels_for(Target target);

// The target's way of counting on a ladder, or a better one that the processor has.
CountPairsOnLadder count_pairs_on_ladder_for(Target target);

// The target's kernels for hidden states of a storage format: those that multiply pairs of bfloat16s where the
// processor can.
const HiddenKernels& hidden_kernels_for(Target target, DType dtype);

}  // namespace covn
