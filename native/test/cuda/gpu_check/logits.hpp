// Rows of numbers in a storage format, of which a run may take some in any order.
#pragma once

#include <cmath>
#include <cstring>
#include <memory>
#include <vector>

#include "core/number_formats.hpp"
#include "test/check.hpp"
#include "test/cuda/gpu_check/operation.hpp"

namespace covn::gpu_check {

inline constexpr DType kDTypes[] = {DType::f32, DType::f16, DType::bf16};
inline const char* name_of(DType dtype) { return dtype == DType::f32 ? "f32" : dtype == DType::f16 ? "f16" : "bf16"; }
inline size_t size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

// [rows, width] of the type.
struct Numbers {
  DType dtype = DType::f32;
  size_t width = 0;
  std::vector<unsigned char> bytes;

  size_t row_bytes() const { return width * size_of(dtype); }
  size_t rows() const { return row_bytes() == 0 ? 0 : bytes.size() / row_bytes(); }
  size_t count() const { return bytes.size() / size_of(dtype); }
  void set(size_t index, float value) {
    if (dtype == DType::f32) {
      std::memcpy(bytes.data() + index * 4, &value, 4);
      return;
    }
    const uint16_t bits =
        dtype == DType::f16 ? narrow_toward_zero<Float16>(value) : narrow_toward_zero<BFloat16>(value);
    std::memcpy(bytes.data() + index * 2, &bits, 2);
  }
  Numbers take(const Rows& from) const {
    Numbers taken{dtype, width, {}};
    taken.bytes.resize(from.size() * row_bytes());
    for (size_t i = 0; i < from.size(); i++) {
      std::memcpy(taken.bytes.data() + i * row_bytes(), bytes.data() + from[i] * row_bytes(), row_bytes());
    }
    return taken;
  }
};

inline Numbers normal_numbers(DType dtype, size_t rows, size_t width, double deviation, uint64_t seed,
                              double mean = 0.0) {
  test::Random random(seed);
  Numbers numbers{dtype, width, {}};
  numbers.bytes.resize(rows * numbers.row_bytes());
  for (size_t i = 0; i < rows * width; i++) numbers.set(i, static_cast<float>(mean + deviation * random.normal()));
  return numbers;
}

inline std::vector<int32_t> random_targets(size_t rows, size_t vocab, uint64_t seed) {
  test::Random random(seed);
  std::vector<int32_t> targets(rows);
  for (int32_t& target : targets) target = static_cast<int32_t>(random.bits() % vocab);
  return targets;
}

template <class T>
std::vector<T> take(const std::vector<T>& all, const Rows& rows) {
  std::vector<T> some;
  some.reserve(rows.size());
  for (const uint32_t row : rows) some.push_back(all[row]);
  return some;
}

// Every row a response of its own, whose sum is the unrounded value of its token.
inline std::vector<int64_t> one_by_one(size_t rows) {
  std::vector<int64_t> offsets(rows + 1);
  for (size_t i = 0; i <= rows; i++) offsets[i] = static_cast<int64_t>(i);
  return offsets;
}

// Outputs of scoreLogits and scoreHidden.
struct Scores {
  std::vector<double> sequence, log_z;
  std::vector<float> token, entropy;
  std::vector<int32_t> rank;

  // All outputs of a request, for rows that are responses each.
  void want(TokenScoring& scoring, const std::vector<int32_t>& targets) {
    const size_t rows = targets.size();
    sequence.resize(rows);
    log_z.resize(rows);
    token.resize(rows);
    entropy.resize(rows);
    rank.resize(rows);
    scoring.targets = targets.data();
    scoring.rows = rows;
    scoring.offsets = one_by_one(rows);
    scoring.target = best_target();
    scoring.sequence = sequence.data();
    scoring.log_z = log_z.data();
    scoring.token = token.data();
    scoring.entropy = entropy.data();
    scoring.rank = rank.data();
  }
};

}  // namespace covn::gpu_check
