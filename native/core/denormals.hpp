// How this thread's arithmetic on x86 treats subnormal results, while one of these objects lives; the thread's own mode
// comes back at the end. Subnormal operands are always read as they are. 64-bit Arm needs none of this.
#pragma once

#if defined(__SSE2__) || defined(_M_X64)
#include <xmmintrin.h>
#endif

namespace covn {

class DenormalMode {
 public:
  explicit DenormalMode(bool flush) : saved_(read()) { write(flush ? saved_ | kFlushBits : saved_ & ~kFlushBits); }
  ~DenormalMode() { write(saved_); }
  DenormalMode(const DenormalMode&) = delete;
  DenormalMode& operator=(const DenormalMode&) = delete;

 private:
#if defined(__SSE2__) || defined(_M_X64)
  using Word = unsigned;
  static constexpr Word kFlushBits = 0x8000;  // MXCSR: flush to zero
  static Word read() { return _mm_getcsr(); }
  static void write(Word word) { _mm_setcsr(word); }
#else
  using Word = unsigned;
  static constexpr Word kFlushBits = 0;
  static Word read() { return 0; }
  static void write(Word) {}
#endif
  Word saved_;
};

// Gives 0 instead of subnormal results, which cost some processors a microcode assist each (20 to 35 times slower on
// logits of standard deviation 30, measured in a kernel that formed them); a log-prob cannot see values below 1e-38.
class FlushDenormals : DenormalMode {
 public:
  FlushDenormals() : DenormalMode(true) {}
};

// The opposite, in a thread that flushes: where the sign of a difference decides, it must not become 0.
class KeepDenormals : DenormalMode {
 public:
  KeepDenormals() : DenormalMode(false) {}
};

}  // namespace covn
