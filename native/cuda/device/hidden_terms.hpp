// What scoreHidden does with a logit once it is formed, and with the parts of a row: pure functions, the same on host
// and device.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "cuda/device/double_math.hpp"
#include "cuda/device/host_device.hpp"

namespace covn::cuda {

// Rows of a tile, in every kernel.
constexpr uint32_t kTileRows = 128;

// exp(d/T) for d <= 0, by base two: k = round(d * rate), rate = log2(e)/T, r = d - k T ln(2), and
//   exp(d/T) = 2^k P(r),  P(r) = 1 + c_1 r + ... + c_6 r^6 ~ exp(r/T),  |r| <= T ln(2)/2.
// The polynomial and the step in two floats are those of kernels/row_parameters.hpp (3.1e-9 before rounding).
struct TermParameters {
  static constexpr int kDegree = 6;
  double octaves;  // a unit of logits, log2(e)/T
  float rate, step_high, step_low;
  float floor;  // d below it counts as this: 2^-125
  float c[kDegree];
};

inline TermParameters make_term_parameters(double temperature) {
  constexpr double kCoefficients[] = {1.0f, 0.49999994f, 0.166665211f, 0.0416682661f, 0.00836867373f, 0.00138206338f};
  constexpr double kLn2 = 0.6931471805599453, kLog2E = 1.4426950408889634;
  const double step = temperature * kLn2;
  TermParameters p{};
  p.octaves = kLog2E / temperature;
  p.rate = static_cast<float>(p.octaves);
  p.step_high = static_cast<float>(step);
  p.step_low = static_cast<float>(step - p.step_high);
  p.floor = static_cast<float>(-125.0 * step);
  double scale = 1.0;
  for (int j = 0; j < TermParameters::kDegree; j++) {
    p.c[j] = static_cast<float>(kCoefficients[j] * (scale /= temperature));
  }
  return p;
}

// 1 exactly for d = 0; d at least the floor, and no NaN. Largest relative error 1.5e-7, mean below 1e-9.
COVN_HD inline float term_of(float d, const TermParameters& p) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it to a small number rounds that
  const float shifted = fmaf(d, p.rate, kMagic);
  const float k = shifted - kMagic;
  const float r = fmaf(k, -p.step_low, fmaf(k, -p.step_high, d));
  float sum = p.c[TermParameters::kDegree - 1];
  for (int j = TermParameters::kDegree - 1; j > 0; j--) sum = fmaf(sum, r, p.c[j - 1]);
  const float polynomial = fmaf(sum, r, 1.0f);
  // The whole number is in the low bits of `shifted`; the sum cannot leave the float range, since k is in [-125, 0].
  return std::bit_cast<float>(std::bit_cast<uint32_t>(polynomial) + (std::bit_cast<uint32_t>(shifted) << 23));
}

// cap * tanh(x / cap), NaN stays NaN; error about one last place of a float. Near 0 it is x less a small part of x, far
// out cap less a small part of cap, so that what is computed to a float's relative error is small beside the result.
struct SoftCap {
  float cap, cap_low;  // their sum is the cap; 0: none
  float inverse;
};

inline SoftCap make_soft_cap(double cap) {
  const float high = static_cast<float>(cap);
  return {high, static_cast<float>(cap - high), cap != 0.0 ? static_cast<float>(1.0 / cap) : 0.0f};
}

COVN_HD inline float soft_cap(float x, const SoftCap& s) {
  const float magnitude = fabsf(x);
  const float y = magnitude * s.inverse;
  float capped;
  if (!(y > 1.0f)) {
    // (tanh y - y) / y^3 as a polynomial in y^2, fitted by weighted least squares to 1e-10 of y, each coefficient
    // rounded in turn.
    const float z = y * y;
    float q = 0x1.fcb90ep-16f;
    q = fmaf(q, z, -0x1.995ebap-13f);
    q = fmaf(q, z, 0x1.4f1d0cp-11f);
    q = fmaf(q, z, -0x1.9f87c0p-10f);
    q = fmaf(q, z, 0x1.e6e180p-9f);
    q = fmaf(q, z, -0x1.248902p-7f);
    q = fmaf(q, z, 0x1.66a22ep-6f);
    q = fmaf(q, z, -0x1.ba22e0p-5f);
    q = fmaf(q, z, 0x1.11113ap-3f);
    q = fmaf(q, z, -0x1.555556p-2f);
    capped = fmaf(magnitude * z, q, magnitude);
  } else {
    // tanh y = 1 - 2 e / (1 + e), e = exp(-2 y); from y = 12 on the rest is below a float's last place.
    constexpr TermParameters kUnit = {1.4426950408889634,
                                      0x1.715476p+0f,
                                      0x1.62e430p-1f,
                                      -0x1.05c610p-29f,
                                      -86.0f,
                                      {1.0f, 0.49999994f, 0.166665211f, 0.0416682661f, 0.00836867373f, 0.00138206338f}};
    const float e = term_of(y < 12.0f ? -2.0f * y : -24.0f, kUnit);
    capped = s.cap + fmaf(s.cap, -2.0f * e / (1.0f + e), s.cap_low);
  }
  return copysignf(capped, x);
}

// A part of a row, or a row: terms relative to its largest logit,
//   sum = sum_j exp((x_j - max)/T),  weighted = sum_j exp((x_j - max)/T) (x_j - max),  greater = #{j : x_j > x_target}.
// A part with a NaN or +inf has a NaN sum, and in `max` the first of these; one of nothing but -inf has sum 0.
struct HiddenPart {
  double sum = 0.0, weighted = 0.0;
  float max = -std::numeric_limits<float>::infinity();
  uint32_t greater = 0;
};

// The same of whole rows, where a count may be anything below 2^31.
using HiddenTotal = HiddenPart;

// What a part counts for in a row whose largest logit is `max`.
COVN_HD inline HiddenPart moved(const HiddenPart& part, float max, const TermParameters& p) {
  if (part.sum == 0.0) return {0.0, 0.0, max, part.greater};
  const double shift = static_cast<double>(part.max) - max;
  const double factor = exp2_double(shift * p.octaves);
  return {factor * part.sum, factor == 0.0 ? 0.0 : factor * fma_double(shift, part.sum, part.weighted), max,
          part.greater};
}

// Adds a later part of the same row.
COVN_HD inline void add_part(HiddenTotal& total, const HiddenPart& part, const TermParameters& p) {
  if (total.sum != total.sum) return;
  if (part.sum != part.sum) {
    total = part;
    return;
  }
  const float max = part.max > total.max ? part.max : total.max;
  const HiddenPart a = moved(total, max, p), b = moved(part, max, p);
  total = {a.sum + b.sum, a.weighted + b.weighted, max, a.greater + b.greater};
}

}  // namespace covn::cuda
