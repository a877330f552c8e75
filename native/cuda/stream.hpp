// Streams and events with an owner. Every stream is one of its own: none of them waits for the default stream, and no
// work is put there.
#pragma once

#include <utility>

#include "cuda/runtime.hpp"
#include "cuda/status.hpp"

namespace covn::cuda {

class Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() {
    if (stream_ == nullptr) return;
    // Buffers that its work still reads must not go first.
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(cudaStreamDestroy(stream_));
  }

  Status create() { return to_status(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
  // Waits until all its work is done; says what failed in it.
  Status synchronize() const { return to_status(cudaStreamSynchronize(stream_), "running its work"); }

  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

// A place in a stream.
class Event {
 public:
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() {
    if (event_ != nullptr) static_cast<void>(cudaEventDestroy(event_));
  }

  Status create() { return to_status(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "making an event"); }
  Status record(cudaStream_t stream) { return to_status(cudaEventRecord(event_, stream), "recording an event"); }
  // The host waits; at once where nothing was recorded.
  Status synchronize() const { return to_status(cudaEventSynchronize(event_), "running its work"); }
  // The stream's later work waits.
  Status hold(cudaStream_t stream) const {
    return to_status(cudaStreamWaitEvent(stream, event_, 0), "waiting for an event");
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace covn::cuda
