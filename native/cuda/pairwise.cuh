// Pairwise coverage counts (Eq. 28, arXiv 2510.15020) on the device: how often one model's log-prob exceeds another's
// by at least a threshold, exactly as kernels/pairwise.inl.hpp counts it.
//
// A block has a tile of 64 x 64 models, i <= j, and a segment of the responses. A thread has a cell of 4 x 4 pairs of
// the tile, whose counts stay in registers: eight numbers are read from shared memory for sixteen pairs. Where a tile
// has fewer cells than the block has threads, the responses are dealt to several threads a cell. Counts are whole
// numbers, so the order in which blocks add them changes nothing.
#pragma once

#include <cstdint>

#include "cuda/device/triangle.hpp"
#include "cuda/runtime.hpp"

namespace covn::cuda {

constexpr unsigned kPairwiseThreads = 256;
constexpr unsigned kCellModels = 4;
constexpr unsigned kTileModels = 64;
constexpr unsigned kTileCells = kTileModels / kCellModels;
constexpr unsigned kTileResponses = 32;            // in shared memory at a time
constexpr unsigned kTileStride = kTileModels + 2;  // even, for loads of two numbers; two ways of conflict when staging
constexpr unsigned kSegmentResponses = 4096;

struct PairwiseSlice {
  const double* log_probs;  // [models, stride], of which `responses` columns are this slice
  size_t stride;
  uint32_t models;
  size_t responses;
  const double* thresholds;  // [gridDim.z]
  uint64_t* counts;          // [gridDim.z, models, models], added to
  // The lowest (first response of the block of `check_block` responses, model) that holds a NaN or +inf, as
  // block * models + model; blocks are counted from the start of the whole input, of which the slice begins at `first`.
  unsigned long long* bad;
  size_t first;
  uint32_t check_block;
};

COVN_HD inline uint32_t pairwise_tiles(uint32_t models) { return (models + kTileModels - 1) / kTileModels; }

// The models of a cell are neighbours, and lie in shared memory as two pairs, 32 slots apart: so the cells that the
// lanes of a warp read lie side by side.
COVN_HD inline uint32_t slot_of(uint32_t model) {
  return (model % kCellModels / 2) * (kTileModels / 2) + model / kCellModels * 2 + model % 2;
}

// Whether a value may be a log-prob: below +inf, and no NaN.
COVN_HD inline bool below_infinity(double x) { return x <= 1.7976931348623157e308; }

struct alignas(16) TwoDoubles {
  double x, y;
};

__device__ inline void load_cell(const double* response, uint32_t cell, double (&values)[kCellModels]) {
  const auto* pairs = reinterpret_cast<const TwoDoubles*>(response) + cell;
  const TwoDoubles low = pairs[0], high = pairs[kTileModels / 4];
  values[0] = low.x, values[1] = low.y, values[2] = high.x, values[3] = high.y;
}

struct CellCounts {
  // Threshold above 0: differences that reach it either way, and those of them below 0. Threshold 0, which a difference
  // of 0 reaches both ways: differences at least 0, and at most 0.
  uint32_t first[kCellModels][kCellModels], second[kCellModels][kCellModels];
};

// What the sign bit of the difference of j and i says: that i exceeds j.
__device__ inline uint32_t sign_of(double x) { return static_cast<uint32_t>(__double2hiint(x)) >> 31; }

template <bool kZero>
__device__ inline void count_cell(const double (&a)[kCellModels], const double (&b)[kCellModels], double threshold,
                                  CellCounts& counts) {
#pragma unroll
  for (unsigned i = 0; i < kCellModels; i++) {
#pragma unroll
    for (unsigned j = 0; j < kCellModels; j++) {
      const double difference = b[j] - a[i];
      if (kZero) {
        counts.first[i][j] += difference >= 0.0;
        counts.second[i][j] += difference <= 0.0;
      } else if (fabs(difference) >= threshold) {
        counts.first[i][j]++;
        counts.second[i][j] += sign_of(difference);
      }
    }
  }
}

// Stages `columns` responses of up to 64 models, whose first begins at `from`; what is missing of whole cells becomes
// NaN, which reaches no threshold. With kCheck the least model in which something is no log-prob is given back; ~0
// where all is well. A thread has one response, of every eighth model: eight models on, the slot is four on.
template <bool kCheck>
__device__ __forceinline__ uint32_t stage_tile(const double* from, size_t stride, uint32_t models, uint32_t columns,
                                               double* tile) {
  constexpr uint32_t kStep = kPairwiseThreads / kTileResponses;
  const uint32_t column = threadIdx.x % kTileResponses, first = threadIdx.x / kTileResponses;
  const uint32_t whole = (models + kCellModels - 1) / kCellModels * kCellModels;
  const double* at = from + first * stride + column;
  double* to = tile + column * kTileStride + slot_of(first);
  uint32_t seen = ~0u;
#pragma unroll 8
  for (uint32_t model = first; model < whole; model += kStep, at += kStep * stride, to += kStep / 2) {
    double value = __longlong_as_double(0x7ff8000000000000ll);
    if (model < models && column < columns) {
      value = *at;
      if (kCheck && !below_infinity(value) && model < seen) seen = model;
    }
    *to = value;
  }
  return seen;
}

template <bool kZero>
__device__ inline void count_segment(const PairwiseSlice& slice, PairPlace tiles, size_t begin, size_t end,
                                     double threshold, double* shared) {
  const bool diagonal = tiles.row == tiles.column;
  double *const tile_a = shared, *const tile_b = diagonal ? shared : shared + kTileResponses * kTileStride;
  const uint32_t first_a = tiles.row * kTileModels, first_b = tiles.column * kTileModels;
  const uint32_t models_b = min(kTileModels, slice.models - first_b);
  const uint32_t cells_b = (models_b + kCellModels - 1) / kCellModels;
  const uint32_t cells = diagonal ? triangle(cells_b) : kTileCells * cells_b;
  const uint32_t groups = kPairwiseThreads / cells, group = threadIdx.x / cells, index = threadIdx.x % cells;
  const PairPlace cell = diagonal ? triangle_place(index) : PairPlace{index / cells_b, index % cells_b};

  CellCounts counts = {};
  for (size_t start = begin; start < end; start += kTileResponses) {
    const auto columns = static_cast<uint32_t>(min(static_cast<size_t>(kTileResponses), end - start));
    const double* const from = slice.log_probs + start;
    if (diagonal) {  // every model is in one tile of it
      const uint32_t seen = stage_tile<true>(from + first_b * slice.stride, slice.stride, models_b, columns, tile_b);
      if (seen != ~0u) {
        const size_t block = (slice.first + start + threadIdx.x % kTileResponses) / slice.check_block;
        atomicMin(slice.bad, static_cast<unsigned long long>(block * slice.models + first_b + seen));
      }
    } else {
      stage_tile<false>(from + first_a * slice.stride, slice.stride, kTileModels, columns, tile_a);
      stage_tile<false>(from + first_b * slice.stride, slice.stride, models_b, columns, tile_b);
    }
    __syncthreads();
    if (group < groups) {
      for (uint32_t column = group; column < columns; column += groups) {
        double a[kCellModels], b[kCellModels];
        load_cell(tile_a + column * kTileStride, cell.row, a);
        load_cell(tile_b + column * kTileStride, cell.column, b);
        count_cell<kZero>(a, b, threshold, counts);
      }
    }
    __syncthreads();
  }

  if (group >= groups) return;
  uint64_t* const matrix = slice.counts + static_cast<size_t>(blockIdx.z) * slice.models * slice.models;
#pragma unroll
  for (unsigned x = 0; x < kCellModels; x++) {
#pragma unroll
    for (unsigned y = 0; y < kCellModels; y++) {
      const size_t i = first_a + cell.row * kCellModels + x, j = first_b + cell.column * kCellModels + y;
      if (i > j || j >= slice.models) continue;
      const uint32_t second = counts.second[x][y], first = kZero ? counts.first[x][y] : counts.first[x][y] - second;
      const auto add = [&](size_t row, size_t column, uint32_t count) {
        if (count == 0) return;
        atomicAdd(reinterpret_cast<unsigned long long*>(matrix + row * slice.models + column),
                  static_cast<unsigned long long>(count));
      };
      add(i, j, first);
      if (i < j) add(j, i, second);
    }
  }
}

// Grid: pairs of tiles, segments of responses, thresholds.
__global__ void __launch_bounds__(kPairwiseThreads, 2) count_pairs_kernel(PairwiseSlice slice) {
  __shared__ __align__(16) double shared[2 * kTileResponses * kTileStride];
  const size_t begin = static_cast<size_t>(blockIdx.y) * kSegmentResponses;
  const size_t end = min(begin + kSegmentResponses, slice.responses);
  const double threshold = slice.thresholds[blockIdx.z];
  const PairPlace tiles = triangle_place(blockIdx.x);
  if (threshold == 0.0) {
    count_segment<true>(slice, tiles, begin, end, threshold, shared);
  } else {
    count_segment<false>(slice, tiles, begin, end, threshold, shared);
  }
}

}  // namespace covn::cuda
