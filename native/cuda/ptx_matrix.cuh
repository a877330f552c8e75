// Instructions of tensor-core kernels from sm_80 on, each beside its emulated twin: copies that need no register,
// matrix fragments from shared memory, and the product of 16 x 16 by 16 x 8. After the PTX ISA's cp.async, ldmatrix and
// mma.sync.m16n8k16.
#pragma once

#include "core/number_formats.hpp"
#include "cuda/runtime.hpp"
#ifdef COVN_CUDA_EMULATED
#include "cuda/emulator/matrix_units.hpp"
#endif

namespace covn::cuda::ptx {

// Shared memory as the instructions address it.
__device__ __forceinline__ uint32_t shared_address(const void* pointer) {
#ifdef COVN_CUDA_EMULATED
  return emulator::shared_address(pointer);
#else
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
#endif
}

// Copies 16 bytes to shared memory, past the first-level cache; `valid` false: 16 zeros, and nothing is read. The
// bytes are there for this thread after the wait for their group, for others after a barrier too.
__device__ __forceinline__ void copy_async_16(uint32_t to, const void* from, bool valid) {
#ifdef COVN_CUDA_EMULATED
  emulator::copy_async(to, from, valid ? 16 : 0);
#else
  const uint32_t bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
#endif
}

__device__ __forceinline__ void commit_copies() {
#ifdef COVN_CUDA_EMULATED
  emulator::commit_copies();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `Pending` of this thread's groups are under way.
template <int Pending>
__device__ __forceinline__ void wait_copies() {
#ifdef COVN_CUDA_EMULATED
  emulator::wait_copies(Pending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
#endif
}

// Four 8 x 8 matrices of 16-bit elements. Lanes 8 i .. 8 i + 7 give the addresses of the rows of matrix i; lane l gets
// elements 2 (l % 4) and + 1 of row l / 4 of each.
__device__ __forceinline__ void load_matrices(uint32_t (&to)[4], uint32_t row_address) {
#ifdef COVN_CUDA_EMULATED
  emulator::load_matrices(to, row_address);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row_address)
               : "memory");
#endif
}

// sums [16, 8] += a [16, 16] b [16, 8], of Float16 or BFloat16, in floats. With group g = lane / 4 and i = lane % 4,
//   sums: (g, 2 i), (g, 2 i + 1), (g + 8, 2 i), (g + 8, 2 i + 1)
//   a:    (g, 2 i ..), (g + 8, 2 i ..), (g, 2 i + 8 ..), (g + 8, 2 i + 8 ..), each with the next column in its upper
//   half b:    (2 i .., g), (2 i + 8 .., g), each with the next row in its upper half
template <class T>
__device__ __forceinline__ void multiply_add(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef COVN_CUDA_EMULATED
  emulator::multiply_add<T>(sums, a, b0, b1);
#else
  if constexpr (sizeof(T) == 2 && std::is_same_v<T, BFloat16>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#endif
}

}  // namespace covn::cuda::ptx
