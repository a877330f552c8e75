// What the copy engine of Hopper is told of a matrix of 16-bit elements: rows of `width`, boxes of some rows by 64
// elements (128 bytes), swizzled by 128 bytes.
#pragma once

#include <cstdint>

#include "cuda/runtime.hpp"
#ifndef COVN_CUDA_EMULATED
#include <cuda.h>
#endif

namespace covn::cuda {

#ifdef COVN_CUDA_EMULATED
struct alignas(64) TensorMap {
  const unsigned char* data;
  uint64_t width, rows, pitch_bytes;
  uint32_t box_rows;
};
#else
using TensorMap = CUtensorMap;
#endif

constexpr uint32_t kBoxWidth = 64;

// The driver's function that writes tensor maps is asked for at run time: nothing here links with libcuda.
// `data` is 16-byte aligned, `pitch_bytes` a multiple of 16, width and rows at least 1 and below 2^31, box_rows at
// most 256. `bfloat16` says how the elements are read where that could matter: bfloat16 or half.
cudaError_t make_tensor_map(TensorMap& map, const void* data, uint64_t width, uint64_t rows, uint64_t pitch_bytes,
                            uint32_t box_rows, bool bfloat16);

}  // namespace covn::cuda
