// The row kernels of every target against the long double reference.
#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/row_parameters.hpp"
#include "reference/logprob.hpp"
#include "reference/number_formats.hpp"
#include "test/check.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Everything a row's kernels give, from one call each.
struct Scored {
  double token, log_z, entropy, log_sum, sum;
  float max;
  int64_t greater;
};

template <class T>
Scored score(const KernelTable& table, const T* x, size_t vocab, float target, double temperature, bool all = true) {
  const RowParameters parameters = table.parameters(temperature, vocab);
  static RowBatch batch;
  static RowResults results;
  table.rows<T>().accumulate[all][all](&x, 1, vocab, &target, parameters, batch);
  batch.target[0] = target;
  table.rows<T>().finish[all](batch, 1, parameters, results);
  CHECK(results.finite == (batch.sum[0] > 0.0));
  const double max = batch.max[0], log_sum = results.log_sum[0];
  return {results.token[0], max / temperature + log_sum, all ? results.entropy[0] : 0.0, log_sum, batch.sum[0],
          batch.max[0],     all ? batch.greater[0] : 0};
}

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
    const Scored got = score(table, x.data(), vocab, wide[target], temperature);
    errors.token = std::fmax(errors.token, std::fabs(got.token - want.token));
    errors.mean_token += (got.token - want.token) / rows;
    errors.log_z = std::fmax(errors.log_z, std::fabs(got.log_z - want.log_z));
    errors.entropy = std::fmax(errors.entropy, std::fabs(got.entropy - want.entropy));
    errors.rank_mismatches += got.greater + 1 != want.rank;
    if (got.token > 0.0) CHECK(false);
  }
  return errors;
}

template <class T>
void check_type(const char* type) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {1, 2, 7, 33, 128, 129, 1000, 32001, 128256}) {
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

Scored run(const KernelTable& table, const std::vector<float>& x, float target = 0.0f) {
  return score(table, x.data(), x.size(), target, 1.0);
}

template <class T>
void check_bias(const char* type) {
  for (const auto& [name, table] : runnable_tables()) {
    if (name.find("emulated") != std::string::npos) continue;  // too slow for this many rows
    for (size_t vocab : {100, 1000, 20000}) {
      for (double deviation : {1.0, 5.0, 30.0}) {
        const int rows = static_cast<int>(6'000'000 / vocab);
        const Errors e = measure<T>(*table, vocab, deviation, 1.0, rows, 5);
        std::printf("    %s %s V=%zu sd=%g: mean signed error %.2Le nats, largest %.2Le\n", name.c_str(), type, vocab,
                    deviation, e.mean_token, e.token);
        CHECK_AT_MOST(std::fabs(e.mean_token), 1e-8);
      }
    }
  }
}

}  // namespace

COVN_TEST(float_rows_agree_with_long_double) { check_type<float>("f32"); }
COVN_TEST(half_rows_agree_with_long_double) { check_type<Float16>("f16"); }
COVN_TEST(bfloat_rows_agree_with_long_double) { check_type<BFloat16>("bf16"); }

COVN_TEST(mean_signed_error_of_floats_stays_below_1e_8) { check_bias<float>("f32"); }
COVN_TEST(mean_signed_error_of_bfloats_stays_below_1e_8) { check_bias<BFloat16>("bf16"); }

COVN_TEST(special_values) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t n : {1, 2, 5, 16, 40, 130, 3000}) {
      std::vector<float> all_low(n, -kInfinity);
      CHECK(run(*table, all_low).sum == 0.0);

      for (size_t place : {size_t{0}, n / 2, n - 1}) {
        for (float value : {3.5f, -200.25f, 1e30f, -1e30f}) {
          std::vector<float> one(n, -kInfinity);
          one[place] = value;
          const Scored certain = run(*table, one, value);
          CHECK(certain.token == 0.0 && certain.entropy == 0.0);
          CHECK(certain.max == value);
          CHECK(certain.greater == 0);
        }
        // Quiet and signalling NaNs with payloads, in every position.
        for (uint32_t bits : {0x7fc00000u, 0x7f800001u, 0xffc12345u, 0x7fbfffffu}) {
          for (float other : {1.0f, -kInfinity, 1e30f}) {
            std::vector<float> bad(n, other);
            bad[place] = std::bit_cast<float>(bits);
            CHECK(std::isnan(run(*table, bad).sum));
          }
        }
        std::vector<float> high(n, 1.0f);
        high[place] = kInfinity;
        CHECK(std::isnan(run(*table, high).sum));
      }
    }
    // The ends of the float range: differences overflow to -inf.
    const std::vector<float> wide{3.4e38f, -3.4e38f, 0.0f};
    CHECK(run(*table, wide, 3.4e38f).token == 0.0);
    CHECK(run(*table, wide, 3.4e38f).entropy == 0.0);
  }
}

// The same with the packed formats, where NaNs with the sign bit set look like very low numbers.
template <class T>
void check_packed_specials(uint16_t infinity) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t n : {1, 40, 200, 3000}) {
      for (size_t place : {size_t{0}, n / 2, n - 1}) {
        for (uint16_t bits : {static_cast<uint16_t>(infinity + 1), static_cast<uint16_t>(0x8001 + infinity),
                              uint16_t{0xffff}, uint16_t{0x7fff}, infinity}) {
          for (float other : {1.0f, -3.0f, -300.0f}) {
            std::vector<T> x(n, store<T>(other));
            x[place].bits = bits;
            CHECK(std::isnan(score(*table, x.data(), n, 1.0f, 1.0).sum));
          }
        }
        std::vector<T> masked(n, T{static_cast<uint16_t>(0x8000 + infinity)});
        CHECK(score(*table, masked.data(), n, 1.0f, 1.0).sum == 0.0);
        for (float value : {2.5f, -2.5f, 0.0f, 60.0f, -200.0f}) {
          masked[place] = store<T>(value);
          const Scored certain = score(*table, masked.data(), n, value, 1.0);
          CHECK(certain.token == 0.0 && certain.max == value && certain.greater == 0);
        }
      }
    }
  }
}
COVN_TEST(special_halves) { check_packed_specials<Float16>(0x7c00); }
COVN_TEST(special_bfloats) { check_packed_specials<BFloat16>(0x7f80); }

// Rank is by value: -0 and 0 are equal, and every pair of finite numbers is in order.
template <class T>
void check_order(uint16_t infinity) {
  const uint16_t magnitudes[] = {0, 1, 2, 0x100, 0x3c00, 0x3f80, 0x4000, static_cast<uint16_t>(infinity - 1)};
  for (const auto& [name, table] : runnable_tables()) {
    for (uint16_t a : magnitudes) {
      for (uint16_t b : magnitudes) {
        for (int signs = 0; signs < 4; signs++) {
          std::vector<T> x(200, T{static_cast<uint16_t>(a | (signs & 1) << 15)});
          const float target = to_float(T{static_cast<uint16_t>(b | (signs & 2) << 14)});
          const int64_t want = to_float(x[0]) > target ? 200 : 0;
          CHECK(score(*table, x.data(), x.size(), target, 1.0).greater == want);
        }
      }
    }
  }
}
COVN_TEST(halves_are_in_order) { check_order<Float16>(0x7c00); }
COVN_TEST(bfloats_are_in_order) { check_order<BFloat16>(0x7f80); }

COVN_TEST(equal_logits_are_uniform) {
  for (const auto& [name, table] : runnable_tables()) {
    for (float value : {0.0f, -7.25f, 33.3f, 1e30f, -1e30f}) {
      for (size_t n : {2, 128, 512, 4096}) {
        const std::vector<float> equal(n, value);
        // The formula of 32 powers has terms of 2.5e-7, the others of 1.7e-7; equal terms do not average.
        const double bound = table->table_bits == 5 ? 3e-7 : 2e-7;
        CHECK_AT_MOST(std::fabs(run(*table, equal, value).token + std::log(static_cast<double>(n))), bound);
      }
    }
    CHECK(run(*table, {42.0f}, 42.0f).token == 0.0);
  }
}

// Rows that rise far above where they began, block by block and at once, in every format.
template <class T>
void check_steep_rows(double steps) {
  for (const auto& [name, table] : runnable_tables()) {
    for (double sign : {1.0, -1.0}) {
      std::vector<T> x(5 * kRowBlock + 77);
      std::vector<float> wide(x.size());
      for (size_t i = 0; i < x.size(); i++) {
        x[i] = store<T>(static_cast<float>(sign * steps * static_cast<double>(i / (kRowBlock / 8 * 3)) +
                                           0.01 * static_cast<double>(i % 100)));
        wide[i] = to_float(x[i]);
      }
      for (double temperature : {1.0, 0.3}) {
        const size_t target = sign > 0 ? x.size() - 1 : 3;
        const reference::Row want = reference::score_row(wide.data(), x.size(), target, temperature);
        const Scored got = score(*table, x.data(), x.size(), wide[target], temperature);
        CHECK_AT_MOST(std::fabs(got.token - want.token), 1e-6);
        CHECK_AT_MOST(std::fabs(got.entropy - want.entropy), 1e-5);
        CHECK(got.greater + 1 == want.rank);
      }
    }
  }
}
COVN_TEST(steep_rows) {
  for (double steps : {10.0, 45.0, 100.0, 3000.0}) {
    check_steep_rows<float>(steps);
    check_steep_rows<BFloat16>(steps);
    check_steep_rows<Float16>(steps);
  }
  check_steep_rows<float>(1e6);
}

// A row's bits depend on the row alone: not on which rows are read before or beside it, nor on the optional sums.
template <class T>
void check_company(size_t vocab, double spread) {
  Random random(vocab);
  const size_t rows = 40;
  std::vector<T> x(rows * vocab);
  for (size_t row = 0; row < rows; row++) {
    // Levels apart, huge ones among them if far apart, and now and then a masked half.
    const double level = row % 5 == 4 && spread > 20.0 ? 500.0 : spread * (row % 7) - 2.5 * spread;
    for (size_t i = 0; i < vocab; i++) {
      const double value = row % 6 == 5 && i % 2 == 1 ? -INFINITY : level + 5 * random.normal();
      x[row * vocab + i] = store<T>(static_cast<float>(value));
    }
    // Some hold a NaN, or nothing but -inf.
    if (row % 9 == 8) {
      for (size_t i = 0; i < vocab; i++) x[row * vocab + i] = store<T>(-kInfinity);
      if (row % 2 == 0) x[row * vocab + vocab / 2] = store<T>(std::numeric_limits<float>::quiet_NaN());
    }
  }
  for (const auto& [name, table] : runnable_tables()) {
    for (double temperature : {1.0, 0.004}) {
      const RowParameters parameters = table->parameters(temperature, vocab);
      const T* pointers[rows];
      float targets[rows];
      for (size_t row = 0; row < rows; row++) {
        pointers[row] = x.data() + row * vocab;
        targets[row] = to_float(pointers[row][0]);
      }
      static RowBatch batch, sums_only;
      static RowResults results, sums_only_results;
      table->template rows<T>().accumulate[1][1](pointers, rows, vocab, targets, parameters, batch);
      table->template rows<T>().finish[1](batch, rows, parameters, results);
      table->template rows<T>().accumulate[0][0](pointers, rows, vocab, targets, parameters, sums_only);
      table->template rows<T>().finish[0](sums_only, rows, parameters, sums_only_results);
      for (size_t row = 0; row < rows; row++) {
        if (row % 9 == 8) {
          CHECK(row % 2 == 0 ? std::isnan(batch.sum[row]) : batch.sum[row] == 0.0);
          CHECK(row % 2 == 0 ? std::isnan(sums_only.sum[row]) : sums_only.sum[row] == 0.0);
          continue;
        }
        const Scored alone = score(*table, pointers[row], vocab, targets[row], temperature);
        CHECK(results.log_sum[row] == alone.log_sum && results.entropy[row] == alone.entropy);
        CHECK(batch.greater[row] == alone.greater && batch.max[row] == alone.max);
        // Not of the emulated tables: compiled for the baseline, one instantiation of SIMDe's vectors in some thousand
        // rows rounds a sum differently from another, where the processor's own instructions do not.
        if (name.find("emulated") != std::string::npos) continue;
        CHECK(score(*table, pointers[row], vocab, targets[row], temperature, false).log_sum == alone.log_sum);
        CHECK(sums_only_results.log_sum[row] == alone.log_sum && sums_only.max[row] == alone.max);
      }
    }
  }
}
COVN_TEST(bits_do_not_depend_on_company) {
  for (size_t vocab : {2, 31, 32, 100, 128, 129, 512, 1000, 9000}) {
    for (double spread : {40.0, 5.0}) {
      check_company<float>(vocab, spread);
      check_company<Float16>(vocab, spread);
      check_company<BFloat16>(vocab, spread);
    }
  }
}

// A row that is certain stays exactly so after a row far above it, and rows on either side of the limit for an origin
// have the same bits in company as alone.
COVN_TEST(neighbours_leave_no_trace) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {100, 150000}) {
      std::vector<float> x(6 * vocab, -kInfinity);
      x[5] = 60.0f;
      x[vocab + 7] = 20.5f;
      std::fill_n(x.begin() + static_cast<long>(2 * vocab), vocab, 45049.0f);
      std::fill_n(x.begin() + static_cast<long>(3 * vocab), vocab, 45060.3f);
      x[4 * vocab] = 26.0f;
      x[5 * vocab] = 0.0f;
      const float* rows[6];
      float targets[6];
      for (size_t row = 0; row < 6; row++) rows[row] = x.data() + row * vocab;
      for (size_t row = 0; row < 6; row++) targets[row] = row < 2 ? rows[row][row == 0 ? 5 : 7] : rows[row][0];
      const RowParameters parameters = table->parameters(1.0, vocab);
      static RowBatch batch;
      static RowResults results;
      table->rows<float>().accumulate[1][1](rows, 6, vocab, targets, parameters, batch);
      table->rows<float>().finish[1](batch, 6, parameters, results);
      CHECK(results.log_sum[0] == 0.0 && results.log_sum[1] == 0.0);
      for (size_t row = 0; row < 6; row++) {
        const Scored alone = score(*table, rows[row], vocab, targets[row], 1.0);
        CHECK(alone.log_sum == results.log_sum[row] && alone.entropy == results.entropy[row]);
      }
    }
  }
}

COVN_TEST(every_half_and_bfloat_reads_exactly) {
  for (const auto& [name, table] : runnable_tables()) {
    for (uint32_t bits = 0; bits < 0x10000; bits += 1) {
      const Float16 half{static_cast<uint16_t>(bits)};
      const float want = static_cast<float>(reference::decode_half(half.bits));
      if (!(std::isnan(want) ? std::isnan(to_float(half)) : to_float(half) == want)) CHECK(false);
      if (!std::isnan(want) && narrow_toward_zero<Float16>(want) != half.bits) CHECK(false);
      if (bits % 8 != 0 || !std::isfinite(want)) continue;
      for (size_t n : {16, 160}) {
        const std::vector<Float16> row(n, half);
        const Scored got = score(*table, row.data(), n, want, 1.0);
        if (!(got.max == want && got.greater == 0 && std::fabs(got.log_sum - std::log(double(n))) < 3e-7)) CHECK(false);
      }
    }
  }
}

int main() { return run_all(); }
