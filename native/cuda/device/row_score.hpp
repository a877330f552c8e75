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

// Whether a row is one of logits: false for NaN too.
COVN_HD inline bool is_row(const RowPart& part) {
  return part.sum > 0.0 && part.sum < std::numeric_limits<double>::infinity();
}
// The mean distance from the largest, nats.
COVN_HD inline double mean_below(const RowPart& part) {
  constexpr double kLn2 = 0.6931471805599453;
  return -kLn2 * (part.weighted / part.sum);
}
// log sum_j exp((x_j - max)/T)
COVN_HD inline double row_log_sum(const RowPart& part, double below, const RowFinish& finish) {
  const double log_sum = fma_double(finish.tilt, below, log_double(part.sum));
  // What is less is the rounding of the rate, and below a float's range on some threads.
  return log_sum > 0x1p-100 ? log_sum : 0.0;
}
COVN_HD inline double logit_log_prob(float logit, float max, double log_sum, double inverse_temperature) {
  return (static_cast<double>(logit) - static_cast<double>(max)) * inverse_temperature - log_sum;
}

COVN_HD inline RowScore finish_row(const RowPart& part, float target_logit, const RowFinish& finish) {
  if (!is_row(part)) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    return {nan, nan, static_cast<float>(nan), 0};
  }
  const double below = mean_below(part), log_sum = row_log_sum(part, below, finish);
  // Rounded as a number near 1 is: what is left of a certain row's other terms must not show.
  const double entropy = ((log_sum + below) + 1.0) - 1.0;
  return {logit_log_prob(target_logit, part.max, log_sum, finish.inverse_temperature),
          static_cast<double>(part.max) * finish.inverse_temperature + log_sum,
          static_cast<float>(entropy > 0.0 ? entropy : 0.0), part.greater + 1};
}

}  // namespace covn::cuda
