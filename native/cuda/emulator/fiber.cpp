#include "cuda/emulator/fiber.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <new>

// void covn_switch_stack(void** from, void* to): saves what the calling convention says is the callee's to keep.
#if defined(COVN_SWITCH_STACKS) && defined(__x86_64__)
asm(R"(
.text
.balign 16
.globl covn_switch_stack
.hidden covn_switch_stack
.type covn_switch_stack, @function
covn_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size covn_switch_stack, . - covn_switch_stack
.section .note.GNU-stack, "", @progbits
.text
)");
#elif defined(COVN_SWITCH_STACKS)
asm(R"(
.text
.balign 16
.globl covn_switch_stack
.hidden covn_switch_stack
.type covn_switch_stack, %function
covn_switch_stack:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size covn_switch_stack, . - covn_switch_stack
)");
#endif

namespace covn::cuda::emulator {

#if defined(COVN_SWITCH_STACKS) && defined(__x86_64__)

extern "C" void covn_switch_stack(void** from, void* to);

void begin_context(Context& context, char* stack, size_t bytes, void (*entry)()) {
  // As if entry had been called: the stack pointer plus 8 is a multiple of 16, and the return address is none.
  auto* top = reinterpret_cast<uint64_t*>(reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15});
  *--top = 0;
  *--top = reinterpret_cast<uint64_t>(entry);
  for (int saved = 0; saved < 6; saved++) *--top = 0;
  context.stack_pointer = top;
}

void switch_context(Context& from, Context& to) { covn_switch_stack(&from.stack_pointer, to.stack_pointer); }

#elif defined(COVN_SWITCH_STACKS)

extern "C" void covn_switch_stack(void** from, void* to);

void begin_context(Context& context, char* stack, size_t bytes, void (*entry)()) {
  auto* top = reinterpret_cast<uint64_t*>(reinterpret_cast<uintptr_t>(stack + bytes) & ~uintptr_t{15});
  top -= 20;
  for (int saved = 0; saved < 20; saved++) top[saved] = 0;
  top[11] = reinterpret_cast<uint64_t>(entry);  // x30, where the switch returns to
  context.stack_pointer = top;
}

void switch_context(Context& from, Context& to) { covn_switch_stack(&from.stack_pointer, to.stack_pointer); }

#else

void begin_context(Context& context, char* stack, size_t bytes, void (*entry)()) {
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = stack;
  context.registers.uc_stack.ss_size = bytes;
  context.registers.uc_link = nullptr;
  makecontext(&context.registers, entry, 0);
}

void switch_context(Context& from, Context& to) { swapcontext(&from.registers, &to.registers); }

#endif

namespace {

constexpr size_t kGuard = size_t{64} << 10;  // a multiple of every page size in use
constexpr size_t kStride = Stacks::kBytes + kGuard;

}  // namespace

Stacks::~Stacks() {
  for (size_t i = 0; i < batch_count_; i++) munmap(batches_[i], kBatch * kStride);
  std::free(batches_);
}

void Stacks::reserve(size_t count) {
  while (batch_count_ * kBatch < count) {
    auto** batches = static_cast<char**>(std::realloc(batches_, (batch_count_ + 1) * sizeof(char*)));
    if (batches == nullptr) throw std::bad_alloc();
    batches_ = batches;
    void* memory =
        mmap(nullptr, kBatch * kStride, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    batches_[batch_count_++] = static_cast<char*>(memory);
    for (size_t i = 0; i < kBatch; i++) mprotect(static_cast<char*>(memory) + i * kStride, kGuard, PROT_NONE);
  }
}

char* Stacks::operator[](size_t index) const { return batches_[index / kBatch] + index % kBatch * kStride + kGuard; }

}  // namespace covn::cuda::emulator
