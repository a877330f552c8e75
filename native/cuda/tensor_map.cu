#include "cuda/tensor_map.hpp"

namespace covn::cuda {

#ifdef COVN_CUDA_EMULATED

cudaError_t make_tensor_map(TensorMap& map, const void* data, uint64_t width, uint64_t rows, uint64_t pitch_bytes,
                            uint32_t box_rows, bool) {
  if (reinterpret_cast<uintptr_t>(data) % 16 != 0 || pitch_bytes % 16 != 0) return cudaErrorInvalidValue;
  if (width == 0 || rows == 0 || box_rows == 0 || box_rows > 256) return cudaErrorInvalidValue;
  map = {static_cast<const unsigned char*>(data), width, rows, pitch_bytes, box_rows};
  return cudaSuccess;
}

#else

namespace {

using Encode = decltype(&cuTensorMapEncodeTiled);

Encode find_encode() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found);
#else
  const cudaError_t error = cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &function, cudaEnableDefault, &found);
#endif
  if (error != cudaSuccess || found != cudaDriverEntryPointSuccess) return nullptr;
  return reinterpret_cast<Encode>(function);
}

}  // namespace

cudaError_t make_tensor_map(TensorMap& map, const void* data, uint64_t width, uint64_t rows, uint64_t pitch_bytes,
                            uint32_t box_rows, bool bfloat16) {
  static const Encode encode = find_encode();
  if (encode == nullptr) return cudaErrorNotSupported;
  const cuuint64_t sizes[] = {width, rows}, strides[] = {pitch_bytes};
  const cuuint32_t box[] = {kBoxWidth, box_rows}, element_strides[] = {1, 1};
  const CUresult result =
      encode(&map, bfloat16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2,
             const_cast<void*>(data), sizes, strides, box, element_strides, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return result == CUDA_SUCCESS ? cudaSuccess : cudaErrorInvalidValue;
}

#endif

}  // namespace covn::cuda
