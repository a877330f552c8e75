// Memory that is read next, asked for a little at a time while something else is computed: a core has few requests
// under way at once, and waits when it makes more.
#pragma once

#include <algorithm>
#include <cstddef>

namespace covn {

class ReadAhead {
 public:
  ReadAhead() = default;
  // The first bytes of each of `count` rows that lie `stride` apart, in about so many steps.
  ReadAhead(const void* rows, size_t count, size_t stride, size_t bytes, size_t steps)
      : row_(static_cast<const char*>(rows)),
        rows_(bytes > 0 ? count : 0),
        stride_(stride),
        bytes_(bytes),
        step_((count * bytes / std::max<size_t>(1, steps) / kLine + 1) * kLine) {}

  void step() {
    for (size_t left = step_; left > 0 && rows_ > 0; left -= kLine) {
#if defined(__GNUC__)
      __builtin_prefetch(row_ + place(), 0, 2);  // past the first-level cache
#endif
      at_ += kLine;
      if (at_ < bytes_) continue;
      at_ = 0;
      row_ += stride_;
      rows_--;
    }
  }

 private:
  static constexpr size_t kLine = 64;
  // Pages that are asked for by turns: hardware that prefetches follows a stream within each, so many lines ahead.
  static constexpr size_t kPage = 4096, kPages = 8, kTurn = kPage * kPages;

  size_t place() const {
    const size_t turn = at_ / kTurn * kTurn, line = at_ % kTurn / kLine;
    return turn + kTurn <= bytes_ ? turn + line % kPages * kPage + line / kPages * kLine : at_;
  }

  const char* row_ = nullptr;
  size_t rows_ = 0, stride_ = 0, bytes_ = 0, at_ = 0, step_ = 0;
};

}  // namespace covn
