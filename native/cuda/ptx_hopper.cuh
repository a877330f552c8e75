// Instructions of Hopper (sm_90a), each beside its emulated twin: barriers that copies complete, copies of boxes of a
// matrix, and products of a warpgroup with both factors in shared memory. After the PTX ISA's mbarrier,
// cp.async.bulk.tensor and wgmma. The twins are our reading of it; they were not compared with the hardware.
#pragma once

#include "cuda/ptx_matrix.cuh"
#include "cuda/tensor_map.hpp"

namespace covn::cuda::ptx {

// A barrier of one phase after another; phase 0 is under way. It ends when `arrivals` threads have arrived and all
// bytes that were announced are there.
__device__ __forceinline__ void init_barrier(uint64_t* barrier, uint32_t arrivals) {
#ifdef COVN_CUDA_EMULATED
  emulator::init_barrier(barrier, arrivals);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
#endif
}

// Makes barriers that were just set up known to the copy engine.
__device__ __forceinline__ void fence_barrier_init() {
#ifndef COVN_CUDA_EMULATED
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

__device__ __forceinline__ void arrive(uint64_t* barrier) {
#ifdef COVN_CUDA_EMULATED
  emulator::arrive(barrier, 0);
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
#endif
}

// Arrives, and announces the bytes that copies will bring.
__device__ __forceinline__ void arrive_and_expect(uint64_t* barrier, uint32_t bytes) {
#ifdef COVN_CUDA_EMULATED
  emulator::arrive(barrier, bytes);
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
#endif
}

// Waits until the phase of this parity has ended.
__device__ __forceinline__ void wait_barrier(uint64_t* barrier, uint32_t parity) {
#ifdef COVN_CUDA_EMULATED
  emulator::wait_barrier(barrier, parity);
#else
  asm volatile(
      "{\n"
      ".reg .pred ended;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 ended, [%0], %1;\n"
      "@!ended bra again;\n"
      "}" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
#endif
}

// Copies a box of the matrix whose first element is (column, row) to shared memory, swizzled as the map says, and lets
// its bytes count at the barrier. What lies outside the matrix is 0. Called by one thread.
__device__ __forceinline__ void copy_box(void* to, const TensorMap* map, int32_t column, int32_t row,
                                         uint64_t* barrier) {
#ifdef COVN_CUDA_EMULATED
  emulator::copy_box(to, map, column, row, barrier);
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];" ::
          "r"(shared_address(to)),
      "l"(reinterpret_cast<uint64_t>(map)), "r"(column), "r"(row), "r"(shared_address(barrier))
      : "memory");
#endif
}

// How many registers a warpgroup's threads have, from here on; called by all of its threads.
template <uint32_t Count>
__device__ __forceinline__ void give_registers() {
#ifndef COVN_CUDA_EMULATED
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}
template <uint32_t Count>
__device__ __forceinline__ void take_registers() {
#ifndef COVN_CUDA_EMULATED
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Count));
#endif
}

// Describes a factor in shared memory, rows of 64 16-bit elements of its K dimension in blocks of eight rows (1024
// bytes), swizzled by 128 bytes: its address, a leading offset that this layout does not use, and from block to block.
// The `address` of a later part of K lies 2 bytes an element further.
__device__ __forceinline__ uint64_t describe_factor(uint32_t address) {
  constexpr uint64_t kLeading = 1, kStride = 1024 >> 4, kSwizzle128 = 1;
  return uint64_t{(address & 0x3ffff) >> 4} | kLeading << 16 | kStride << 32 | kSwizzle128 << 62;
}

// Before the first product, and where registers of the sums were touched since the last.
__device__ __forceinline__ void fence_products() {
#ifndef COVN_CUDA_EMULATED
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}

__device__ __forceinline__ void commit_products() {
#ifdef COVN_CUDA_EMULATED
  emulator::commit_products();
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// Waits until at most `Pending` groups of products are under way. Until then neither the sums nor the factors are to
// be touched.
template <int Pending>
__device__ __forceinline__ void wait_products() {
#ifdef COVN_CUDA_EMULATED
  emulator::wait_products(Pending);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
#endif
}

#define COVN_FOUR(x, i) "+f"(x[i]), "+f"(x[(i) + 1]), "+f"(x[(i) + 2]), "+f"(x[(i) + 3])
#define COVN_SIXTEEN(x, i) COVN_FOUR(x, i), COVN_FOUR(x, (i) + 4), COVN_FOUR(x, (i) + 8), COVN_FOUR(x, (i) + 12)
#define COVN_ALL_128(x)                                                                                   \
  COVN_SIXTEEN(x, 0), COVN_SIXTEEN(x, 16), COVN_SIXTEEN(x, 32), COVN_SIXTEEN(x, 48), COVN_SIXTEEN(x, 64), \
      COVN_SIXTEEN(x, 80), COVN_SIXTEEN(x, 96), COVN_SIXTEEN(x, 112)
// After the last wait: says that the sums have changed, which the wait's own instruction does not tell the compiler, so
// that no reading of them is moved before it.
__device__ __forceinline__ void take_sums([[maybe_unused]] float (&sums)[128]) {
#ifndef COVN_CUDA_EMULATED
  asm volatile("" : COVN_ALL_128(sums)::"memory");
#endif
}

#define COVN_WGMMA(type)                                                                              \
  "{\n"                                                                                               \
  ".reg .pred added;\n"                                                                               \
  "setp.ne.b32 added, %130, 0;\n"                                                                     \
  "wgmma.mma_async.sync.aligned.m64n256k16.f32." type "." type                                        \
  " "                                                                                                 \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "                  \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "                  \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "                  \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "                  \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "                  \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, "      \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, " \
  "%128, %129, added, 1, 1, 0, 0;\n"                                                                  \
  "}"

// sums [64, 256] (+)= a [64, 16] b [256, 16] transposed, of Float16 or BFloat16, by a warpgroup: warp w has rows
// 16 w .., laid out as FragmentLayout<256> says. Under way until the wait for its group.
template <class T>
__device__ __forceinline__ void multiply_async(float (&sums)[128], uint64_t a, uint64_t b, bool add) {
#ifdef COVN_CUDA_EMULATED
  emulator::multiply_async<T>(sums, a, b, add);
#else
  const uint32_t added = add ? 1 : 0;
  if constexpr (std::is_same_v<T, BFloat16>) {
    asm volatile(COVN_WGMMA("bf16") : COVN_ALL_128(sums) : "l"(a), "l"(b), "r"(added));
  } else {
    asm volatile(COVN_WGMMA("f16") : COVN_ALL_128(sums) : "l"(a), "l"(b), "r"(added));
  }
#endif
}

#undef COVN_WGMMA
#undef COVN_ALL_128
#undef COVN_SIXTEEN
#undef COVN_FOUR

}  // namespace covn::cuda::ptx
