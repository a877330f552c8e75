// A few numbers from anywhere in host memory to the device, at once.
#pragma once

#include <algorithm>
#include <cstddef>

#include "cuda/memory.hpp"
#include "cuda/stream.hpp"

namespace covn::cuda {

// Returns after the copy: its pinned memory must not go before.
template <class T>
Status upload(const T* values, size_t count, DeviceBuffer<T>& to, const Stream& stream) {
  PinnedBuffer<T> staged;
  COVN_TRY(staged.allocate(count));
  std::copy_n(values, count, staged.data());
  COVN_TRY(to.copy_in(staged.data(), count, stream));
  return stream.synchronize();
}

}  // namespace covn::cuda
