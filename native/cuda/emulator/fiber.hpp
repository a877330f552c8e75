// Stacks, and switching from one to another in a few nanoseconds: what the threads of an emulated block run on.
// ucontext would make two system calls a switch for the signal mask, and longjmp between stacks is refused by fortified
// C libraries, so the switch is a few lines of assembly; processors without them get ucontext.
#pragma once

#include <cstddef>

// COVN_EMULATOR_UCONTEXT: for trying the third way where the others would do.
#if (defined(__x86_64__) || defined(__aarch64__)) && !defined(COVN_EMULATOR_UCONTEXT)
#define COVN_SWITCH_STACKS 1
#else
#include <ucontext.h>
#endif

namespace covn::cuda::emulator {

// One flow of control that is not running. A context that is switched away from is filled in by that.
struct Context {
#ifdef COVN_SWITCH_STACKS
  void* stack_pointer = nullptr;
#else
  ucontext_t registers;
#endif
};

// Makes a context that begins with entry() on the given stack. `entry` must never return.
void begin_context(Context& context, char* stack, size_t bytes, void (*entry)());

// Goes on with `to`; comes back when something switches to `from`.
void switch_context(Context& from, Context& to);

// Stacks of one size with an inaccessible page below each, kept from launch to launch.
class Stacks {
 public:
  static constexpr size_t kBytes = size_t{256} << 10;

  ~Stacks();
  // Makes sure of this many; throws std::bad_alloc.
  void reserve(size_t count);
  char* operator[](size_t index) const;

 private:
  static constexpr size_t kBatch = 32;  // stacks a mapping
  char** batches_ = nullptr;
  size_t batch_count_ = 0;
};

}  // namespace covn::cuda::emulator
