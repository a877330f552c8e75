// What the row kernels are given and give back, and the scalar arithmetic on both: plain double precision, shared by
// every target.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace covn {

constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;
constexpr int kMaxExpDegree = 6;

// How a term exp(d/T) is formed: with k = round(d * rate), rate = 2^b log2(e)/T, and r = d - k T ln(2)/2^b,
//   exp(d/T) = 2^floor(k/2^b) * 2^((k mod 2^b)/2^b) * P(r),  P(r) = 1 + c_1 r + c_2 r^2 + ... ~ exp(r/T).
// T ln(2)/2^b is kept as the sum of two floats: rounding it to one would bias every token by up to 6e-8 times the mean
// distance of the terms from the largest, which a sequence of a million tokens would show.
struct RowParameters {
  double temperature;
  bool unit_temperature;
  int table_bits;  // b
  float rate, step_high, step_low;
  float c[kMaxExpDegree];
  size_t run;  // vectors of a chain that are added in float before their sum is widened to double
};

// Relative minimax polynomials of e^r on |r| <= ln(2)/2^(b+1), each coefficient rounded to float in turn and the rest
// fitted again. Largest relative error 3.1e-9 (b = 0), 5.9e-8 (b = 3: the quadratic term is set so that the mean error
// over the interval is 0), 5.3e-8 (b = 5); mean at most 2e-10.
struct ExpPolynomial {
  int table_bits, degree;
  float c[kMaxExpDegree];
};
constexpr ExpPolynomial kExpPolynomials[] = {
    {0, 6, {1.0f, 0.49999994f, 0.166665211f, 0.0416682661f, 0.00836867373f, 0.00138206338f}},
    {3, 3, {1.0f, 0.500046939f, 0.166668802f}},
    {5, 2, {1.00001466f, 0.500000298f}},
};

// A float lane that holds a term near 1 loses those below 2^-25 that come after it, one by one and always downwards.
// The fewer terms meet in a lane, the smaller that bias; it falls with the vocabulary, in which a lane seldom holds one
// of the largest terms. Four chains are added as a tree first, so a lane sees 4 * run terms.
constexpr size_t run_length(size_t vocab) { return vocab >= 16384 ? 4 : vocab >= 256 ? 2 : 1; }

inline RowParameters make_row_parameters(double temperature, int table_bits, size_t vocab) {
  const double intervals = static_cast<double>(1 << table_bits);
  const double step = temperature * kLn2 / intervals;
  const float high = static_cast<float>(step);
  RowParameters p{temperature,
                  temperature == 1.0,
                  table_bits,
                  static_cast<float>(intervals * kLog2E / temperature),
                  high,
                  static_cast<float>(step - high),
                  {},
                  run_length(vocab)};
  for (const ExpPolynomial& polynomial : kExpPolynomials) {
    if (polynomial.table_bits != table_bits) continue;
    double scale = 1.0;
    for (int j = 0; j < polynomial.degree; j++) p.c[j] = static_cast<float>(polynomial.c[j] * (scale /= temperature));
  }
  return p;
}

constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it to a small number rounds that
constexpr int kWindowAbove = 60;       // octaves that a row's largest logit may lie above or below the window's
constexpr int kWindowBelow = 125;      // 2^-125 beside a term of at least 1 changes no sum

// Where a row's terms lie: exp((x - origin)/T) is kept divided by 2^octave. A power of two changes no rounding, so any
// octave that keeps the terms within the float range gives the same results.
struct Place {
  float origin;    // subtracted from the logits; 0 unless they are huge
  int32_t octave;  // near the largest logit's
};

constexpr Place kNoPlace{0.0f, std::numeric_limits<int32_t>::min()};

inline Place place_of(float max, const RowParameters& p) {
  const double octaves = static_cast<double>(max) * kLog2E / p.temperature;
  // Up to here 2^b times the octave fits the rounding by kMagic. The sum makes the conversion a floor.
  if (octaves > -65000.0 && octaves < 65000.0) return {0.0f, static_cast<int32_t>(octaves + 65536.0) - 65536};
  return {max, 0};
}

// What follows from a place, in units of logits less the origin.
inline float magic_of(Place place, const RowParameters& p) {
  return kMagic - static_cast<float>(place.octave * (1 << p.table_bits));
}
inline float offset_of(int octaves, const RowParameters& p) {
  return static_cast<float>(octaves * (p.temperature * kLn2));
}
inline float floor_of(Place place, const RowParameters& p) { return offset_of(place.octave - kWindowBelow, p); }
// The logit, less the origin, of a term of 2^octave; `weighted` is relative to it.
inline float centre_of(Place place, const RowParameters& p) { return offset_of(place.octave, p); }
inline double base_of(Place place, const RowParameters& p) {
  return static_cast<double>(place.origin) + centre_of(place, p);
}

// Everything known of a row of logits x, or of part of one:
//   sum      = sum_j exp((x_j - origin)/T) / 2^octave
//   weighted = sum_j exp((x_j - origin)/T) / 2^octave * (x_j - origin - centre)
//   greater  = #{j : x_j > target}
// A NaN or +inf logit makes `sum` NaN; a row of nothing but -inf leaves it 0.
struct RowState {
  float max = -std::numeric_limits<float>::infinity();
  Place place = kNoPlace;
  bool packed_max = false;  // the term of `max` was formed by the packed kernel
  double sum = 0.0;
  double weighted = 0.0;
  int64_t greater = 0;

  bool empty() const { return sum == 0.0; }

  // Expresses the sums at another place.
  void move_to(Place to, const RowParameters& p) {
    if (!empty()) {
      const double origins = (static_cast<double>(place.origin) - to.origin) / p.temperature;
      // With one origin the factor is a power of two, and exact.
      double factor = std::ldexp(1.0, place.octave - to.octave);
      if (origins != 0.0) factor *= std::exp(origins);
      // A factor of 0 can meet an infinite shift: the old terms are gone, and 0 * inf is not to be formed.
      weighted = factor == 0.0 ? 0.0 : factor * (weighted + (base_of(place, p) - base_of(to, p)) * sum);
      sum *= factor;
    }
    place = to;
  }

  // Adds another part of the same row.
  void add(RowState part, const RowParameters& p) {
    greater += part.greater;
    if (part.max > max) {
      max = part.max;
      packed_max = part.packed_max;
    }
    if (part.empty()) return;
    if (empty() || base_of(part.place, p) > base_of(place, p)) move_to(part.place, p);
    part.move_to(place, p);
    sum += part.sum;
    weighted += part.weighted;
  }
};

// Whether terms whose largest logit is this can be formed at a place. One with an origin is for its own row only.
inline bool place_fits(Place place, float max, bool first, const RowParameters& p) {
  if (max - place.origin > offset_of(place.octave + kWindowAbove, p)) return false;
  if (!first) return true;
  return place.origin == 0.0f ? max >= offset_of(place.octave - kWindowAbove, p) : max == place.origin;
}

// Made here, outside the target regions, where a compiler would make its constructor for the wrong processor.
inline RowState empty_row() { return {}; }

// What the outputs of a row are computed from, nats: log sum_j exp((x_j - max)/T) >= 0, and the entropy.
struct RowResult {
  double log_sum, entropy;
};

}  // namespace covn
