// Pairs of rows for the tests of scorePair on the emulated device, and how far they come out from long double.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "covn/cuda.hpp"
#include "cuda/emulator/control.hpp"
#include "reference/pair.hpp"
#include "test/cuda/score_cases.hpp"
#include "test/pool.hpp"

namespace covn::test {

struct PairCase {
  Case reference, model;
};

inline PairCase random_pair(DType dtype, size_t rows, size_t vocab, double deviation, uint64_t seed, bool alike = false,
                            double offset = 0.0) {
  PairCase pair{random_case(dtype, rows, vocab, deviation, seed), random_case(dtype, rows, vocab, deviation, seed + 1)};
  if (!alike && offset == 0.0) return pair;
  Random random(seed + 2);
  for (size_t i = 0; i < rows * vocab; i++) {
    const double x = alike ? pair.reference.values[i] + 0.5 * random.normal() : pair.model.values[i];
    pair.model.set(i, static_cast<float>(x + offset));
  }
  return pair;
}

struct PairOut {
  Status status;
  std::vector<double> log_ratio, kl, hellinger;
  std::vector<float> token_log_ratio, token_kl, token_hellinger;
  std::vector<int64_t> non_finite_rows;

  bool operator==(const PairOut& other) const {
    return same_bits(log_ratio, other.log_ratio) && same_bits(kl, other.kl) && same_bits(hellinger, other.hellinger) &&
           same_bits(token_log_ratio, other.token_log_ratio) && same_bits(token_kl, other.token_kl) &&
           same_bits(token_hellinger, other.token_hellinger) && non_finite_rows == other.non_finite_rows;
  }
};

using MakePair = Status (*)(PairRequest, std::unique_ptr<ScoreJob>&);

inline PairRequest request_of(const PairCase& c, std::vector<int64_t> offsets, bool propagate, PairOut& out) {
  const size_t rows = c.reference.targets.size(), responses = offsets.size() - 1;
  for (auto* sums : {&out.log_ratio, &out.kl, &out.hellinger}) sums->resize(responses);
  for (auto* tokens : {&out.token_log_ratio, &out.token_kl, &out.token_hellinger}) tokens->resize(rows);
  PairRequest request;
  request.reference = c.reference.logits.data();
  request.model = c.model.logits.data();
  request.reference_count = c.reference.values.size();
  request.model_count = c.model.values.size();
  request.dtype = c.reference.dtype;
  request.vocab = c.reference.vocab;
  request.tokens.targets = c.reference.targets.data();
  request.tokens.rows = rows;
  request.tokens.offsets = std::move(offsets);
  request.tokens.temperature = c.reference.temperature;
  request.tokens.propagate_non_finite = propagate;
  request.log_ratio = out.log_ratio.data();
  request.kl = out.kl.data();
  request.hellinger = out.hellinger.data();
  request.token_log_ratio = out.token_log_ratio.data();
  request.token_kl = out.token_kl.data();
  request.token_hellinger = out.token_hellinger.data();
  return request;
}

// Without offsets every row is a response of its own.
inline PairOut score_pair(const PairCase& c, MakePair make = cuda::make_pair_job, std::vector<int64_t> offsets = {},
                          bool propagate = false) {
  if (offsets.empty()) {
    for (size_t row = 0; row <= c.reference.targets.size(); row++) offsets.push_back(static_cast<int64_t>(row));
  }
  PairOut out;
  std::unique_ptr<ScoreJob> job;
  out.status = make(request_of(c, std::move(offsets), propagate, out), job);
  if (!out.status.ok()) return out;
  out.status = run_inline(*job);
  out.non_finite_rows = job->non_finite_rows();
  return out;
}

inline reference::Pair exact(const PairCase& c, size_t row) {
  const size_t vocab = c.reference.vocab;
  return reference::score_pair(c.reference.values.data() + row * vocab, c.model.values.data() + row * vocab, vocab,
                               static_cast<size_t>(c.reference.targets[row]), c.reference.temperature);
}

// Gives the largest error of a KL.
inline double check(const PairCase& c, double bound) {
  const PairOut out = score_pair(c);
  CHECK(out.status.ok());
  double worst = 0.0;
  for (size_t row = 0; row < c.reference.targets.size() && out.status.ok(); row++) {
    const reference::Pair want = exact(c, row);
    if (std::isinf(want.kl)) {
      CHECK(out.kl[row] == kInfinity);
    } else {
      CHECK_AT_MOST(std::fabs(out.kl[row] - want.kl), bound);
      worst = std::fmax(worst, static_cast<double>(std::fabs(out.kl[row] - want.kl)));
    }
    CHECK_AT_MOST(std::fabs(out.hellinger[row] - want.hellinger), bound);
    CHECK(std::isnan(want.log_ratio)
              ? std::isnan(out.log_ratio[row])
              : out.log_ratio[row] == want.log_ratio || std::fabs(out.log_ratio[row] - want.log_ratio) <= bound);
    CHECK(out.kl[row] >= 0.0 && out.hellinger[row] >= 0.0 && out.hellinger[row] <= 1.0);
  }
  return worst;
}

inline PairCase with(PairCase c, double temperature) {
  c.reference.temperature = temperature;
  return c;
}

}  // namespace covn::test
