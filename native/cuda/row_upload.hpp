// Rows from anywhere in host memory to a matrix on the device, through two pinned buffers: one is filled while the
// other is copied.
#pragma once

#include <algorithm>
#include <cstring>

#include "cuda/memory.hpp"
#include "cuda/stream.hpp"

namespace covn::cuda {

class RowUpload {
 public:
  // Buffers of this many bytes, or of one row if that is more.
  Status create(size_t staged_bytes, size_t row_bytes) {
    for (Half& half : halves_) {
      COVN_TRY(half.buffer.allocate(std::max(staged_bytes, row_bytes)));
      COVN_TRY(half.copied.create());
    }
    return {};
  }

  // Rows row_at(0) .. row_at(count - 1), of `width` elements each, to `to` [count, pitch]; zeros up to the pitch. The
  // rows have been read when it returns; their copies are under way in the stream. `cancelled` is asked for each
  // buffer.
  template <class T, class RowAt, class Cancelled>
  Status copy(T* to, size_t pitch, size_t width, size_t count, RowAt row_at, cudaStream_t stream, Cancelled cancelled) {
    const size_t pitch_bytes = pitch * sizeof(T), width_bytes = width * sizeof(T);
    const size_t rows = halves_[0].buffer.size() / pitch_bytes;
    for (size_t first = 0; first < count && !cancelled(); first += rows) {
      const size_t n = std::min(rows, count - first);
      Half& half = halves_[next_];
      next_ ^= 1;
      COVN_TRY(half.copied.synchronize());
      unsigned char* at = half.buffer.data();
      for (size_t i = 0; i < n; i++, at += pitch_bytes) {
        std::memcpy(at, row_at(first + i), width_bytes);
        std::memset(at + width_bytes, 0, pitch_bytes - width_bytes);
      }
      COVN_CUDA_TRY(
          cudaMemcpyAsync(to + first * pitch, half.buffer.data(), n * pitch_bytes, cudaMemcpyHostToDevice, stream),
          "copying to the device");
      COVN_TRY(half.copied.record(stream));
    }
    return {};
  }

 private:
  struct Half {
    PinnedBuffer<unsigned char> buffer;
    Event copied;
  };
  Half halves_[2];
  size_t next_ = 0;
};

}  // namespace covn::cuda
