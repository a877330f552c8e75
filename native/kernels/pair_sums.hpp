// What the pair kernels give back, and the scalar arithmetic on it: plain double precision, shared by every target.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/row_parameters.hpp"

namespace covn {

// Everything known of a row of logits a of the reference and b of the model. With u = exp((a - reference_origin) / 2T)
// and v = exp((b - model_origin) / 2T):
//   reference = sum u^2        0: nothing but -inf; NaN: a NaN or +inf, in both of these
//   model     = sum v^2
//   affinity  = sum u v
//   weighted  = sum u^2 ((a - reference_origin) - (b - model_origin)), without the logits that make it infinite
struct PairState {
  float reference_origin, model_origin;
  double reference, model, affinity, weighted;
  bool unsupported;  // some b is -inf where a is not
};

// Expresses the sums at other origins.
inline void move_origins(PairState& s, float reference_origin, float model_origin, const RowParameters& half) {
  const double reference = static_cast<double>(s.reference_origin) - reference_origin;
  const double model = static_cast<double>(s.model_origin) - model_origin;
  // An empty sum has no origin yet.
  const double u = s.reference > 0.0 ? std::exp(reference / half.temperature) : 1.0;
  const double v = s.model > 0.0 ? std::exp(model / half.temperature) : 1.0;
  s.weighted = u * u * (s.weighted + (reference - model) * s.reference);
  s.reference *= u * u;
  s.model *= v * v;
  s.affinity *= u * v;
  s.reference_origin = reference_origin;
  s.model_origin = model_origin;
}

// Terms of at least this share of the sum so far (2^-5), are formed in double: a float's relative error times
// their log ratio would be seen in the KL.
constexpr int kPreciseShare = -5;

// The logit above which they are.
inline float precise_above(float origin, double sum, const RowParameters& half) {
  const int octave = sum >= 1.0 ? static_cast<int>(std::bit_cast<uint64_t>(sum) >> 52) - 1023 : 0;
  return static_cast<float>(origin + (octave + kPreciseShare) * (0.5 * half.temperature * kLn2));
}

// Origins follow the largest logit when it lies this many octaves of u above: then no term leaves the float range.
constexpr int kOriginOctaves = 20;

inline bool rises_above(float max, float origin, const RowParameters& half) {
  return max < std::numeric_limits<float>::infinity() && max - origin > offset_of(kOriginOctaves, half);
}

// Nats: log p_reference(t) - log p_model(t) of a target, KL(reference || model), and squared Hellinger distance.
struct PairResult {
  double log_ratio, kl, hellinger;
};

// Of a row whose `reference` and `model` are above 0. One logarithm serves both differences of normalisers.
inline PairResult finish_pair(const PairState& s, float reference_target, float model_target, double temperature) {
  const double log_sums = std::log(s.reference / s.model);
  const double targets = (static_cast<double>(reference_target) - s.reference_origin) -
                         (static_cast<double>(model_target) - s.model_origin);
  const double kl = s.weighted / s.reference / temperature - log_sums;
  const double hellinger = 1.0 - s.affinity / std::sqrt(s.reference * s.model);
  return {targets / temperature - log_sums,
          s.unsupported ? std::numeric_limits<double>::infinity() : (kl > 0.0 ? kl : 0.0),
          hellinger > 0.0 ? hellinger : 0.0};
}

}  // namespace covn
