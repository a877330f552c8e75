// What drawing from rows of logits computes: uniforms, the terms exp(x/T), the margin of a proof; pure functions, the
// same on host and device.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

#include "core/philox.hpp"
#include "cuda/device/double_math.hpp"
#include "cuda/device/host_device.hpp"
#include "kernels/row_parameters.hpp"

namespace covn::cuda {

constexpr uint32_t kSampleStream = 2;  // fourth word of the Philox counter, as of the CPU's draws

// The double in (0, 1) in the middle of one of 2^52 intervals, of two of Philox's words.
COVN_HD inline double uniform_of(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 32 | low) >> 12;
  return std::bit_cast<double>(bits + 0x3ff0000000000000u) - (1.0 - 0x1p-53);
}
COVN_HD inline double sample_uniform(uint64_t seed, uint32_t sequence, uint32_t position, uint32_t sample) {
  const PhiloxCounter words = philox4x32({sequence, position, sample, kSampleStream}, seed);
  return uniform_of(words[0], words[1]);
}

// A token is proved to be the one that exact sums would give, and the CPU's, where the uniform u is farther than this
// from both of its ends: sums of terms are exact to 2.5e-6 of themselves here and there together, so that what lies
// below an end is to 5e-6 of the smaller of the shares below and above it; and 2^-42 covers
// sums in double, of vocabularies up to 2^26 wherever they lie, of larger ones where neither share is below 1e-6.
COVN_HD inline double uniform_margin(double u) { return 5e-6 * (u < 0.5 ? u : 1.0 - u) + 0x1p-42; }

// How terms of a temperature are formed: as kernels/exponential.inl.hpp does without a table, relative error 6e-8 for
// every term down to 2^-125 of the place.
struct DrawConstants {
  double temperature, octaves;  // a logit's, log2(e)/T
  double octave;                // T ln(2), in logits
  float rate, step_high, step_low;
  float c[kMaxExpDegree];
  float least_plain, most_plain;  // largest logits of rows that need no origin
};

inline DrawConstants draw_constants(double temperature) {
  const RowParameters row = make_row_parameters(temperature, 0, 1, 1);
  DrawConstants p{
      temperature, kLog2E / temperature,        temperature * kLn2,        row.rate, row.step_high, row.step_low,
      {},          offset_of(-kMaxOctave, row), offset_of(kMaxOctave, row)};
  for (int j = 0; j < kMaxExpDegree; j++) p.c[j] = row.c[j];
  return p;
}

// Where a row's terms lie (kernels/row_parameters.hpp); the largest is about 2^kPlaceMargin.
struct DrawPlace {
  float origin, magic, floor;
};

COVN_HD inline DrawPlace draw_place(float max, const DrawConstants& p) {
  if (!(max >= p.least_plain && max <= p.most_plain)) {
    return {max, kMagic, static_cast<float>(-kFloor * p.octave)};
  }
  const double octave = floor(static_cast<double>(max) * p.octaves) - kPlaceMargin;
  return {0.0f, kMagic - static_cast<float>(octave), static_cast<float>((octave - kFloor) * p.octave)};
}

// The term of a logit; NaN gives anything.
COVN_HD inline float draw_term(float x, const DrawPlace& place, const DrawConstants& p) {
  const float d = fmaxf(x - place.origin, place.floor);
  const float shifted = fmaf(d, p.rate, place.magic), k = shifted - place.magic;
  const float r = fmaf(k, -p.step_low, fmaf(k, -p.step_high, d));
  float e = p.c[kMaxExpDegree - 1];
  for (int j = kMaxExpDegree - 1; j > 0; j--) e = fmaf(e, r, p.c[j - 1]);
  e = fmaf(e, r, 1.0f);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(e) + (std::bit_cast<uint32_t>(shifted) << 23));
}

}  // namespace covn::cuda
