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
      : row_(static_cast<const char*>(rows)), rows_(count), stride_(stride), bytes_(bytes) {
    step_ = (count * bytes / steps / kLine + 1) * kLine;
  }

  void step() {
    for (size_t left = step_; left > 0 && rows_ > 0;) {
      const size_t size = std::min(left, bytes_ - at_);
#if defined(__GNUC__)
      for (size_t i = 0; i < size; i += kLine) __builtin_prefetch(row_ + at_ + i, 0, 2);  // past the first-level cache
#endif
      left -= size;
      at_ += size;
      if (at_ < bytes_) continue;
      at_ = 0;
      row_ += stride_;
      rows_--;
    }
  }

 private:
  static constexpr size_t kLine = 64;

  const char* row_ = nullptr;
  size_t rows_ = 0, stride_ = 0, bytes_ = 0, at_ = 0, step_ = 0;
};

}  // namespace covn
