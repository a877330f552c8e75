// Large inputs in host memory, gone through in slices that two slots of pinned and device memory take in turn. While
// the stream of one slot copies its slice in and runs its kernels, the host copies the next slice into the pinned
// memory of the other. Device memory is bounded by the slots, whatever the size of the input, and is given back at the
// end, after an error and after a cancellation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>

#include "covn/job.hpp"
#include "cuda/free_memory.hpp"
#include "cuda/memory.hpp"
#include "cuda/stream.hpp"

namespace covn::cuda {

// A slice is copied by the host in a few milliseconds: long beside the cost of a launch, short beside the 50 ms in
// which a cancellation is to be felt; and pinning memory costs about as long as copying to it.
constexpr size_t kMaxSliceBytes = size_t{16} << 20;

// How many bytes the slots of a job may take on the device: a quarter of what is free, so that several jobs and
// processes have room.
inline Status device_budget(size_t& bytes) {
  size_t free = 0;
  COVN_TRY(free_memory(free));
  bytes = std::min(free / 4, 2 * kMaxSliceBytes);
  return {};
}

// How many units of input (rows, columns, ...) a slice holds, where each costs `unit_bytes` on the device, outputs and
// workspace included; at least one.
constexpr size_t slice_units(size_t budget_bytes, size_t unit_bytes) {
  return std::max<size_t>(1, budget_bytes / 2 / std::max<size_t>(1, unit_bytes));
}

// What a job derives its slot from: it adds its own buffers.
struct SliceSlot {
  Stream stream;  // the first member: buffers are freed in its order, before it
  PinnedBuffer<unsigned char> staged;
  DeviceBuffer<unsigned char> input;

  // Every kernel may read whole 16 bytes where the last of them begin inside the input.
  Status open(size_t input_bytes) {
    COVN_TRY(stream.create());
    COVN_TRY(staged.allocate(input_bytes));
    return input.allocate((input_bytes + 15) / 16 * 16, stream);
  }
  // Copies from the caller's memory, which is not looked at again, to byte `at` of what will be sent.
  void stage(const void* from, size_t bytes, size_t at = 0) {
    if (bytes > 0) std::memcpy(staged.data() + at, from, bytes);
  }
  // Copies bytes at .. at + bytes of what was staged to the device.
  Status send(size_t bytes, size_t at = 0) { return input.copy_in(staged.data() + at, bytes, stream, at); }
  Status copy_in(const void* from, size_t bytes, size_t at = 0) {
    stage(from, bytes, at);
    return send(bytes, at);
  }
};

// A job whose chunks are slices. It runs on one thread at a time, any of the pool's.
//   open(slot)          makes the slot's buffers; once for each slot that is used
//   begin(slice, slot)  enqueues all that the slice needs on the slot's stream, and returns
//   finish(slice, slot) reads what has arrived in the slot's pinned memory
//   finish_all()        after the last slice
// What these return is a failure of the device, which ends the job. Input that is wrong is said by fail_at() with its
// place (a row), in begin or finish; the slice then goes on without that row, since a lower one may be found wrong
// later. The lowest place is the one reported, as by the jobs of the CPU.
template <class Base, class Slot>
class SlicedJob : public Base {
 public:
  ~SlicedJob() override { close(); }
  size_t thread_limit() const override { return 1; }
  // Streams are waited for, and pinned memory is freed.
  bool settles_slowly() const override { return slots_[0].has_value() || slots_[1].has_value(); }

 protected:
  virtual Status open(Slot& slot) = 0;
  virtual Status begin(size_t slice, Slot& slot) = 0;
  virtual Status finish(size_t slice, Slot& slot) = 0;
  virtual Status finish_all() = 0;

  void fail_at(size_t place, Status status) {
    if (place >= failed_place_) return;
    failed_place_ = place;
    failure_.code = status.code;
    failure_.message = std::move(status.message);
  }
  // Gives back what the job has besides slots, whose streams have come to their end.
  virtual void release() {}
  // Gives the slots' memory back, after the work that still uses it. A job whose slots use other memory of its own
  // calls it before that goes.
  void close() {
    for (std::optional<Slot>& slot : slots_) {
      // Copies may still be on their way from or to the slot's pinned memory, which is freed before its stream is.
      if (slot && slot->stream != nullptr) static_cast<void>(slot->stream.synchronize());
      slot.reset();
    }
  }
  // The slot of the slice before or after this one; its stream's work has been enqueued.
  Slot& other(const Slot& slot) { return *slots_[&slot == &*slots_[0]]; }

  void run_chunk(size_t chunk) final {
    const Status status = go_on(chunk);
    if (status.ok() && failure_.ok()) return;
    // Nobody asks for what is in flight once the job has failed, and it may hold a lower place that is wrong.
    const Status drained = status.ok() ? drain(chunk + 1) : status;
    close();
    release();
    if (drained.ok()) {
      this->fail(chunk, failed_place_, failure_);
    } else {
      this->fail(chunk, 0, drained);
    }
  }

  void abandon() final {
    close();
    release();
  }

  Status merge() final {
    Status status = drain(this->chunk_count());
    close();
    if (status.ok()) status = failure_.ok() ? finish_all() : failure_;
    release();
    return status;
  }

 private:
  static constexpr size_t kNone = static_cast<size_t>(-1);

  // Finishes the slice before the last, and begins this one in its slot.
  Status go_on(size_t chunk) {
    const size_t turn = chunk % 2;
    COVN_TRY(slots_[turn] ? finish_turn(turn) : open_turn(turn));
    if (!failure_.ok() || this->cancelled()) return {};
    pending_[turn] = chunk;
    return begin(chunk, *slots_[turn]);
  }

  Status open_turn(size_t turn) {
    slots_[turn].emplace();
    return open(*slots_[turn]);
  }

  Status finish_turn(size_t turn) {
    const size_t slice = pending_[turn];
    if (slice == kNone) return {};
    pending_[turn] = kNone;
    COVN_TRY(slots_[turn]->stream.synchronize());
    return finish(slice, *slots_[turn]);
  }

  // Finishes the two slices before `end`, in their order.
  Status drain(size_t end) {
    COVN_TRY(finish_turn(end % 2));
    return finish_turn(1 - end % 2);
  }

  std::optional<Slot> slots_[2];
  size_t pending_[2] = {kNone, kNone};
  size_t failed_place_ = kNone;
  Status failure_;
};

}  // namespace covn::cuda
