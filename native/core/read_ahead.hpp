// Memory that is read next, asked for a little at a time while something else is computed: a core has few requests
// under way at once, and waits when it makes more.
#pragma once

#include <algorithm>
#include <cstddef>

namespace covn {

class ReadAhead {
 public:
  ReadAhead() = default;
  // The first bytes of each of `count` rows that lie `stride` apart, in about so many steps. `by_page`: in turn from
  // several pages (core/cpu.hpp: prefetches_within_pages).
  ReadAhead(const void* rows, size_t count, size_t stride, size_t bytes, size_t steps, bool by_page)
      : row_(static_cast<const char*>(rows)),
        rows_(bytes > 0 ? count : 0),
        stride_(stride),
        bytes_(bytes),
        step_(count * bytes / std::max<size_t>(1, steps) + 1),
        by_page_(by_page) {}

  void step() { step(Prefetch{}); }
  // ask(line): once of every line of rows that begin with one, and of a few past each row's.
  template <class Ask>
  void step(const Ask& ask) {
    if (rows_ == 0) return;
    for (due_ += step_; due_ >= kAsked && rows_ > 0; due_ -= kAsked) ask_some(ask);
  }

 private:
  struct Prefetch {
#if defined(__GNUC__)
    // Or else the call is dropped as one that does nothing (kernels/README.md, Traps).
    __attribute__((always_inline)) void operator()(const char* line) const {
      __builtin_prefetch(line, 0, 2);  // past the first-level cache
    }
#else
    void operator()(const char*) const {}
#endif
  };

  static constexpr size_t kLine = 64, kLines = 8, kAsked = kLines * kLine, kPage = 4096, kTurn = kLines * kPage;

  template <class Ask>
  void ask_some(const Ask& ask) {
    const bool pages = by_page_ && turn_ + kTurn <= bytes_;
    const char* const first = row_ + turn_ + at_;
    const size_t apart = pages ? kPage : kLine;
#pragma GCC unroll 8
    for (size_t i = 0; i < kLines; i++) ask(first + i * apart);
    at_ += pages ? kLine : kAsked;
    if (pages && at_ == kPage) {
      turn_ += kTurn;
      at_ = 0;
    }
    if (turn_ + at_ < bytes_) return;
    turn_ = at_ = 0;
    row_ += stride_;
    rows_--;
  }

  const char* row_ = nullptr;
  size_t rows_ = 0, stride_ = 0, bytes_ = 0, step_ = 0;
  bool by_page_ = false;
  size_t due_ = kAsked;
  size_t turn_ = 0, at_ = 0;  // what has been asked for of the row: whole turns of kLines pages, and of this one
};

}  // namespace covn
