// Pairs of models: the kernels of every target, against the long double reference.
#include <bit>
#include <cmath>
#include <limits>

#include "covn/pair.hpp"
#include "reference/number_formats.hpp"
#include "reference/pair.hpp"
#include "test/check.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <class T>
T store(double value);
template <>
float store(double value) {
  return static_cast<float>(value);
}
template <>
BFloat16 store(double value) {
  return {static_cast<uint16_t>(std::bit_cast<uint32_t>(static_cast<float>(value)) >> 16)};
}
template <>
Float16 store(double value) {
  return {reference::encode_half(value)};
}

template <class T>
PairState accumulate(const KernelTable& table, const std::vector<T>& a, const std::vector<T>& b, double temperature) {
  PairState state;
  table.pairs.of(T{})(a.data(), b.data(), a.size(), table.parameters(2 * temperature, a.size()), state);
  return state;
}

template <class T>
PairResult score(const KernelTable& table, const std::vector<T>& a, const std::vector<T>& b, size_t target,
                 double temperature = 1.0) {
  const PairState state = accumulate(table, a, b, temperature);
  return finish_pair(state, to_float(a[target]), to_float(b[target]), temperature);
}

template <class T>
reference::Pair exact(const std::vector<T>& a, const std::vector<T>& b, size_t target, double temperature = 1.0) {
  std::vector<float> x, y;
  for (const T value : a) x.push_back(to_float(value));
  for (const T value : b) y.push_back(to_float(value));
  return reference::score_pair(x.data(), y.data(), x.size(), target, temperature);
}

struct Setting {
  size_t vocab;
  double deviation, offset, temperature;
  bool alike;          // the model's logits near the reference's
  double level = 0.0;  // of both
};

// Gives the largest error of a KL.
template <class T>
double check_random(const KernelTable& table, const Setting& s) {
  Random random(s.vocab * 31 + static_cast<uint64_t>(s.deviation));
  const double bound = s.deviation > 5.0 || s.temperature < 1.0 ? 2e-6 : 1e-6;
  double worst = 0.0;
  for (int row = 0; row < (s.vocab > 10000 ? 3 : 100); row++) {
    std::vector<T> a(s.vocab), b(s.vocab);
    for (size_t i = 0; i < s.vocab; i++) {
      const double x = s.level + s.deviation * random.normal();
      a[i] = store<T>(x);
      b[i] = store<T>(s.offset + (s.alike ? x + 0.5 * random.normal() : s.level + s.deviation * random.normal()));
    }
    const size_t target = random.bits() % s.vocab;
    const PairResult got = score(table, a, b, target, s.temperature);
    const reference::Pair want = exact(a, b, target, s.temperature);
    CHECK_AT_MOST(std::fabs(got.kl - want.kl), bound);
    CHECK_AT_MOST(std::fabs(got.hellinger - want.hellinger), bound);
    CHECK_AT_MOST(std::fabs(got.log_ratio - want.log_ratio), bound);
    CHECK(got.kl >= 0.0 && got.hellinger >= 0.0 && got.hellinger <= 1.0);
    worst = std::fmax(worst, static_cast<double>(std::fabs(got.kl - want.kl)));
  }
  return worst;
}

template <class T>
void check_type(const char* type) {
  for (const auto& [name, table] : runnable_tables()) {
    for (double deviation : {1.0, 5.0, 30.0}) {
      double worst = 0.0;
      for (size_t vocab : {1, 2, 7, 33, 1000, 32001}) {
        for (bool alike : {false, true}) {
          worst = std::fmax(worst, check_random<T>(*table, {vocab, deviation, 0.0, 1.0, alike}));
        }
        if (deviation != 5.0) continue;
        for (double temperature : {0.6, 2.5}) check_random<T>(*table, {vocab, deviation, 0.0, temperature, false});
        check_random<T>(*table, {vocab, deviation, 1000.0, 1.0, false});
        // Around the levels and their gap beyond which origins are needed.
        for (double level : {-60.0, -38.0, 45.0, 68.0, 90.0})
          check_random<T>(*table, {vocab, 1.0, 0.0, 1.0, true, level});
        for (double gap : {-21.0, -19.0, 19.0, 21.0}) check_random<T>(*table, {vocab, 1.0, gap, 1.0, true});
      }
      std::printf("    %s %s, deviation %g: KL error at most %.1e\n", name.c_str(), type, deviation, worst);
    }
  }
}

// A row whose largest logits come late, so that origins move, and which holds everything awkward that is finite.
std::vector<float> rising_row(size_t n, uint64_t seed) {
  Random random(seed);
  std::vector<float> x(n);
  for (size_t i = 0; i < n; i++) x[i] = static_cast<float>(-3000.0 + 0.5 * static_cast<double>(i) + random.normal());
  for (size_t i = 5; i < n; i += 1001) x[i] = -kInfinity;
  return x;
}

}  // namespace

COVN_TEST(f32_agrees_with_long_double) { check_type<float>("f32"); }
COVN_TEST(f16_agrees_with_long_double) { check_type<Float16>("f16"); }
COVN_TEST(bf16_agrees_with_long_double) { check_type<BFloat16>("bf16"); }

namespace {

template <class T>
void check_equal_rows(const KernelTable& table, size_t vocab) {
  for (uint64_t seed = 0; seed < 100; seed++) {
    Random random(seed);
    std::vector<T> a(vocab);
    for (T& x : a) x = store<T>(5.0 * random.normal());
    const PairResult got = score(table, a, a, 0);
    CHECK(got.kl == 0.0 && got.hellinger == 0.0 && got.log_ratio == 0.0);
  }
}

}  // namespace

COVN_TEST(equal_rows_of_every_format_are_at_distance_0_exactly) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {50, 500}) {
      check_equal_rows<float>(*table, vocab);
      check_equal_rows<Float16>(*table, vocab);
      check_equal_rows<BFloat16>(*table, vocab);
    }
  }
}

// Where all terms of a row round alike, errors do not average out.
COVN_TEST(constant_rows_agree_with_long_double) {
  for (const auto& [name, table] : runnable_tables()) {
    for (double gap : {0.1, 3.3, 6.18758142491, 7.9, 19.372811579765}) {
      for (double level : {-2.433697435009839, 0.5207990516872261, 17.3}) {
        std::vector<float> a(50000, static_cast<float>(level)), b(50000, static_cast<float>(level + gap));
        const PairResult got = score(*table, a, b, 0), back = score(*table, b, a, 0);
        for (const PairResult& result : {got, back}) {
          CHECK_AT_MOST(result.kl, 1e-6);
          CHECK_AT_MOST(std::fabs(result.log_ratio), 1e-6);
          CHECK_AT_MOST(result.hellinger, 1e-6);
        }
      }
    }
  }
}

// Finite, but so low that they may stand for a masked token.
COVN_TEST(very_low_logits_of_the_model_count) {
  for (const auto& [name, table] : runnable_tables()) {
    for (float low : {-1e4f, -1e10f, -1e26f, -1e27f, -1e30f, -3.4028235e38f}) {
      std::vector<float> a(4000, 0.0f), b(4000, 0.1f);
      a[1999] = b[1999] = 8.0f;
      a[300] = -5.0f;
      b[300] = low;
      const PairResult got = score(*table, a, b, 5);
      const reference::Pair want = exact(a, b, 5);
      CHECK_AT_MOST(std::fabs(got.kl - want.kl), 1e-6L + 2e-6L * want.kl);
      CHECK_AT_MOST(std::fabs(got.hellinger - want.hellinger), 1e-6);
      CHECK_AT_MOST(std::fabs(got.log_ratio - want.log_ratio), 1e-6);
    }
  }
}

COVN_TEST(equal_logits_are_at_distance_0_exactly) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {1, 2, 33, 1000, 5001}) {
      for (double temperature : {1e-6, 0.7, 1.0, 1e6}) {
        Random random(vocab);
        std::vector<float> a(vocab);
        for (float& x : a) x = static_cast<float>(10.0 * random.normal());
        if (vocab == 5001) a = rising_row(vocab, 3);
        const size_t target = vocab - 1;
        const PairResult got = score(*table, a, a, target, temperature);
        CHECK(got.kl == 0.0 && got.hellinger == 0.0 && got.log_ratio == 0.0);
      }
    }
  }
}

COVN_TEST(origins_follow_rising_logits) {
  for (const auto& [name, table] : runnable_tables()) {
    const std::vector<float> a = rising_row(9000, 4), level(9000, 7.0f);
    std::vector<float> b = rising_row(9000, 5);
    const PairResult both = score(*table, a, b, 8999);
    const reference::Pair want = exact(a, b, 8999);
    CHECK_AT_MOST(std::fabs(both.kl - want.kl), 1e-6);
    CHECK_AT_MOST(std::fabs(both.hellinger - want.hellinger), 1e-6);
    CHECK_AT_MOST(std::fabs(both.log_ratio - want.log_ratio), 1e-6);
    // Against equal probabilities, either way; the second KL is about a thousand, and -inf makes it infinite.
    CHECK_AT_MOST(std::fabs(score(*table, a, level, 0).kl - exact(a, level, 0).kl), 1e-6);
    CHECK(std::isinf(score(*table, level, b, 0).kl));
    for (float& x : b) x = x == -kInfinity ? -1e30f : x;
    const long double huge = exact(level, b, 0).kl;
    CHECK_AT_MOST(std::fabs(score(*table, level, b, 0).kl / huge - 1.0L), 1e-6);
  }
}

// Masked tokens, common to both or not, among many others; in whole blocks and in none.
COVN_TEST(masked_rows_agree_with_long_double) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {70, 5000, 40000}) {
      for (size_t kept : {1, 3, 50}) {
        Random random(vocab + kept);
        std::vector<float> a(vocab), b(vocab);
        for (size_t i = 0; i < vocab; i++) {
          const bool masked = kept == 50 ? i < vocab / 2 : i % kept != kept / 2 || kept == 1;
          a[i] = masked && i % 7 ? -kInfinity : static_cast<float>(4.0 * random.normal());
          b[i] = masked && i % 14 ? -kInfinity : static_cast<float>(a[i] == -kInfinity ? 1.0 : a[i] + random.normal());
          if (a[i] > -kInfinity && b[i] == -kInfinity) b[i] = -50.0f;
        }
        const PairResult got = score(*table, a, b, 0);
        const reference::Pair want = exact(a, b, 0);
        CHECK_AT_MOST(std::fabs(got.kl - want.kl), 1e-6);
        CHECK_AT_MOST(std::fabs(got.hellinger - want.hellinger), 1e-6);
        CHECK(std::isinf(score(*table, b, a, 0).kl) == std::isinf(exact(b, a, 0).kl));
      }
    }
  }
}

COVN_TEST(logits_of_minus_infinity) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {5, 100, 5000}) {
      Random random(vocab);
      std::vector<float> a(vocab), b(vocab);
      for (float& x : a) x = static_cast<float>(random.normal());
      for (float& x : b) x = static_cast<float>(random.normal());
      const auto agrees = [&](const std::vector<float>& x, const std::vector<float>& y) {
        const PairResult got = score(*table, x, y, 0);
        const reference::Pair want = exact(x, y, 0);
        CHECK(std::isinf(want.kl) ? got.kl == kInfinity : std::fabs(got.kl - want.kl) <= 1e-6);
        CHECK_AT_MOST(std::fabs(got.hellinger - want.hellinger), 1e-6);
      };
      std::vector<float> x = a, y = b;
      x[vocab - 1] = -kInfinity;  // 0 log 0
      agrees(x, y);
      agrees(y, x);
      // However small the reference's share of what the model excludes.
      y[vocab - 1] = -1e4f;
      CHECK(score(*table, y, x, 0).kl == kInfinity);
      y[vocab - 1] = -kInfinity;  // excluded by both
      agrees(x, y);
      for (size_t i = 1; i < vocab; i++) x[i] = y[i] = -kInfinity;
      CHECK(score(*table, x, y, 0).kl == 0.0 && score(*table, x, y, 0).hellinger == 0.0);
      // Nothing in common.
      x.assign(vocab, -kInfinity);
      x[vocab - 1] = 3.0f;
      CHECK(score(*table, x, y, 0).kl == kInfinity && score(*table, x, y, 0).hellinger == 1.0);
      CHECK(score(*table, x, y, 0).log_ratio == -kInfinity && score(*table, y, x, 0).log_ratio == kInfinity);
      CHECK(std::isnan(score(*table, x, y, 1).log_ratio));
    }
  }
}

COVN_TEST(rows_that_are_not_finite_are_told_by_their_sums) {
  for (const auto& [name, table] : runnable_tables()) {
    for (size_t vocab : {3, 64, 5000}) {
      const std::vector<float> good(vocab, 1.0f);
      for (size_t at : {size_t{0}, vocab / 2, vocab - 1}) {
        for (float value : {std::nanf(""), -std::nanf(""), kInfinity}) {
          std::vector<float> bad = good;
          bad[at] = value;
          const PairState first = accumulate(*table, bad, good, 1.0), second = accumulate(*table, good, bad, 1.0);
          CHECK(std::isnan(first.reference) && first.model > 0.0);
          CHECK(std::isnan(second.model) && second.reference > 0.0);
        }
      }
      const std::vector<float> none(vocab, -kInfinity);
      CHECK(accumulate(*table, none, good, 1.0).reference == 0.0 && accumulate(*table, good, none, 1.0).model == 0.0);
    }
  }
}

int main() { return run_all(); }
