// Numbers from anywhere in host memory to the device, at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>

#include "cuda/memory.hpp"
#include "cuda/stream.hpp"

namespace covn::cuda {

// Returns after the copies: their pinned memory must not go before, or change.
// Ends with Code::cancelled where `stop`, unless empty, says so.
template <class T>
Status upload(const T* values, size_t count, DeviceBuffer<T>& to, const Stream& stream,
              const std::function<bool()>& stop = {}) {
  constexpr size_t kMostStaged = (size_t{4} << 20) / sizeof(T);
  PinnedBuffer<T> staged;
  COVN_TRY(staged.allocate(std::min(count, kMostStaged)));
  for (size_t at = 0; at < count; at += staged.size()) {
    if (stop && stop()) return {Code::cancelled, "The job was cancelled"};
    const size_t size = std::min(staged.size(), count - at);
    std::copy_n(values + at, size, staged.data());
    COVN_TRY(to.copy_in(staged.data(), size, stream, at));
    COVN_TRY(stream.synchronize());
  }
  return {};
}

}  // namespace covn::cuda
