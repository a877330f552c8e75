// Cases of scoreHidden, and what is asked of their results, whatever computed them.
#pragma once

#include <bit>
#include <cmath>
#include <limits>

#include "covn/hidden.hpp"
#include "reference/hidden.hpp"
#include "reference/logprob.hpp"
#include "test/check.hpp"

namespace covn::test {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Numbers in a storage format and as the floats they stand for.
struct Numbers {
  std::vector<float> values;
  std::vector<uint16_t> bits;  // empty for f32

  Numbers(size_t n, DType dtype, double deviation, Random& random) : values(n), bits(dtype == DType::f32 ? 0 : n) {
    for (size_t i = 0; i < n; i++) {
      values[i] = static_cast<float>(deviation * random.normal());
      if (dtype == DType::f16) values[i] = to_float(Float16{bits[i] = narrow_toward_zero<Float16>(values[i])});
      if (dtype == DType::bf16) values[i] = to_float(BFloat16{bits[i] = narrow_toward_zero<BFloat16>(values[i])});
    }
  }
  const void* data() const { return bits.empty() ? static_cast<const void*>(values.data()) : bits.data(); }
};

struct Case {
  DType dtype;
  size_t rows, width, vocab;
  Numbers hidden, weight;
  std::vector<float> bias;
  double softcap = 0.0, temperature = 1.0;
  std::vector<int32_t> targets;
};

// Logits of about this deviation.
inline Case random_case(DType dtype, size_t rows, size_t width, size_t vocab, double deviation, uint64_t seed) {
  Random random(seed);
  Numbers hidden(rows * width, dtype, 1.0, random);
  Numbers weight(vocab * width, dtype, deviation / std::sqrt(static_cast<double>(width)), random);
  Case c{dtype, rows, width, vocab, std::move(hidden), std::move(weight), {}, 0.0, 1.0, std::vector<int32_t>(rows)};
  for (int32_t& t : c.targets) t = static_cast<int32_t>(random.bits() % vocab);
  return c;
}

struct Result {
  Status status;
  std::vector<double> sequence, log_z;
  std::vector<float> token, entropy;
  std::vector<int32_t> rank;
  std::vector<int64_t> non_finite_rows;
};

// A request of every output, into `r`.
inline HiddenRequest make_request(const Case& c, bool propagate, Result& r) {
  HiddenRequest request;
  request.hidden = c.hidden.data();
  request.hidden_count = c.hidden.values.size();
  request.weight = c.weight.data();
  request.weight_count = c.weight.values.size();
  request.dtype = c.dtype;
  request.width = c.width;
  request.vocab = c.vocab;
  request.bias = c.bias.empty() ? nullptr : c.bias.data();
  request.softcap = c.softcap;
  request.scoring.targets = c.targets.data();
  request.scoring.rows = c.rows;
  for (size_t i = 0; i <= c.rows; i++) request.scoring.offsets.push_back(static_cast<int64_t>(i));
  request.scoring.temperature = c.temperature;
  request.scoring.propagate_non_finite = propagate;
  r.sequence.resize(c.rows);
  r.log_z.resize(c.rows);
  r.token.resize(c.rows);
  r.entropy.resize(c.rows);
  r.rank.resize(c.rows);
  request.scoring.sequence = r.sequence.data();
  request.scoring.log_z = r.log_z.data();
  request.scoring.token = r.token.data();
  request.scoring.entropy = r.entropy.data();
  request.scoring.rank = r.rank.data();
  return request;
}

// Row `a` of one result and row `b` of another.
inline bool same_row(const Result& x, size_t a, const Result& y, size_t b) {
  return std::bit_cast<uint64_t>(x.sequence[a]) == std::bit_cast<uint64_t>(y.sequence[b]) &&
         std::bit_cast<uint64_t>(x.log_z[a]) == std::bit_cast<uint64_t>(y.log_z[b]) &&
         std::bit_cast<uint32_t>(x.entropy[a]) == std::bit_cast<uint32_t>(y.entropy[b]) && x.rank[a] == y.rank[b];
}
inline bool same(const Result& x, const Result& y) {
  for (size_t i = 0; i < x.sequence.size(); i++) {
    if (!same_row(x, i, y, i)) return false;
  }
  return x.sequence.size() == y.sequence.size();
}

inline std::vector<long double> row_logits(const Case& c, size_t row) {
  return reference::head_logits(c.hidden.values.data() + row * c.width, c.weight.values.data(), c.width, c.vocab,
                                c.bias.empty() ? nullptr : c.bias.data(), c.softcap);
}

inline void check_against_reference(const Case& c, const Result& r, double bound) {
  CHECK(r.status.ok());
  for (size_t row = 0; row < c.rows; row++) {
    const std::vector<long double> logits = row_logits(c, row);
    const auto want = reference::score_row(logits.data(), c.vocab, c.targets[row], c.temperature);
    if (std::isinf(want.token))
      CHECK(r.sequence[row] == -kInfinity);
    else
      CHECK_AT_MOST(std::fabs(r.sequence[row] - want.token), bound);
    CHECK_AT_MOST(std::fabs(r.log_z[row] - want.log_z), bound);
    CHECK_AT_MOST(std::fabs(r.entropy[row] - want.entropy), 3 * bound);
    // Logits that rounding cannot tell from the target's may count or not.
    long above = 1, near = 0;
    for (long double x : logits) {
      above += x > logits[c.targets[row]] + bound;
      near += std::fabs(x - logits[c.targets[row]]) <= bound;
    }
    CHECK(r.rank[row] >= above && r.rank[row] <= above + near);
  }
}

}  // namespace covn::test
