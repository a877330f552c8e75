// The emulated instructions of matrix kernels: against plain loops, and that a kernel which leaves out a wait is found.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "core/number_formats.hpp"
#include "cuda/device/hidden_terms.hpp"
#include "cuda/emulator/control.hpp"
#include "cuda/memory.hpp"
#include "cuda/ptx_hopper.cuh"
#include "cuda/runtime.hpp"
#include "cuda/stream.hpp"
#include "test/check.hpp"

using namespace covn;
using namespace covn::cuda;
using namespace covn::test;

namespace {

struct Fixture {
  Stream stream;
  explicit Fixture(uint64_t seed = 0) {
    emulator::set_seed(seed);
    emulator::reset();
    CHECK(stream.create().ok());
  }
  ~Fixture() {
    emulator::set_seed(0);
    emulator::reset();
  }
  template <class T>
  DeviceBuffer<T> upload(const std::vector<T>& values) {
    DeviceBuffer<T> buffer;
    CHECK(buffer.allocate(values.size(), stream).ok());
    CHECK(buffer.copy_in(values.data(), values.size(), stream).ok());
    return buffer;
  }
  template <class T>
  std::vector<T> download(const DeviceBuffer<T>& buffer) {
    std::vector<T> values(buffer.size());
    CHECK(buffer.copy_out(values.data(), values.size(), stream).ok());
    CHECK(stream.synchronize().ok());
    return values;
  }
};

constexpr uint64_t kSeeds[] = {0, 1, 2, 3, 4};

// Whole numbers of both signs that 16-bit formats hold, so that every sum is exact.
template <class T>
std::vector<T> small_numbers(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<T> numbers(count);
  for (T& number : numbers) number.bits = narrow_toward_zero<T>(static_cast<float>(random.bits() % 17) - 8.0f);
  return numbers;
}

// c [16, 8] = a [16, 16] b [8, 16] transposed, fragments built from the definition alone.
template <class T>
__global__ void product_of_fragments(const T* a, const T* b, float* c) {
  const unsigned group = threadIdx.x / 4, pair = threadIdx.x % 4 * 2;
  const auto two = [](const T* at) { return at[0].bits | uint32_t{at[1].bits} << 16; };
  const uint32_t fragment[4] = {two(a + group * 16 + pair), two(a + (group + 8) * 16 + pair),
                                two(a + group * 16 + pair + 8), two(a + (group + 8) * 16 + pair + 8)};
  float sums[4] = {1.0f, 1.0f, 1.0f, 1.0f};
  ptx::multiply_add<T>(sums, fragment, two(b + group * 16 + pair), two(b + group * 16 + pair + 8));
  for (unsigned i = 0; i < 4; i++) c[(group + i / 2 * 8) * 8 + pair + i % 2] = sums[i];
}

// Four 8 x 8 matrices, through cp.async and ldmatrix; kWait = false leaves the wait out.
template <bool kWait>
__global__ void matrices_through_shared(const uint16_t* in, uint32_t* out) {
  COVN_DYNAMIC_SHARED(uint16_t, shared);
  const uint32_t row = ptx::shared_address(shared + threadIdx.x * 8);
  ptx::copy_async_16(row, in + threadIdx.x * 8, threadIdx.x != 31);
  ptx::commit_copies();
  if (kWait) ptx::wait_copies<0>();
  __syncwarp();
  uint32_t words[4];
  ptx::load_matrices(words, row);
  for (unsigned m = 0; m < 4; m++) out[m * 32 + threadIdx.x] = words[m];
}

// A box of 8 rows: what lies where in shared memory. Every thread waits, one asks.
template <bool kWait>
__global__ void box_to_shared(TensorMap map, int column, int row, uint16_t* out) {
  COVN_DYNAMIC_SHARED(uint16_t, shared);
  uint64_t* barrier = reinterpret_cast<uint64_t*>(shared + 8 * kBoxWidth);
  if (threadIdx.x == 0) {
    ptx::init_barrier(barrier, 1);
    ptx::fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    ptx::arrive_and_expect(barrier, 8 * kBoxWidth * 2);
    ptx::copy_box(shared, &map, column, row, barrier);
  }
  if (kWait) ptx::wait_barrier(barrier, 0);
  for (unsigned i = threadIdx.x; i < 8 * kBoxWidth; i += blockDim.x) out[i] = shared[i];
}

// c [64, 256] = a [64, width] b [256, width] transposed, by one warpgroup with one stage.
template <class T, bool kWait>
__global__ void product_of_boxes(TensorMap a, TensorMap b, unsigned steps, float* c) {
  COVN_DYNAMIC_SHARED(unsigned char, shared);
  constexpr uint32_t kBytesA = 64 * 128, kBytesB = 256 * 128;
  uint64_t* barrier = reinterpret_cast<uint64_t*>(shared + kBytesA + kBytesB);
  if (threadIdx.x == 0) ptx::init_barrier(barrier, 1);
  __syncthreads();
  float sums[128] = {};
  for (unsigned step = 0; step < steps; step++) {
    if (threadIdx.x == 0) {
      ptx::arrive_and_expect(barrier, kBytesA + kBytesB);
      ptx::copy_box(shared, &a, static_cast<int>(step * 64), 0, barrier);
      ptx::copy_box(shared + kBytesA, &b, static_cast<int>(step * 64), 0, barrier);
    }
    ptx::wait_barrier(barrier, step % 2);
    ptx::fence_products();
    for (uint32_t k = 0; k < 64; k += 16) {
      const uint32_t at = ptx::shared_address(shared) + 2 * k;
      ptx::multiply_async<T>(sums, ptx::describe_factor(at), ptx::describe_factor(at + kBytesA), step > 0 || k > 0);
    }
    ptx::commit_products();
    if (kWait) ptx::wait_products<0>();
    __syncthreads();
  }
  const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (unsigned i = 0; i < 128; i++) {
    const unsigned row = warp * 16 + i / 2 % 2 * 8 + lane / 4, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    c[row * 256 + column] = sums[i];
  }
  if (!kWait) ptx::wait_products<0>();  // so that nothing is left under way at the end
}

template <class T>
void check_product_of_boxes(size_t width, uint64_t seed) {
  Fixture f(seed);
  const size_t pitch = (width + 7) / 8 * 8, a_rows = 61, b_rows = 250;
  // Not 0 beyond the width: the map's width ends the matrix.
  const std::vector<T> a = small_numbers<T>(a_rows * pitch, 1), b = small_numbers<T>(b_rows * pitch, 2);
  const DeviceBuffer<T> device_a = f.upload(a), device_b = f.upload(b);
  DeviceBuffer<float> c;
  CHECK(c.allocate(64 * 256, f.stream).ok());
  TensorMap map_a, map_b;
  CHECK(make_tensor_map(map_a, device_a.data(), width, a_rows, pitch * 2, 64, false) == cudaSuccess);
  CHECK(make_tensor_map(map_b, device_b.data(), width, b_rows, pitch * 2, 256, false) == cudaSuccess);
  const auto steps = static_cast<unsigned>((width + 63) / 64);
  CHECK(launch(product_of_boxes<T, true>, dim3(1), dim3(128), 320 * 128 + 8, f.stream, map_a, map_b, steps, c.data()) ==
        cudaSuccess);
  const std::vector<float> got = f.download(c);
  for (size_t row = 0; row < 64; row++) {
    for (size_t column = 0; column < 256; column++) {
      float want = 0.0f;
      for (size_t k = 0; k < width && row < a_rows && column < b_rows; k++) {
        want += to_float(a[row * pitch + k]) * to_float(b[column * pitch + k]);
      }
      CHECK(got[row * 256 + column] == want);
    }
  }
  CHECK(emulator::take_findings().empty());
}

template <class T>
void check_product_of_fragments(uint64_t seed) {
  Fixture f(seed);
  const std::vector<T> a = small_numbers<T>(256, 3), b = small_numbers<T>(128, 4);
  const DeviceBuffer<T> device_a = f.upload(a), device_b = f.upload(b);
  DeviceBuffer<float> c;
  CHECK(c.allocate(128, f.stream).ok());
  CHECK(launch(product_of_fragments<T>, dim3(1), dim3(32), 0, f.stream, device_a.data(), device_b.data(), c.data()) ==
        cudaSuccess);
  const std::vector<float> got = f.download(c);
  for (size_t i = 0; i < 128; i++) {
    float want = 1.0f;
    for (size_t k = 0; k < 16; k++) want += to_float(a[i / 8 * 16 + k]) * to_float(b[i % 8 * 16 + k]);
    CHECK(got[i] == want);
  }
}

std::vector<uint16_t> counted(size_t count) {
  std::vector<uint16_t> values(count);
  std::iota(values.begin(), values.end(), uint16_t{1});
  return values;
}

}  // namespace

COVN_TEST(mma_sync_is_a_product) {
  for (uint64_t seed : kSeeds) {
    check_product_of_fragments<Float16>(seed);
    check_product_of_fragments<BFloat16>(seed);
  }
}

COVN_TEST(ldmatrix_gives_each_lane_its_pairs) {
  for (uint64_t seed : kSeeds) {
    Fixture f(seed);
    const std::vector<uint16_t> in = counted(256);
    const DeviceBuffer<uint16_t> device = f.upload(in);
    DeviceBuffer<uint32_t> out;
    CHECK(out.allocate(128, f.stream).ok());
    CHECK(launch(matrices_through_shared<true>, dim3(1), dim3(32), 512, f.stream, device.data(), out.data()) ==
          cudaSuccess);
    const std::vector<uint32_t> words = f.download(out);
    for (size_t m = 0; m < 4; m++) {
      for (size_t lane = 0; lane < 32; lane++) {
        const size_t at = (m * 8 + lane / 4) * 8 + lane % 4 * 2;
        const bool copied = m * 8 + lane / 4 != 31;  // the last row was asked to be zeros
        CHECK(words[m * 32 + lane] == (copied ? in[at] | uint32_t{in[at + 1]} << 16 : 0));
      }
    }
    // Without the wait nothing has arrived, where copies come late.
    if (seed % 2 == 1) continue;
    CHECK(launch(matrices_through_shared<false>, dim3(1), dim3(32), 512, f.stream, device.data(), out.data()) ==
          cudaSuccess);
    CHECK(f.download(out) != words);
  }
}

COVN_TEST(a_box_lies_swizzled_and_ends_with_its_matrix) {
  for (uint64_t seed : kSeeds) {
    Fixture f(seed);
    constexpr int kWidth = 100, kRows = 13;
    const std::vector<uint16_t> in = counted(kRows * 104);
    const DeviceBuffer<uint16_t> device = f.upload(in);
    DeviceBuffer<uint16_t> out;
    CHECK(out.allocate(8 * kBoxWidth, f.stream).ok());
    TensorMap map;
    CHECK(make_tensor_map(map, device.data(), kWidth, kRows, 208, 8, true) == cudaSuccess);
    CHECK(make_tensor_map(map, device.data(), kWidth, kRows, 200, 8, true) != cudaSuccess);  // pitch
    for (int row : {0, 5, 8, -3}) {
      for (int column : {0, 64, -16}) {
        CHECK(make_tensor_map(map, device.data(), kWidth, kRows, 208, 8, true) == cudaSuccess);
        CHECK(launch(box_to_shared<true>, dim3(1), dim3(64), 8 * kBoxWidth * 2 + 8, f.stream, map, column, row,
                     out.data()) == cudaSuccess);
        const std::vector<uint16_t> got = f.download(out);
        for (int r = 0; r < 8; r++) {
          for (int k = 0; k < 64; k++) {
            const int y = row + r, x = column + k;
            const bool inside = y >= 0 && y < kRows && x >= 0 && x < kWidth;
            // Chunks of eight elements change places within their row of 64, as row r of eight says.
            CHECK(got[r * 64 + ((k / 8) ^ r) * 8 + k % 8] == (inside ? in[y * 104 + x] : 0));
          }
        }
      }
    }
    CHECK(emulator::take_findings().empty());
    if (seed % 2 == 1) continue;
    CHECK(launch(box_to_shared<false>, dim3(1), dim3(64), 8 * kBoxWidth * 2 + 8, f.stream, map, 0, 0, out.data()) ==
          cudaSuccess);
    const std::vector<uint16_t> unwaited = f.download(out);
    CHECK(std::count(unwaited.begin(), unwaited.end(), in[0]) == 0);
  }
}

COVN_TEST(wgmma_is_a_product_of_what_boxes_brought) {
  for (uint64_t seed : {uint64_t{0}, uint64_t{3}}) {
    for (size_t width : {size_t{64}, size_t{8}, size_t{200}}) {
      check_product_of_boxes<Float16>(width, seed);
      check_product_of_boxes<BFloat16>(width, seed);
    }
  }
}

COVN_TEST(wgmma_without_a_wait_gives_something_else) {
  Fixture f;
  const std::vector<Float16> ones(256 * 64, Float16{0x3c00});
  const DeviceBuffer<Float16> device = f.upload(ones);
  DeviceBuffer<float> c;
  CHECK(c.allocate(64 * 256, f.stream).ok());
  TensorMap a, b;
  CHECK(make_tensor_map(a, device.data(), 64, 64, 128, 64, false) == cudaSuccess);
  CHECK(make_tensor_map(b, device.data(), 64, 256, 128, 256, false) == cudaSuccess);
  CHECK(launch(product_of_boxes<Float16, false>, dim3(1), dim3(128), 320 * 128 + 8, f.stream, a, b, 1u, c.data()) ==
        cudaSuccess);
  const std::vector<float> got = f.download(c);
  CHECK(std::count(got.begin(), got.end(), 64.0f) == 0);
}

COVN_TEST(terms_and_their_sums) {
  for (double temperature : {1.0, 0.7, 1e-6, 1e6}) {
    const TermParameters p = make_term_parameters(temperature);
    CHECK(term_of(0.0f, p) == 1.0f);
    double mean = 0.0;
    int count = 0;
    for (double x = 0.0; x < 86.0; x += 0.01, count++) {
      const auto d = static_cast<float>(-x * temperature);
      const double error = term_of(d, p) / std::exp(static_cast<long double>(d) / temperature) - 1.0L;
      CHECK_AT_MOST(std::fabs(error), 1.5e-7);
      mean += error;
    }
    CHECK_AT_MOST(std::fabs(mean / count), 4e-9);
    CHECK(term_of(p.floor, p) > 0.0f && term_of(p.floor, p) < 1e-37f);
  }
}

COVN_TEST(soft_cap_to_a_last_place) {
  for (double cap : {0.3, 1.0, 30.0, 1e6, 1e-6}) {
    const SoftCap s = make_soft_cap(cap);
    for (double y = 1e-6; y < 40.0; y *= 1.003) {
      const auto x = static_cast<float>(y * cap);
      const long double want = cap * std::tanh(static_cast<long double>(x) / cap);
      CHECK_AT_MOST(std::fabs(soft_cap(x, s) / want - 1.0L), 2.2 * 0x1p-24);
      CHECK(soft_cap(-x, s) == -soft_cap(x, s));
    }
    CHECK(soft_cap(0.0f, s) == 0.0f && soft_cap(INFINITY, s) == static_cast<float>(cap));
    CHECK(std::isnan(soft_cap(NAN, s)));
  }
}

COVN_TEST(parts_of_a_row_add_up) {
  const TermParameters p = make_term_parameters(0.5);
  const auto part_of_values = [&](const std::vector<float>& values) {
    HiddenPart part;
    for (float x : values) part.max = std::max(part.max, x);
    for (float x : values) {
      part.sum += std::exp((x - part.max) / 0.5);
      part.weighted += std::exp((x - part.max) / 0.5) * (x - part.max);
      part.greater += x > 0.0f;
    }
    return part;
  };
  HiddenTotal total;
  add_part(total, part_of_values({1.0f, -2.0f}), p);
  add_part(total, HiddenPart(), p);
  add_part(total, part_of_values({5.0f, 3.0f, -400.0f}), p);
  add_part(total, part_of_values({2.0f}), p);
  const HiddenPart want = part_of_values({1.0f, -2.0f, 5.0f, 3.0f, -400.0f, 2.0f});
  CHECK(total.max == 5.0f && total.greater == 4);
  CHECK_AT_MOST(std::fabs(total.sum - want.sum), 1e-14);
  CHECK_AT_MOST(std::fabs(total.weighted - want.weighted), 1e-13);
  add_part(total, {NAN, NAN, INFINITY, 0}, p);
  add_part(total, {NAN, NAN, NAN, 0}, p);
  CHECK(std::isnan(total.sum) && total.max == INFINITY);
}

int main() { return run_all(); }
