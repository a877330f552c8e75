// The emulated twins of the instructions in ptx_matrix.cuh and ptx_hopper.cuh: asynchronous copies, barriers that count
// bytes, and products of matrices.
//
// What is asynchronous happens as late as the PTX ISA allows: a copy when the thread waits for its group, a box when
// someone waits for its barrier, a product when its group is waited for. So a kernel that forgets a wait reads what was
// there before. Under odd seeds copies are done at once instead, so that one that overwrites what is still read shows.
// Products of matrices are exact, and their sums rounded to float once an instruction; hardware rounds
// somewhat differently (the PTX ISA leaves it open). All of this is a reading of the PTX ISA.
#pragma once

#include <cstdint>

#include "core/number_formats.hpp"
#include "cuda/emulator/block.hpp"
#include "cuda/tensor_map.hpp"

namespace covn::cuda::emulator {

// Dynamic shared memory begins at this address, as the instructions see it.
constexpr uint32_t kSharedBase = 1024;

uint32_t shared_address(const void* pointer);
// Ends the grid if the bytes do not lie in dynamic shared memory.
unsigned char* shared_pointer(uint32_t address, uint32_t bytes);

// cp.async: 16 bytes, of which `bytes` are read.
void copy_async(uint32_t to, const void* from, uint32_t bytes);
void commit_copies();
void wait_copies(int pending);

void load_matrices(uint32_t (&to)[4], uint32_t row_address);

// mbarrier, in its own eight bytes of shared memory.
void init_barrier(uint64_t* barrier, uint32_t arrivals);
void arrive(uint64_t* barrier, uint32_t expected_bytes);
void wait_barrier(uint64_t* barrier, uint32_t parity);
void copy_box(void* to, const TensorMap* map, int32_t column, int32_t row, uint64_t* barrier);

// Bits 4 .. 6 of an address by bits 7 .. 9.
constexpr uint32_t swizzled_128(uint32_t address) { return address ^ (address >> 7 & 7) << 4; }

using Widen = float (*)(uint16_t);
template <class T>
float widen(uint16_t bits) {
  return to_float(T{bits});
}

void multiply_add(Widen widen, float* sums, const uint32_t* a, uint32_t b0, uint32_t b1);
template <class T>
void multiply_add(float (&sums)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  multiply_add(widen<T>, sums, a, b0, b1);
}

// wgmma of 64 x 256 x 16.
void multiply_async(Widen widen, float* sums, uint64_t a, uint64_t b, bool add);
template <class T>
void multiply_async(float (&sums)[128], uint64_t a, uint64_t b, bool add) {
  multiply_async(widen<T>, sums, a, b, add);
}
void commit_products();
void wait_products(int pending);

}  // namespace covn::cuda::emulator
