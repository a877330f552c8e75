// What is known of a row of logits, or of a part of one, and what becomes of it; plain double precision.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "cuda/device/double_math.hpp"
#include "cuda/device/host_device.hpp"

namespace covn::cuda {

// Of part of a row x at the rate c, octaves a logit:
//   sum      = sum_j 2^(c (x_j - max))        at least 1; 0 where there is nothing but -inf, NaN with a NaN or +inf
//   weighted = sum_j 2^(c (x_j - max)) c (x_j - max)
//   greater  = #{ j : x_j > x_target }
struct RowPart {
  double sum, weighted;
  float max;
  int32_t greater;
};

COVN_HD inline RowPart empty_part() { return {0.0, 0.0, -std::numeric_limits<float>::infinity(), 0}; }

// a and b in either order give the same bits.
COVN_HD inline RowPart merge_parts(const RowPart& a, const RowPart& b, double rate) {
  const int32_t greater = a.greater + b.greater;
  if (a.sum == 0.0 || b.sum == 0.0) {
    RowPart one = a.sum == 0.0 ? b : a;
    one.greater = greater;
    return one;
  }
  const float max = a.max > b.max ? a.max : b.max;
  const double shift_a = rate * (static_cast<double>(a.max) - max), shift_b = rate * (static_cast<double>(b.max) - max);
  const double scale_a = exp2_double(shift_a), scale_b = exp2_double(shift_b);
  const double weighted_a = scale_a * fma_double(shift_a, a.sum, a.weighted);
  const double weighted_b = scale_b * fma_double(shift_b, b.sum, b.weighted);
  return {scale_a * a.sum + scale_b * b.sum, weighted_a + weighted_b, max, greater};
}

// How a row's parts become its outputs. The rate that terms were formed with may be off by rounding to float: as if the
// temperature were, by a factor 1 + tilt. To first order that moves log(sum) by tilt times the mean of what is summed.
struct RowFinish {
  double inverse_temperature, rate, tilt;
};

// Outputs of a scored row; sum NaN, 0 or infinite: not a row of logits, and the numbers mean nothing.
struct RowScore {
  double token, log_z;
  float entropy;
  int32_t rank;  // 0: not a row of logits
};

COVN_HD inline RowScore finish_row(const RowPart& part, float target_logit, const RowFinish& finish) {
  // False for NaN too.
  if (!(part.sum > 0.0 && part.sum < std::numeric_limits<double>::infinity())) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, static_cast<float>(nan), 0};
  }
  constexpr double kLn2 = 0.6931471805599453;
  const double below = -kLn2 * (part.weighted / part.sum);  // the mean distance from the largest, nats
  double log_sum = fma_double(finish.tilt, below, log_double(part.sum));
  log_sum = log_sum > 0.0 ? log_sum : 0.0;
  // Rounded as a number near 1 is: what is left of a certain row's other terms must not show.
  const double entropy = ((log_sum + below) + 1.0) - 1.0;
  const double max = part.max;
  return {(static_cast<double>(target_logit) - max) * finish.inverse_temperature - log_sum,
          max * finish.inverse_temperature + log_sum, static_cast<float>(entropy > 0.0 ? entropy : 0.0),
          part.greater + 1};
}

}  // namespace covn::cuda
