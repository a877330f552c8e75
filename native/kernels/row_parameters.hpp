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
  size_t run;  // terms of a chain of lanes that are added in float before their sum is widened to double
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
// The fewer terms meet in a lane, the smaller that bias; it falls with the number of lanes, and where a lane seldom
// holds one of the largest terms.
constexpr size_t run_length(size_t vocab, size_t lanes) { return vocab >= 256 && lanes >= 16 ? 8 : 4; }

inline RowParameters make_row_parameters(double temperature, int table_bits, size_t lanes, size_t vocab) {
  const double intervals = static_cast<double>(1 << table_bits);
  const double step = temperature * kLn2 / intervals;
  const float high = static_cast<float>(step);
  RowParameters p{temperature, temperature == 1.0,
                  table_bits,  static_cast<float>(intervals * kLog2E / temperature),
                  high,        static_cast<float>(step - high),
                  {},          run_length(vocab, lanes)};
  for (const ExpPolynomial& polynomial : kExpPolynomials) {
    if (polynomial.table_bits != table_bits) continue;
    double scale = 1.0;
    for (int j = 0; j < polynomial.degree; j++) p.c[j] = static_cast<float>(polynomial.c[j] * (scale /= temperature));
  }
  return p;
}

constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it to a small number rounds that
constexpr int kPlaceAbove = 90;        // octaves that a row's largest logit may lie above the place,
constexpr int kPlaceBelow = 24;        // or below it: rows with largest logits not too far apart share one
constexpr int kPlaceMargin = 40;       // where the row for which a place is chosen lies above it: rows begin lower
// Terms 2^-125 beside one of at least 2^-24 are lost in a sum in double, of whatever length; only where the rest is a
// tie between two doubles could they decide it.
constexpr int kFloor = 125;

// Where a row's terms lie: exp((x - origin)/T) is kept divided by 2^octave. A power of two changes no rounding, so any
// octave that keeps the terms within the float range gives the same results.
struct Place {
  float origin;    // subtracted from the logits; 0 unless they are huge
  int32_t octave;  // some octaves below the largest logit's

  bool operator==(const Place&) const = default;
};

// In units of logits.
inline float offset_of(int octaves, const RowParameters& p) {
  return static_cast<float>(octaves * (p.temperature * kLn2));
}

// Whether a row of this largest logit needs no origin: 2^b times its octave then fits the rounding by kMagic.
constexpr int kMaxOctave = 65000;
inline bool is_small(float max, const RowParameters& p) {
  return max >= offset_of(-kMaxOctave, p) && max <= offset_of(kMaxOctave, p);
}

// Rows whose largest logit lies in this range may be formed as kernels/unit_terms.inl.hpp says, at places strictly
// between these octaves; others never are there.
constexpr float kMinUnitMax = -55.0f, kMaxUnitMax = 70.0f;
constexpr int32_t kBelowUnitPlaces = -123, kAboveUnitPlaces = 104;
constexpr double kSquareScale = 1.9927590432964382;  // by how much such terms are too large

// The sum makes the conversion a floor.
inline int32_t octave_of(float max, const RowParameters& p) {
  return static_cast<int32_t>(static_cast<double>(max) * kLog2E / p.temperature + 65536.0) - 65536;
}

inline Place place_of(float max, const RowParameters& p) {
  if (!is_small(max, p)) return {max, 0};
  int32_t octave = octave_of(max, p) - kPlaceMargin;
  if (p.unit_temperature && max > kMaxUnitMax && octave < kAboveUnitPlaces) octave = kAboveUnitPlaces;
  if (p.unit_temperature && max < kMinUnitMax && octave > kBelowUnitPlaces) octave = kBelowUnitPlaces;
  return {0.0f, octave};
}

// What follows from a place, in units of logits less the origin.
inline float magic_of(Place place, const RowParameters& p) {
  return kMagic - static_cast<float>(place.octave * (1 << p.table_bits));
}
inline float floor_of(Place place, const RowParameters& p) { return offset_of(place.octave - kFloor, p); }

// Sums over logits x at a place:
//   sum      = sum_j exp((x_j - origin)/T) / 2^octave
//   unit     = the part of it formed as kernels/unit_terms.inl.hpp says
//   weighted = sum_j exp((x_j - origin)/T) / 2^octave * (x_j - origin)
struct RowSums {
  double sum = 0.0, unit = 0.0, weighted = 0.0;

  // Expresses them at another place.
  void move(Place from, Place to, const RowParameters& p) {
    if (sum == 0.0) return;
    const double shift = static_cast<double>(from.origin) - to.origin;
    // With one origin the factor is a power of two, and exact.
    const int octaves = from.octave - to.octave;
    const double factor = shift == 0.0 ? std::ldexp(1.0, octaves) : std::exp(shift / p.temperature + octaves * kLn2);
    // A factor of 0 can meet an infinite shift: the old terms are gone, and 0 * inf is not to be formed.
    weighted = factor == 0.0 ? 0.0 : factor * (weighted + shift * sum);
    unit *= factor;
    sum *= factor;
  }
  void add(const RowSums& other) {
    sum += other.sum;
    unit += other.unit;
    weighted += other.weighted;
  }
};

// Which largest logits a place of origin 0 fits, of rows that need no origin.
inline void fitting_maxima(Place place, const RowParameters& p, float& lowest, float& highest) {
  const int below = place.octave - kPlaceBelow, above = place.octave + kPlaceAbove;
  lowest = offset_of(below > -kMaxOctave ? below : -kMaxOctave, p);
  highest = offset_of(above < kMaxOctave ? above : kMaxOctave, p);
}

// Whether terms of a row whose largest logit so far is this can be formed at a place. A place with an origin is for its
// own row only, and whether a row has one follows from the row alone.
inline bool place_fits(Place place, float max, const RowParameters& p) {
  if (place.origin != 0.0f) return max == place.origin;
  float lowest, highest;
  fitting_maxima(place, p, lowest, highest);
  return max >= lowest && max <= highest;
}

// Everything known of a row of logits, or of part of one; greater = #{j : x_j > target}. A NaN or +inf logit makes the
// sum NaN; a row of nothing but -inf leaves it 0.
struct RowState {
  float max = -std::numeric_limits<float>::infinity();
  Place place{0.0f, 0};   // means nothing while the sums are empty
  bool unit_max = false;  // the term of `max` was formed so
  RowSums sums;
  int64_t greater = 0;

  bool empty() const { return sums.sum == 0.0; }

  // Expresses the sums at the place of a row with this largest logit, which is no less than `max`. A change of origin
  // rounds: it goes by way of places that follow from the row alone, so that its rounding does.
  void move(Place to, float largest, const RowParameters& p) {
    if (place == to) return;
    if (place.origin != to.origin && !empty()) {
      const Place before = place_of(max, p), after = place_of(largest, p);
      sums.move(place, before, p);
      sums.move(before, after, p);
      sums.move(after, to, p);
    } else {
      sums.move(place, to, p);
    }
    place = to;
  }

  // Adds a later part of the same row.
  void add(RowState part, const RowParameters& p) {
    greater += part.greater;
    if (part.empty()) return;
    const float largest = part.max > max ? part.max : max;
    const Place to = place_of(largest, p);
    move(to, largest, p);
    part.move(to, largest, p);
    sums.add(part.sums);
    if (part.max > max) unit_max = part.unit_max;
    max = largest;
  }
};

constexpr size_t kMaxLanes = 16;
constexpr size_t kBatchRows = 64;

// Rows read together, one value a row: what RowState holds, and what follows from the place. Arrays, so that short rows
// are written and finished as vectors; padded, since whole vectors are written.
struct RowBatch {
  static constexpr size_t kSize = kBatchRows + kMaxLanes;
  float target[kSize];  // the target's logit: the caller's, for finishing
  float max[kSize], origin[kSize], octave[kSize], magic[kSize], floor[kSize];
  float unit_max[kSize];  // 1 or 0
  double sum[kSize], unit[kSize], weighted[kSize];
  int64_t greater[kSize];
  // The caller's memory or null, of rows of more than kGroupVocab logits: of rows of more than one block, each block's
  // state, as if it were a row, `row_blocks` a row (none after one that holds NaN); and the sums of a block, at that
  // state's place, up to the end of each whole span, `row_spans` doubles a row.
  double* spans = nullptr;
  size_t row_spans = 0;
  RowState* blocks = nullptr;
  size_t row_blocks = 0;

  void set(size_t row, const RowState& s, const RowParameters& p) {
    set_place(row, s.place, p);
    set_sums(row, s.sums);
    max[row] = s.max;
    unit_max[row] = s.unit_max ? 1.0f : 0.0f;
    greater[row] = s.greater;
  }
  void set_place(size_t row, Place place, const RowParameters& p) {
    origin[row] = place.origin;
    octave[row] = static_cast<float>(place.octave);
    magic[row] = magic_of(place, p);
    floor[row] = floor_of(place, p);
  }
  void set_sums(size_t row, const RowSums& sums) {
    sum[row] = sums.sum;
    unit[row] = sums.unit;
    weighted[row] = sums.weighted;
  }
  RowState state(size_t row) const {
    RowState s;
    s.max = max[row];
    s.place = {origin[row], static_cast<int32_t>(octave[row])};
    s.unit_max = unit_max[row] != 0.0f;
    s.sums.sum = sum[row];
    s.sums.unit = unit[row];
    s.sums.weighted = weighted[row];
    s.greater = greater[row];
    return s;
  }
};

// Made here, outside the target regions, where a compiler would make its constructor for the wrong processor.
inline RowState empty_row() { return {}; }

// What the outputs of rows are computed from, nats: log sum_j exp((x_j - max)/T) >= 0, the target's log-prob, and the
// entropy.
struct RowResults {
  double log_sum[RowBatch::kSize], token[RowBatch::kSize], entropy[RowBatch::kSize];
  bool finite;  // every row; what is given for others means nothing
};

}  // namespace covn
