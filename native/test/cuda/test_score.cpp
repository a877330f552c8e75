// The kernels of scoreLogits on the emulated device: agreement with long double, and the same bits whatever the batch
// and the order of threads.
#include <bit>
#include <cmath>
#include <vector>

#include "cuda/memory.hpp"
#include "cuda/score_logits.hpp"
#include "cuda/stream.hpp"
#include "test/cuda/score_cases.hpp"

using namespace covn;
using namespace covn::test;

COVN_TEST(log_probs_agree_with_long_double) {
  for (DType dtype : kDTypes) {
    for (const double deviation : {1.0, 5.0, 30.0}) {
      Errors worst;
      for (const size_t vocab : {1, 7, 32, 100, 512, 1000, 1025, 32000}) {
        const size_t rows = vocab > 10000 ? 12 : vocab > 500 ? 60 : 150;
        const Errors e = errors_of(random_case(dtype, rows, vocab, deviation, vocab + 1));
        worst.token = std::fmax(worst.token, e.token);
        worst.log_z = std::fmax(worst.log_z, e.log_z);
        worst.entropy = std::fmax(worst.entropy, e.entropy);
        CHECK_AT_MOST(e.token, deviation > 5 ? 2e-6 : 1e-6);
        CHECK_AT_MOST(e.log_z, deviation > 5 ? 2e-6 : 1e-6);
        CHECK_AT_MOST(e.entropy, 2e-6);
      }
      std::printf("    %s, standard deviation %g: largest errors %.1e (token), %.1e (logZ), %.1e (entropy)\n",
                  name(dtype), deviation, worst.token, worst.log_z, worst.entropy);
    }
  }
}

COVN_TEST(mean_signed_error) {
  for (DType dtype : kDTypes) {
    for (const double deviation : {1.0, 5.0}) {
      for (const size_t vocab : {100, 1000, 5000}) {
        const size_t rows = 400'000 / vocab;
        const Errors e = errors_of(random_case(dtype, rows, vocab, deviation, 3 * vocab));
        std::printf("    %s, V = %zu, standard deviation %g: mean signed error %.1e\n", name(dtype), vocab, deviation,
                    e.mean);
        // Errors of a row are below 5e-7 and nearly independent: their mean has a standard deviation of its own.
        CHECK_AT_MOST(std::fabs(e.mean), 1e-8 + 4 * 1e-7 / std::sqrt(static_cast<double>(rows)));
      }
    }
  }
}

COVN_TEST(small_terms_beside_a_large_one) {
  // Each tile after the first adds 4.45 units in the last place of the lane that holds the largest: rounding would lose
  // 0.45 of them every time.
  Case c = random_case(DType::f32, 1, 4096, 0.0, 4);
  for (size_t i = 1; i < 4096; i++) c.set(i, static_cast<float>(std::log(4.45 * 0x1p-23 / 16)));
  c.targets[0] = 0;
  CHECK_AT_MOST(errors_of(c).token, 1e-7);
}

COVN_TEST(exp2_and_log_in_double) {
  Random random(3);
  for (int i = 0; i < 20000; i++) {
    const double x = i < 10000 ? -1000.0 * random.uniform() : -4.0 * random.uniform();
    const long double want = std::exp2(static_cast<long double>(x));
    CHECK_AT_MOST(std::fabs(cuda::exp2_double(x) - want) / want, 4e-16);
    const double y = i < 10000 ? std::exp2(-x) : 1.0 - x * x * x * 1e-3;
    const long double log = std::log(static_cast<long double>(y));
    CHECK_AT_MOST(std::fabs(cuda::log_double(y) - log), 2e-16 + 2e-16 * log);
  }
  CHECK(cuda::exp2_double(0.0) == 1.0 && cuda::exp2_double(-3.0) == 0.125 && cuda::exp2_double(-1e300) == 0.0);
  CHECK(std::isnan(cuda::exp2_double(std::nan(""))) && cuda::log_double(1.0) == 0.0);
}

COVN_TEST(the_vocabulary_of_llama_3) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    const Errors e = errors_of(random_case(dtype, 2, 128256, 5.0, 5));
    CHECK_AT_MOST(e.token, 1e-6);
    CHECK_AT_MOST(e.entropy, 2e-6);
  }
}

COVN_TEST(logits_far_from_0_and_of_any_scale) {
  struct Setting {
    double deviation, offset, temperature;
  };
  const Setting settings[] = {{5, 0, 1e-6},  {5, 0, 1e-3}, {5, 0, 0.7},    {5, 0, 1e3},   {5, 0, 1e6},     {1, 3000, 1},
                              {1, -3000, 1}, {1e4, 0, 1},  {1e4, 0, 2000}, {300, 6e4, 1}, {0.001, 0, 1e-3}};
  for (DType dtype : kDTypes) {
    for (const Setting& setting : settings) {
      if (dtype == DType::f16 && setting.offset + 6 * setting.deviation > 65000) continue;
      for (const size_t vocab : {50, 3000}) {
        Case c = random_case(dtype, 20, vocab, setting.deviation, 6, setting.offset);
        c.temperature = setting.temperature;
        const Result r = score(c);
        CHECK(r.status.ok());
        for (size_t row = 0; row < 20; row++) {
          const auto want = reference::score_row(c.values.data() + row * vocab, vocab, c.targets[row], c.temperature);
          // Relative where the log-prob itself is large.
          CHECK_AT_MOST(std::fabs(r.sequence[row] - want.token), 2e-6 + 1e-15 * std::fabs(want.token));
          CHECK_AT_MOST(std::fabs(r.log_z[row] - want.log_z), 2e-6 + 1e-15 * std::fabs(want.log_z));
          CHECK_AT_MOST(std::fabs(r.entropy[row] - want.entropy), 2e-6);
          CHECK(r.rank[row] == want.rank);
        }
      }
    }
  }
}

COVN_TEST(masked_entries) {
  // -inf, and the lowest numbers of the formats in its place, in every place of a tile.
  for (DType dtype : kDTypes) {
    const float lowest = dtype == DType::f16 ? -65504.0f : dtype == DType::bf16 ? -3.3895314e38f : -3.4028235e38f;
    for (const float mask : {-kInfinity, lowest}) {
      for (const size_t vocab : {33, 1500, 9000}) {
        Case c = random_case(dtype, 8, vocab, 3.0, 7);
        for (size_t row = 0; row < 8; row++) {
          for (size_t i = 0; i < vocab; i++) {
            // All but every 2nd, 4th, ... entry; the last row keeps one.
            if (row == 7 ? i != vocab / 2 : i % (size_t{2} << row) != 1) c.set(row * vocab + i, mask);
          }
          c.targets[row] = row == 7 ? static_cast<int32_t>(vocab / 2) : 1;
        }
        const Result r = score(c);
        CHECK(r.status.ok());
        for (size_t row = 0; row < 8; row++) {
          const auto want = reference::score_row(c.values.data() + row * vocab, vocab, c.targets[row], 1.0L);
          CHECK_AT_MOST(std::fabs(r.sequence[row] - want.token), 1e-6);
          CHECK_AT_MOST(std::fabs(r.entropy[row] - want.entropy), 1e-6);
          CHECK(r.rank[row] == want.rank);
        }
        CHECK(r.sequence[7] == 0.0 && r.entropy[7] == 0.0f);  // certain
      }
    }
  }
}

COVN_TEST(a_row_of_the_lowest_numbers) {
  Case c = random_case(DType::bf16, 2, 2000, 1.0, 8);
  for (size_t i = 0; i < 2000; i++) c.set(i, -3.3895314e38f);
  for (size_t i = 2000; i < 4000; i++) c.set(i, i % 2 ? 3.3895314e38f : -3.3895314e38f);
  c.targets = {3, 3};
  const Result r = score(c);
  CHECK(r.status.ok());
  CHECK_AT_MOST(std::fabs(r.sequence[0] + std::log(2000.0)), 1e-6);
  CHECK_AT_MOST(std::fabs(r.sequence[1] + std::log(1000.0)), 1e-6);
}

COVN_TEST(the_same_bits_for_every_batch_and_alignment) {
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {7, 50, 257, 1023, 2051, 9001}) {
      const size_t rows = 21;
      const Case c = random_case(dtype, rows, vocab, 5.0, 9);
      const Result whole = score(c);
      for (size_t row = 0; row < rows; row++) {
        Case one{dtype, vocab, {c.values.begin() + row * vocab, c.values.begin() + (row + 1) * vocab}, {}, {}};
        one.logits.assign(c.logits.begin() + row * vocab * c.size(), c.logits.begin() + (row + 1) * vocab * c.size());
        one.targets = {c.targets[row]};
        const Result alone = score(one);
        CHECK(std::bit_cast<uint64_t>(alone.sequence[0]) == std::bit_cast<uint64_t>(whole.sequence[row]));
        CHECK(alone.log_z[0] == whole.log_z[row] && alone.entropy[0] == whole.entropy[row]);
        CHECK(alone.rank[0] == whole.rank[row]);
      }
    }
  }
}

COVN_TEST(the_same_bits_for_every_order_of_threads) {
  for (DType dtype : kDTypes) {
    for (const size_t vocab : {9, 200, 5003}) {
      const Case c = random_case(dtype, 70, vocab, 5.0, 11);
      const Result want = score(c);
      for (const uint64_t seed : {1, 2, 5}) {
        cuda::emulator::set_seed(seed);
        CHECK(same(score(c), want));
      }
      cuda::emulator::set_seed(0);
    }
  }
}

COVN_TEST(many_short_rows_take_turns) {
  // Enough rows that a warp reads several after one another.
  for (const size_t vocab : {20, 64, 300}) {
    const Case few = random_case(DType::bf16, 40, vocab, 5.0, 12);
    Case many{DType::bf16, vocab, {}, {}, {}};
    const size_t copies = 2048 * 3;
    for (size_t i = 0; i < copies; i++) {
      many.targets.push_back(few.targets[i % 40]);
      many.values.insert(many.values.end(), few.values.begin() + i % 40 * vocab,
                         few.values.begin() + (i % 40 + 1) * vocab);
      many.logits.insert(many.logits.end(), few.logits.begin() + i % 40 * vocab * 2,
                         few.logits.begin() + (i % 40 + 1) * vocab * 2);
    }
    const Result want = score(few), r = score(many);
    CHECK(r.status.ok());
    for (size_t i = 0; i < copies; i++) {
      CHECK(r.sequence[i] == want.sequence[i % 40] && r.rank[i] == want.rank[i % 40]);
    }
  }
}

COVN_TEST(rows_on_the_device_are_scored_where_they_lie) {
  const Case c = random_case(DType::bf16, 10, 9001, 5.0, 18);
  const Result want = score(c);
  cuda::Stream stream;
  CHECK(stream.create().ok());
  cuda::DeviceBuffer<unsigned char> logits;
  cuda::DeviceBuffer<int32_t> targets;
  cuda::DeviceBuffer<cuda::RowPart> workspace;
  cuda::DeviceBuffer<cuda::RowScore> scores;
  CHECK(logits.allocate(c.logits.size() + 16, stream).ok() && targets.allocate(10, stream).ok());
  CHECK(workspace.allocate(cuda::score_workspace(c.dtype, 10, c.vocab), stream).ok());
  CHECK(scores.allocate(10, stream).ok());
  CHECK(logits.copy_in(c.logits.data(), c.logits.size(), stream).ok());
  CHECK(targets.copy_in(c.targets.data(), 10, stream).ok());
  CHECK(cuda::enqueue_score(c.dtype, logits.data(), 10, c.vocab, targets.data(), 1.0, workspace.data(), scores.data(),
                            stream) == cudaSuccess);
  std::vector<cuda::RowScore> out(10);
  CHECK(scores.copy_out(out.data(), 10, stream).ok() && stream.synchronize().ok());
  for (size_t i = 0; i < 10; i++) CHECK(out[i].token == want.sequence[i] && out[i].rank == want.rank[i]);
}

int main() { return run_all(); }
