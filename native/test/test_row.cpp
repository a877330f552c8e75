// The row kernels of every target against the long double reference.
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/rescale.hpp"
#include "reference/logprob.hpp"
#include "reference/number_formats.hpp"
#include "test/check.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr double kLog2E = 1.4426950408889634;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

RowParameters parameters_of(double temperature, float target) {
  const double scale = kLog2E / temperature;
  const float high = static_cast<float>(scale);
  return {high, static_cast<float>(scale - high), temperature, target};
}

AccumulateRow<float> kernel(const KernelTable& table, float) { return table.accumulate_f32[1][1]; }
AccumulateRow<Float16> kernel(const KernelTable& table, Float16) { return table.accumulate_f16[1][1]; }
AccumulateRow<BFloat16> kernel(const KernelTable& table, BFloat16) { return table.accumulate_bf16[1][1]; }

template <class T>
T store(float value);
template <>
float store(float value) {
  return value;
}
template <>
BFloat16 store(float value) {
  return {static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16)};
}
template <>
Float16 store(float value) {
  return {reference::encode_half(value)};
}

struct Errors {
  long double token = 0, log_z = 0, entropy = 0, mean_token = 0;
  long rank_mismatches = 0;
};

template <class T>
Errors measure(const KernelTable& table, size_t vocab, double deviation, double temperature, int rows, uint64_t seed) {
  Random random(seed);
  Errors errors;
  std::vector<T> x(vocab);
  std::vector<float> wide(vocab);
  for (int row = 0; row < rows; row++) {
    for (size_t i = 0; i < vocab; i++) {
      x[i] = store<T>(static_cast<float>(deviation * random.normal()));
      wide[i] = to_float(x[i]);
    }
    const size_t target = random.bits() % vocab;
    const reference::Row want = reference::score_row(wide.data(), vocab, target, temperature);
    RowState state = empty_row();
    kernel(table, T{})(state, x.data(), vocab, parameters_of(temperature, wide[target]));
    const double log_sum = std::log(state.sum), max = state.max;
    const double token = (wide[target] - max) / temperature - log_sum;
    const double scale = kLog2E / temperature / parameters_of(temperature, 0).scale_high;
    const double entropy = log_sum - 0.6931471805599453 * scale * state.weighted / state.sum;
    errors.token = std::fmax(errors.token, std::fabs(token - want.token));
    errors.mean_token += (token - want.token) / rows;
    errors.log_z = std::fmax(errors.log_z, std::fabs(max / temperature + log_sum - want.log_z));
    errors.entropy = std::fmax(errors.entropy, std::fabs(entropy - want.entropy));
    errors.rank_mismatches += state.greater + 1 != want.rank;
  }
  return errors;
}

template <class T>
void check_type(const char* type) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {1, 2, 7, 33, 1000, 32001, 128256}) {
      for (double deviation : {1.0, 5.0, 30.0}) {
        for (double temperature : {1.0, 0.7, 3.0}) {
          const int rows = vocab > 10000 ? 4 : 40;
          const Errors e = measure<T>(*table, vocab, deviation, temperature, rows, vocab + 17);
          const double bound = deviation > 5 || temperature < 1 ? 2e-6 : 1e-6;
          if (e.token > bound)
            std::printf("    %s %s V=%zu sd=%g T=%g\n", name.c_str(), type, vocab, deviation, temperature);
          CHECK_AT_MOST(e.token, bound);
          CHECK_AT_MOST(e.log_z, bound);
          CHECK_AT_MOST(e.entropy, 2e-6);
          CHECK(e.rank_mismatches == 0);
        }
      }
    }
  }
}

RowState run(const KernelTable& table, const std::vector<float>& x, float target = 0.0f) {
  RowState state = empty_row();
  table.accumulate_f32[1][1](state, x.data(), x.size(), parameters_of(1.0, target));
  return state;
}

}  // namespace

COVN_TEST(float_rows_agree_with_long_double) { check_type<float>("f32"); }
COVN_TEST(half_rows_agree_with_long_double) { check_type<Float16>("f16"); }
COVN_TEST(bfloat_rows_agree_with_long_double) { check_type<BFloat16>("bf16"); }

COVN_TEST(mean_signed_error_stays_below_1e_8) {
  for (const auto& [name, table] : runnable_tables()) {
    if (name.find("emulated") != std::string::npos) continue;  // too slow for this many rows
    for (double deviation : {1.0, 5.0, 30.0}) {
      const Errors e = measure<float>(*table, 1000, deviation, 1.0, 20000, 5);
      std::printf("    %s sd=%g: mean signed error %.2Le nats, largest %.2Le\n", name.c_str(), deviation, e.mean_token,
                  e.token);
      CHECK_AT_MOST(std::fabs(e.mean_token), 1e-8);
    }
  }
}

COVN_TEST(special_values) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t n : {1, 2, 5, 16, 40, 3000}) {
      std::vector<float> all_low(n, -kInfinity);
      CHECK(run(*table, all_low).sum == 0.0);

      for (size_t place : {size_t{0}, n / 2, n - 1}) {
        std::vector<float> one(n, -kInfinity);
        one[place] = 3.5f;
        const RowState state = run(*table, one, 3.5f);
        CHECK(state.sum == 1.0);
        CHECK(state.max == 3.5f);
        CHECK(state.greater == 0);

        // Quiet and signalling NaNs with payloads, in every position.
        for (uint32_t bits : {0x7fc00000u, 0x7f800001u, 0xffc12345u, 0x7fbfffffu}) {
          std::vector<float> bad(n, 1.0f);
          bad[place] = std::bit_cast<float>(bits);
          CHECK(std::isnan(run(*table, bad).sum));
          std::vector<float> low(n, -kInfinity);
          low[place] = std::bit_cast<float>(bits);
          CHECK(std::isnan(run(*table, low).sum));
        }
        std::vector<float> high(n, 1.0f);
        high[place] = kInfinity;
        CHECK(std::isnan(run(*table, high).sum));
      }
    }
    // The ends of the float range: differences overflow to -inf.
    const std::vector<float> wide{3.4e38f, -3.4e38f, 0.0f};
    CHECK(run(*table, wide).sum == 1.0);
    CHECK(run(*table, wide).weighted == 0.0);
  }
}

COVN_TEST(exact_where_arithmetic_is_exact) {
  for (const auto& [name, table] : runnable_tables()) {
    // Equal logits: every term is exactly 1, whatever the value.
    for (float value : {0.0f, -7.25f, 1e30f, -1e30f}) {
      const std::vector<float> equal(4096, value);
      CHECK(run(*table, equal).sum == 4096.0);
    }
    CHECK(run(*table, {42.0f}).sum == 1.0);
  }
}

COVN_TEST(a_row_read_in_pieces_gives_the_same_bits) {
  Random random(3);
  std::vector<float> x(5 * kRowBlock + 77);
  for (float& value : x) value = static_cast<float>(5 * random.normal());
  for (const auto& [name, table] : runnable_tables()) {
    const RowState whole = run(*table, x, x[9]);
    RowState pieces = empty_row();
    for (size_t start = 0; start < x.size(); start += 2 * kRowBlock) {
      table->accumulate_f32[1][1](pieces, x.data() + start, std::min(2 * kRowBlock, x.size() - start),
                                  parameters_of(1.0, x[9]));
    }
    CHECK(pieces.sum == whole.sum && pieces.weighted == whole.weighted && pieces.greater == whole.greater);
    // With or without the optional sums, the log-sum-exp has the same bits.
    RowState plain = empty_row();
    table->accumulate_f32[0][0](plain, x.data(), x.size(), parameters_of(1.0, 0));
    CHECK(plain.sum == whole.sum && plain.max == whole.max);
  }
}

COVN_TEST(every_half_and_bfloat_reads_exactly) {
  for (const auto& [name, table] : runnable_tables()) {
    for (uint32_t bits = 0; bits < 0x10000; bits += 1) {
      const Float16 half{static_cast<uint16_t>(bits)};
      const float want = static_cast<float>(reference::decode_half(half.bits));
      if (!(std::isnan(want) ? std::isnan(to_float(half)) : to_float(half) == want)) CHECK(false);
      if (bits % 8 != 0 || !std::isfinite(want)) continue;
      RowState state = empty_row();
      Float16 row[16];
      for (Float16& x : row) x = half;
      table->accumulate_f16[0][0](state, row, 16, parameters_of(1.0, 0));
      if (!(state.max == want && state.sum == 16.0)) CHECK(false);
    }
  }
}

int main() { return run_all(); }
