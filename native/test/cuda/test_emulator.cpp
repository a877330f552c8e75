// The emulator: that right kernels are right under every order of threads, and that wrong ones are found out. Each kind
// of mistake is planted here once.
#include <cstring>
#include <numeric>
#include <vector>

#include "cuda/emulator/control.hpp"
#include "cuda/memory.hpp"
#include "cuda/runtime.hpp"
#include "cuda/stream.hpp"
#include "test/check.hpp"

using namespace covn;
using namespace covn::cuda;
using namespace covn::test;

namespace {

constexpr unsigned kAll = 0xffffffffu;
constexpr int kSeeds = 12;

// sums[block] = sum of in[block * blockDim.x ..]: warps by shuffles, then the block through shared memory.
__global__ void reduce(const int* in, int* sums) {
  __shared__ int warps[32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int sum = in[blockIdx.x * blockDim.x + threadIdx.x];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(kAll, sum, step);
  if (lane == 0) warps[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    sum = lane < blockDim.x / 32 ? warps[lane] : 0;
    for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(kAll, sum, step);
    if (lane == 0) sums[blockIdx.x] = sum;
  }
}

// Inclusive prefix sums of a block; kBarrier = false leaves out a barrier that it needs.
template <bool kBarrier>
__global__ void scan(const double* in, double* out) {
  COVN_DYNAMIC_SHARED(double, warps);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  double sum = in[threadIdx.x];
  for (unsigned step = 1; step < 32; step *= 2) {
    const double before = __shfl_up_sync(kAll, sum, step);
    if (lane >= step) sum += before;
  }
  if (lane == 31) warps[warp] = sum;
  if (kBarrier) __syncthreads();
  for (unsigned w = 0; w < warp; w++) sum += warps[w];
  out[threadIdx.x] = sum;
}

template <bool kBarrier>
__global__ void reverse_static(int* out) {
  __shared__ int values[64];
  values[threadIdx.x] = static_cast<int>(threadIdx.x);
  if (kBarrier) __syncthreads();
  out[threadIdx.x] = values[63 - threadIdx.x];
}

__global__ void half_reach_the_barrier(int* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void barriers_of_two_places(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}
__global__ void half_of_a_warp_shuffles(int* out) {
  int value = 1;
  if (threadIdx.x % 2 == 0) value = __shfl_xor_sync(kAll, value, 2);
  __syncthreads();
  out[threadIdx.x] = value;
}
__global__ void write_at(int* out, int at) {
  if (threadIdx.x == 0) out[at] = 1;
}
__global__ void write_shared_at(int at) {
  COVN_DYNAMIC_SHARED(int, shared);
  if (threadIdx.x == 0) shared[at] = 1;
}
__global__ void wait_for_ever(int* flag) {
  while (__ldcg(flag) != 1) __nanosleep(100);
}

__global__ void votes(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  if (__ballot_sync(kAll, lane % 3 == 0) != 0x49249249u) atomicAdd(out, 1);
  if (!__any_sync(kAll, lane == 7) || __all_sync(kAll, lane != 7)) atomicAdd(out, 1);
  if (__reduce_max_sync(kAll, lane - 40) != -9 || __reduce_add_sync(kAll, 1u) != 32) atomicAdd(out, 1);
  if (__match_any_sync(kAll, lane / 16) != (lane < 16 ? 0xffffu : 0xffff0000u)) atomicAdd(out, 1);
  if (__shfl_sync(kAll, lane, 3, 8) != lane / 8 * 8 + 3) atomicAdd(out, 1);
  if (__syncthreads_count(lane < 5) != 5) atomicAdd(out, 1);
  // Lanes of their own masks, one half after the other or beside it.
  const unsigned half = lane < 16 ? 0xffffu : 0xffff0000u;
  if (__shfl_xor_sync(half, lane, 1) != (lane ^ 1)) atomicAdd(out, 1);
  if (lane >= 20) return;
  if (__shfl_down_sync(0xfffffu, lane, 1) != (lane == 19 ? -1 : lane + 1)) atomicAdd(out, 1);
}

struct Fixture {
  Stream stream;
  Fixture() {
    emulator::set_seed(0);
    emulator::reset();
    CHECK(stream.create().ok());
  }
  ~Fixture() {
    emulator::set_seed(0);
    emulator::reset();
  }
};

template <class T>
std::vector<T> read_back(const DeviceBuffer<T>& buffer, const Stream& stream) {
  std::vector<T> out(buffer.size());
  CHECK(buffer.copy_out(out.data(), out.size(), stream).ok());
  return out;
}

}  // namespace

COVN_TEST(reduction_of_many_blocks_under_every_order) {
  Fixture f;
  std::vector<int> in(100 * 256), want(100);
  std::iota(in.begin(), in.end(), 5);
  for (size_t i = 0; i < in.size(); i++) want[i / 256] += in[i];
  for (int seed = 0; seed < kSeeds; seed++) {
    emulator::set_seed(seed);
    DeviceBuffer<int> device_in, sums;
    CHECK(device_in.allocate(in.size(), f.stream).ok() && sums.allocate(100, f.stream).ok());
    CHECK(device_in.copy_in(in.data(), in.size(), f.stream).ok());
    CHECK(launch(reduce, 100, 256, 0, f.stream, device_in.data(), sums.data()) == cudaSuccess);
    CHECK(read_back(sums, f.stream) == want);
  }
  CHECK(emulator::take_findings().empty());
}

// How many seeds give the right prefix sums.
template <bool kBarrier>
int right_scans(const Stream& stream) {
  std::vector<double> in(512), want(512);
  for (size_t i = 0; i < 512; i++) in[i] = static_cast<double>(i % 7);
  std::partial_sum(in.begin(), in.end(), want.begin());
  int right = 0;
  for (int seed = 0; seed < kSeeds; seed++) {
    emulator::set_seed(seed);
    DeviceBuffer<double> device_in, out;
    CHECK(device_in.allocate(512, stream).ok() && out.allocate(512, stream).ok());
    CHECK(device_in.copy_in(in.data(), 512, stream).ok());
    CHECK(launch(scan<kBarrier>, 1, 512, 16 * sizeof(double), stream, device_in.data(), out.data()) == cudaSuccess);
    right += read_back(out, stream) == want;
  }
  return right;
}

COVN_TEST(a_missing_barrier_shows) {
  Fixture f;
  CHECK(right_scans<true>(f.stream) == kSeeds);
  CHECK(right_scans<false>(f.stream) < kSeeds);
}

COVN_TEST(static_shared_memory_is_poisoned) {
  Fixture f;
  DeviceBuffer<int> out;
  CHECK(out.allocate(64, f.stream).ok());
  int wrong = 0;
  for (int seed = 0; seed < kSeeds; seed++) {
    emulator::set_seed(seed);
    // The right kernel leaves in its memory what the wrong one, its other instance or its next block, would have read.
    CHECK(launch(reverse_static<true>, 3, 64, 0, f.stream, out.data()) == cudaSuccess);
    std::vector<int> want(64);
    for (int i = 0; i < 64; i++) want[i] = 63 - i;
    CHECK(read_back(out, f.stream) == want);
    CHECK(launch(reverse_static<false>, 3, 64, 0, f.stream, out.data()) == cudaSuccess);
    wrong += read_back(out, f.stream) != want;
  }
  CHECK(wrong == kSeeds);  // thread 0 cannot run after thread 63 and the reverse
}

COVN_TEST(threads_that_do_not_meet_are_reported) {
  const auto finding_of = [](void (*kernel)(int*)) {
    Fixture f;
    DeviceBuffer<int> out;
    CHECK(out.allocate(64, f.stream).ok());
    CHECK(launch(kernel, 1, 64, 0, f.stream, out.data()) == cudaSuccess);
    const Status status = f.stream.synchronize();
    CHECK(status.code == Code::device && status.message.find("cannot use it any more") != std::string::npos);
    const std::vector<std::string> findings = emulator::take_findings();
    CHECK(findings.size() == 1);
    return findings.empty() ? "" : findings[0];
  };
  CHECK(finding_of(half_reach_the_barrier).find("32 of 64 threads wait, 32 have ended") != std::string::npos);
  CHECK(finding_of(barriers_of_two_places).find("while others are at that of") != std::string::npos);
  CHECK(finding_of(half_of_a_warp_shuffles).find("threads wait") != std::string::npos);
  CHECK(finding_of(wait_for_ever).find("what never comes") != std::string::npos);
}

COVN_TEST(writes_out_of_bounds_are_reported) {
  for (int at : {-1, 100, 120}) {
    Fixture f;
    DeviceBuffer<int> out;
    CHECK(out.allocate(100, f.stream).ok());
    CHECK(launch(write_at, 1, 32, 0, f.stream, out.data(), at) == cudaSuccess);
    CHECK(f.stream.synchronize().code == Code::device);
    const std::vector<std::string> findings = emulator::take_findings();
    CHECK(findings.size() == 1 && findings[0].find("out of bounds") != std::string::npos);
  }
  Fixture f;
  CHECK(launch(write_shared_at, 1, 32, 40, f.stream, 9) == cudaSuccess);
  CHECK(f.stream.synchronize().ok());
  CHECK(launch(write_shared_at, 1, 32, 40, f.stream, 10) == cudaSuccess);
  CHECK(!f.stream.synchronize().ok());
  CHECK(emulator::take_findings().size() == 1);
}

COVN_TEST(votes_matches_and_partial_masks) {
  Fixture f;
  for (int seed = 0; seed < kSeeds; seed++) {
    emulator::set_seed(seed);
    DeviceBuffer<int> out;
    CHECK(out.allocate(1, f.stream).ok() && out.fill(0, f.stream).ok());
    CHECK(launch(votes, 1, 32, 0, f.stream, out.data()) == cudaSuccess);
    CHECK(read_back(out, f.stream)[0] == 0);
  }
  CHECK(emulator::take_findings().empty());
}

COVN_TEST(work_of_a_stream_waits_until_somebody_does) {
  Fixture f;
  PinnedBuffer<int> host;
  DeviceBuffer<int> out;
  CHECK(host.allocate(100).ok() && out.allocate(100, f.stream).ok() && out.fill(0, f.stream).ok());
  host[0] = 17;
  CHECK(launch(write_at, 1, 32, 0, f.stream, out.data(), 0) == cudaSuccess);
  CHECK(out.copy_out(host.data(), 1, f.stream).ok());
  CHECK(host[0] == 17);  // read too early
  CHECK(f.stream.synchronize().ok() && host[0] == 1);
  CHECK(emulator::unpinned_copies() == 0);
  int plain = 0;
  CHECK(out.copy_out(&plain, 1, f.stream).ok() && plain == 1 && emulator::unpinned_copies() == 1);
}

COVN_TEST(streams_are_ordered_by_events_alone) {
  // out[0] is copied out by another stream, which waits for the kernel's event or does not.
  const auto right = [](bool wait) {
    int count = 0;
    for (int seed = 0; seed < kSeeds; seed++) {
      Fixture f;
      Stream other;
      Event event;
      PinnedBuffer<int> host;
      DeviceBuffer<int> out;
      CHECK(other.create().ok() && event.create().ok() && host.allocate(1).ok() && out.allocate(1, f.stream).ok());
      emulator::set_seed(seed);
      CHECK(launch(write_at, 1, 32, 0, f.stream, out.data(), 0) == cudaSuccess && event.record(f.stream).ok());
      if (wait) CHECK(event.hold(other).ok());
      CHECK(out.copy_out(host.data(), 1, other).ok() && other.synchronize().ok());
      count += host[0] == 1;
    }
    return count;
  };
  CHECK(right(true) == kSeeds);
  CHECK(right(false) < kSeeds);
}

COVN_TEST(memory_is_bounded_counted_and_given_back) {
  Fixture f;
  emulator::set_memory(1000);
  {
    DeviceBuffer<char> a, b;
    CHECK(a.allocate(600, f.stream).ok());
    CHECK(b.allocate(600, f.stream).code == Code::out_of_memory);
    CHECK(f.stream.synchronize().ok());  // and all is usable
    a.release();
    CHECK(f.stream.synchronize().ok() && b.allocate(600, f.stream).ok());
  }
  CHECK(f.stream.synchronize().ok());
  CHECK(emulator::usage().device_bytes == 0 && emulator::usage().most_device_bytes == 600);
  emulator::set_memory(size_t{1} << 30);
}

COVN_TEST(pinned_memory_that_is_freed_too_soon_is_reported) {
  for (const bool waits : {true, false}) {
    Fixture f;
    {
      DeviceBuffer<char> device;
      PinnedBuffer<char> pinned;
      CHECK(device.allocate(100, f.stream).ok() && pinned.allocate(100).ok());
      CHECK(device.copy_in(pinned.data() + 10, 50, f.stream).ok());
      if (waits) CHECK(f.stream.synchronize().ok());
      pinned.release();
      CHECK(emulator::take_findings().size() == (waits ? 0 : 1));
      CHECK(f.stream.synchronize().ok() == waits);
      pinned.release();
    }
    emulator::reset();
  }
}

COVN_TEST(failures_can_be_planted) {
  Fixture f;
  emulator::fail_after(1, cudaErrorLaunchFailure);
  DeviceBuffer<int> out;
  CHECK(out.allocate(1, f.stream).ok());
  CHECK(launch(write_at, 1, 32, 0, f.stream, out.data(), 0) == cudaErrorLaunchFailure);
  CHECK(f.stream.synchronize().code == Code::device);  // and stays so
  emulator::set_device_count(0);
  int count = 3;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0);
  emulator::set_device_count(1);
}

int main() { return run_all(); }
