// Logits, how they are scored on the emulated device and by the CPU, and how far off that is.
#pragma once

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "covn/cuda.hpp"
#include "cuda/emulator/control.hpp"
#include "reference/logprob.hpp"
#include "reference/number_formats.hpp"
#include "test/check.hpp"
#include "test/cuda/device_memory.hpp"

namespace covn::test {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr DType kDTypes[] = {DType::f32, DType::f16, DType::bf16};

struct Case {
  DType dtype;
  size_t vocab;
  std::vector<float> values;          // exact in the dtype
  std::vector<unsigned char> logits;  // the same, stored
  std::vector<int32_t> targets;
  double temperature = 1.0;

  size_t size() const { return dtype == DType::f32 ? 4 : 2; }
  void set(size_t index, float value) {
    uint16_t bits = 0;
    switch (dtype) {
      case DType::f32:
        values[index] = value;
        std::memcpy(logits.data() + index * 4, &value, 4);
        return;
      case DType::f16:
        bits = reference::encode_half(value);
        values[index] = static_cast<float>(reference::decode_half(bits));
        break;
      case DType::bf16:
        bits = static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16);
        values[index] = std::bit_cast<float>(uint32_t{bits} << 16);
        break;
    }
    std::memcpy(logits.data() + index * 2, &bits, 2);
  }
};

inline Case random_case(DType dtype, size_t rows, size_t vocab, double deviation, uint64_t seed, double offset = 0.0) {
  Random random(seed);
  Case c{dtype, vocab, std::vector<float>(rows * vocab), {}, std::vector<int32_t>(rows)};
  c.logits.resize(rows * vocab * c.size());
  for (size_t i = 0; i < rows * vocab; i++) c.set(i, static_cast<float>(offset + deviation * random.normal()));
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

using MakeJob = Status (*)(LogitsRequest, std::unique_ptr<ScoreJob>&);

// Without offsets every row is a response of its own, whose sum is the unrounded log-prob.
inline Result score(const Case& c, MakeJob make = cuda::make_score_job, std::vector<int64_t> offsets = {},
                    bool propagate = false) {
  const size_t rows = c.targets.size();
  if (offsets.empty()) {
    for (size_t row = 0; row <= rows; row++) offsets.push_back(static_cast<int64_t>(row));
  }
  Result r{{},
           std::vector<double>(offsets.size()),
           std::vector<double>(rows),
           std::vector<float>(rows),
           std::vector<float>(rows),
           std::vector<int32_t>(rows),
           {}};
  LogitsRequest request;
  request.logits = c.logits.data();
  request.logit_count = c.values.size();
  request.dtype = c.dtype;
  request.vocab = c.vocab;
  request.scoring.targets = c.targets.data();
  request.scoring.rows = rows;
  request.scoring.offsets = std::move(offsets);
  request.scoring.temperature = c.temperature;
  request.scoring.propagate_non_finite = propagate;
  request.scoring.sequence = r.sequence.data();
  request.scoring.log_z = r.log_z.data();
  request.scoring.token = r.token.data();
  request.scoring.entropy = r.entropy.data();
  request.scoring.rank = r.rank.data();
  std::unique_ptr<ScoreJob> job;
  r.status = make(std::move(request), job);
  if (!r.status.ok()) return r;
  r.status = run_inline(*job);
  r.non_finite_rows = job->non_finite_rows();
  return r;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}
inline bool same(const Result& a, const Result& b) {
  return same_bits(a.sequence, b.sequence) && same_bits(a.log_z, b.log_z) && same_bits(a.token, b.token) &&
         same_bits(a.entropy, b.entropy) && a.rank == b.rank && a.non_finite_rows == b.non_finite_rows;
}

// Largest errors and the mean signed one of log-probs, in nats; ranks have to be right.
struct Errors {
  double token = 0, log_z = 0, entropy = 0, mean = 0;
};
inline Errors errors_of(const Case& c) {
  const Result r = score(c);
  CHECK(r.status.ok());
  Errors errors;
  const size_t rows = c.targets.size();
  for (size_t row = 0; row < rows; row++) {
    const auto want = reference::score_row(c.values.data() + row * c.vocab, c.vocab, c.targets[row], c.temperature);
    const double token = static_cast<double>(r.sequence[row] - want.token);
    errors.token = std::fmax(errors.token, std::fabs(token));
    errors.mean += token / static_cast<double>(rows);
    errors.log_z = std::fmax(errors.log_z, static_cast<double>(std::fabs(r.log_z[row] - want.log_z)));
    errors.entropy = std::fmax(errors.entropy, static_cast<double>(std::fabs(r.entropy[row] - want.entropy)));
    CHECK(std::isfinite(r.log_z[row]) && std::isfinite(r.entropy[row]));  // fmax forgets NaN
    CHECK(r.rank[row] == want.rank);
    CHECK(r.sequence[row] <= 0.0);
    CHECK(r.token[row] == static_cast<float>(r.sequence[row]));
  }
  return errors;
}

inline const char* name(DType dtype) { return dtype == DType::f32 ? "f32" : dtype == DType::f16 ? "f16" : "bf16"; }

}  // namespace covn::test
