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
  double reference_origin, model_origin;
  double reference, model, affinity, weighted;
  bool unsupported;  // some b is -inf where a is not
};

// Expresses the sums at other origins.
inline void move_origins(PairState& s, double reference_origin, double model_origin, const RowParameters& half) {
  const double reference = s.reference_origin - reference_origin, model = s.model_origin - model_origin;
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

// Adds a later part of the same rows.
inline void add_pairs(PairState& s, PairState part, const RowParameters& half) {
  const auto common = [](double sum, double origin, double other_sum, double other) {
    return sum == 0.0 ? other : other_sum == 0.0 ? origin : origin > other ? origin : other;
  };
  const double reference = common(s.reference, s.reference_origin, part.reference, part.reference_origin);
  const double model = common(s.model, s.model_origin, part.model, part.model_origin);
  move_origins(s, reference, model, half);
  move_origins(part, reference, model, half);
  s.reference += part.reference;
  s.model += part.model;
  s.affinity += part.affinity;
  s.weighted += part.weighted;
  s.unsupported = s.unsupported || part.unsupported;
}

// The logit whose term is a sum, rounded down to octaves; an empty sum's is its origin.
inline float level_of(double origin, double sum, const RowParameters& half) {
  const int octave = sum > 1.0 ? static_cast<int>(std::bit_cast<uint64_t>(sum) >> 52) - 1023 : 0;
  return static_cast<float>(origin + octave * (0.5 * half.temperature * kLn2));
}

// Terms of this share of the sum so far, 2^-5, or more are formed in double: a float's relative error times their log
// ratio would be seen in the KL. An empty sum's first term is 1.
inline double precise_above(double sum) { return (sum > 1.0 ? sum : 1.0) / 32; }

// Origins follow the largest logit when it lies this many octaves of u above: then no term leaves the float range.
constexpr int kOriginOctaves = 20;

inline bool rises_above(float max, double origin, const RowParameters& half) {
  return max < std::numeric_limits<float>::infinity() && max - origin > offset_of(kOriginOctaves, half);
}

// Rows of pairs whose levels lie in this range, and not farther apart than that, need no origins in float at
// temperature 1: the terms are within its range, and differences of logits round little.
constexpr float kMinPairLevel = -40.0f, kMaxPairLevel = 70.0f, kMaxPairGap = 8.0f;

inline bool needs_no_origins(float reference_level, float model_level) {
  const float gap = reference_level - model_level;
  return reference_level >= kMinPairLevel && reference_level <= kMaxPairLevel && model_level >= kMinPairLevel &&
         model_level <= kMaxPairLevel && gap <= kMaxPairGap && -gap <= kMaxPairGap;
}

// From sums over e^a, e^b, e^((a + b)/2) and a - b to those at the origins: what to multiply by, and what to take from
// a - b. For temperature 1.
struct PairFactors {
  double reference_origin = 0.0, model_origin = 0.0;
  double reference = 1.0, model = 1.0, affinity = 1.0, difference = 0.0;

  void follow(const PairState& s) {
    if (reference_origin == s.reference_origin && model_origin == s.model_origin) return;
    reference_origin = s.reference_origin;
    model_origin = s.model_origin;
    reference = std::exp(-reference_origin);
    model = std::exp(-model_origin);
    affinity = std::exp(-0.5 * (reference_origin + model_origin));
    difference = reference_origin - model_origin;
  }
};

// Made here, as empty_row() is.
inline PairFactors no_factors() { return {}; }

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
