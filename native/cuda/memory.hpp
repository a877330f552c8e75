// Device and pinned host memory with an owner.
#pragma once

#include <cstddef>
#include <limits>
#include <type_traits>
#include <utility>

#include "cuda/runtime.hpp"
#include "cuda/status.hpp"

namespace covn::cuda {

// [count] of T on the device, allocated and freed in the order of a stream: cudaFree would wait for the work of every
// stream of the process. What a pool holds beyond what is in use goes back to the device when a stream is waited for.
template <class T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        count_(std::exchange(other.count_, 0)),
        stream_(std::exchange(other.stream_, nullptr)) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~DeviceBuffer() { release(); }

  // The stream must outlive the buffer. Contents are undefined.
  Status allocate(size_t count, cudaStream_t stream) {
    release();
    if (count == 0) return {};
    if (count > std::numeric_limits<size_t>::max() / sizeof(T)) {
      return {Code::out_of_memory, "Out of CUDA memory while allocating on the device"};
    }
    void* memory = nullptr;
    COVN_CUDA_TRY(cudaMallocAsync(&memory, count * sizeof(T), stream), "allocating on the device");
    data_ = static_cast<T*>(memory);
    count_ = count;
    stream_ = stream;
    return {};
  }
  // After the work that the stream has now.
  void release() {
    if (data_ != nullptr) static_cast<void>(cudaFreeAsync(data_, stream_));
    data_ = nullptr;
    count_ = 0;
  }

  T* data() const { return data_; }
  size_t size() const { return count_; }

  // `from` should be pinned, and must stay as it is until the stream has come so far.
  Status copy_in(const T* from, size_t count, cudaStream_t stream, size_t at = 0) {
    if (count == 0) return {};
    return to_status(cudaMemcpyAsync(data_ + at, from, count * sizeof(T), cudaMemcpyHostToDevice, stream),
                     "copying to the device");
  }
  Status copy_out(T* to, size_t count, cudaStream_t stream, size_t at = 0) const {
    if (count == 0) return {};
    return to_status(cudaMemcpyAsync(to, data_ + at, count * sizeof(T), cudaMemcpyDeviceToHost, stream),
                     "copying from the device");
  }
  // Every byte.
  Status fill(int byte, cudaStream_t stream) {
    return to_status(cudaMemsetAsync(data_, byte, count_ * sizeof(T), stream), "filling device memory");
  }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
  cudaStream_t stream_ = nullptr;
};

// [count] of T in host memory that the device copies from and to without anybody's help. Freeing waits for the whole
// device, so it is made once a job and freed at its end.
template <class T>
class PinnedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PinnedBuffer() = default;
  PinnedBuffer(PinnedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(count_, other.count_);
    return *this;
  }
  ~PinnedBuffer() { release(); }

  Status allocate(size_t count) {
    release();
    if (count == 0) return {};
    if (count > std::numeric_limits<size_t>::max() / sizeof(T)) {
      return {Code::out_of_memory, "Out of CUDA memory while pinning host memory"};
    }
    void* memory = nullptr;
    COVN_CUDA_TRY(cudaHostAlloc(&memory, count * sizeof(T), cudaHostAllocDefault), "pinning host memory");
    data_ = static_cast<T*>(memory);
    count_ = count;
    return {};
  }
  void release() {
    if (data_ != nullptr) static_cast<void>(cudaFreeHost(data_));
    data_ = nullptr;
    count_ = 0;
  }

  T* data() const { return data_; }
  size_t size() const { return count_; }
  T& operator[](size_t index) const { return data_[index]; }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

}  // namespace covn::cuda
