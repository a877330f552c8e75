// A test is a function; CHECK notes a failure and goes on. Each test program prints its counts and exits 1 on a
// failure.
#pragma once

#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace covn::test {

inline std::vector<std::pair<std::string, std::function<void()>>>& tests() {
  static std::vector<std::pair<std::string, std::function<void()>>> all;
  return all;
}
inline int failures = 0;

struct Register {
  Register(std::string name, std::function<void()> body) { tests().emplace_back(std::move(name), std::move(body)); }
};

#define COVN_TEST(name)                                             \
  static void name();                                               \
  static const ::covn::test::Register register_##name(#name, name); \
  static void name()

#define CHECK(condition)                                                            \
  do {                                                                              \
    if (!(condition)) {                                                             \
      std::printf("    %s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
      ::covn::test::failures++;                                                     \
    }                                                                               \
  } while (false)

#define CHECK_AT_MOST(value, bound)                                                                            \
  do {                                                                                                         \
    const double checked_value = static_cast<double>(value);                                                   \
    if (!(checked_value <= (bound))) {                                                                         \
      std::printf("    %s:%d: %s = %g, above %g\n", __FILE__, __LINE__, #value, checked_value, double(bound)); \
      ::covn::test::failures++;                                                                                \
    }                                                                                                          \
  } while (false)

inline int run_all() {
  int failed = 0;
  for (const auto& [name, body] : tests()) {
    const int before = failures;
    body();
    const bool ok = failures == before;
    failed += !ok;
    std::printf("%s %s\n", ok ? "ok  " : "FAIL", name.c_str());
  }
  std::printf("%d passed, %d failed\n", static_cast<int>(tests().size()) - failed, failed);
  return failed == 0 ? 0 : 1;
}

// Splitmix64 (Steele, Lea, Flood 2014): test data only.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t bits() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  double normal();

 private:
  uint64_t state_;
};

}  // namespace covn::test

#include <cmath>

inline double covn::test::Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
  return radius * std::cos(6.283185307179586 * uniform());
}
