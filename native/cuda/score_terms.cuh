// Terms exp(x/T) of a row's logits, 16 bytes (a pack) at a time, and the sums that a lane keeps of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/number_formats.hpp"
#include "cuda/device/row_score.hpp"
#include "cuda/ptx_scalar.cuh"
#include "cuda/runtime.hpp"

namespace covn::cuda {

// How terms are formed. f32: kernels/row_parameters.hpp has the constants and what they are for.
struct TermConstants {
  RowFinish finish;
  float rate;                    // octaves a logit, log2(e)/T
  float step, floor;             // f32, logits: an octave, T ln(2); terms below the floor count as it
  float c1, c2, c3, c4, c5, c6;  // f32
  float margin;                  // logits that the largest may lie above the place: two octaves
};

constexpr int kPacks = 4;  // a lane's share of a tile
template <class T>
constexpr int kPackLogits = static_cast<int>(16 / sizeof(T));

// Two floats whose exact sum counts.
struct FloatPair {
  float high = 0.0f, low = 0.0f;
  // Knuth's two-sum: exact but for the addition to `low`.
  __device__ __forceinline__ void add(float x) {
    const float sum = high + x, part = sum - high;
    low += (high - (sum - part)) + (x - part);
    high = sum;
  }
  __device__ __forceinline__ double value() const { return static_cast<double>(high) + low; }
  __device__ __forceinline__ void set(double x) {
    high = static_cast<float>(x);
    low = static_cast<float>(x - high);
  }
};

// A logit near the largest so far, at which terms are formed: a term is 2^(rate * distance), where the distance y of a
// logit from the place is in logits (f32) or octaves (16-bit). What there is to know of y lies in these two.
template <class T>
class Place;

// f32: y = x - logit, and 2^k P(y - k step) by multiplications and additions alone, of the same bits on every
// processor.
template <>
class Place<float> {
 public:
  __device__ __forceinline__ void set(float logit, const TermConstants&) { logit_ = fmaxf(logit, -3.402823466e38f); }
  __device__ __forceinline__ float logit() const { return logit_; }
  // What is to be added to distances from this place so that they are from a logit, in double.
  __device__ __forceinline__ double shift_to(float to, const TermConstants&) const {
    return static_cast<double>(logit_) - to;
  }
  __device__ __forceinline__ double shift_to(const Place& to, const TermConstants&) const {
    return static_cast<double>(logit_) - to.logit_;
  }
  static __device__ __forceinline__ double octaves(double y, const TermConstants& p) { return y * p.finish.rate; }

  template <bool kClamped>
  __device__ __forceinline__ float term(float x, float& y, const TermConstants& p) const {
    constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23: adding it to a small number rounds that
    y = ptx::max_nan(x - logit_, p.floor);
    const float shifted = __fmaf_rn(y, p.rate, kMagic), k = shifted - kMagic;
    const float r = __fmaf_rn(k, -p.step, y);
    float e = __fmaf_rn(p.c6, r, p.c5);
    e = __fmaf_rn(e, r, p.c4);
    e = __fmaf_rn(e, r, p.c3);
    e = __fmaf_rn(e, r, p.c2);
    e = __fmaf_rn(e, r, p.c1);
    e = __fmaf_rn(e, r, 1.0f);
    // k, in the low bits of `shifted`, is added to the exponent. Of a NaN this makes anything, but y is one then, and
    // what it is multiplied with too.
    return __uint_as_float(__float_as_uint(e) + (__float_as_uint(shifted) << 23));
  }

 private:
  float logit_;
};

// 16-bit: y = rate x - offset in one fused operation, and 2^y by the special function unit. Without a clamp -inf gives
// a term of 0 whose product with y is NaN. Where rate x is huge there is no offset, and always a clamp.
template <class T>
class Place {
 public:
  __device__ __forceinline__ void set(float logit, const TermConstants& p) {
    logit_ = fmaxf(logit, -3.402823466e38f);
    offset_ = p.rate * logit_;
    // A larger one would be off by octaves itself.
    if (!(fabsf(offset_) < 0x1p22f)) offset_ = kNone;
  }
  __device__ __forceinline__ float logit() const { return logit_; }
  __device__ __forceinline__ bool has_offset() const { return offset_ != kNone; }
  __device__ __forceinline__ double shift_to(float to, const TermConstants& p) const {
    return p.finish.rate * (static_cast<double>(logit_) - to) - rounding(p);
  }
  __device__ __forceinline__ double shift_to(const Place& to, const TermConstants& p) const {
    return shift_to(to.logit_, p) + to.rounding(p);
  }
  static __device__ __forceinline__ double octaves(double y, const TermConstants&) { return y; }

  template <bool kClamped>
  __device__ __forceinline__ float term(float x, float& y, const TermConstants& p) const {
    if constexpr (kClamped) {
      y = ptx::max_nan(has_offset() ? __fmaf_rn(x, p.rate, -offset_) : (x - logit_) * p.rate, -126.0f);
    } else {
      y = __fmaf_rn(x, p.rate, -offset_);
    }
    return ptx::exp2_approximate(y);
  }

 private:
  static constexpr float kNone = 3.402823466e38f;
  // By how much the distance of the place's own logit is not 0.
  __device__ __forceinline__ double rounding(const TermConstants& p) const {
    return has_offset() ? fma_double(p.finish.rate, logit_, -static_cast<double>(offset_)) : 0.0;
  }
  float logit_, offset_;
};

// A tile's packs of one lane: with all of them 16 logits of f32, 32 of 16 bits.
template <class T, int kCount = kPacks>
struct Tile {
  uint4 packs[kCount];

  template <class F>
  __device__ __forceinline__ void each_word(F f) const {
#pragma unroll
    for (int p = 0; p < kCount; p++) {
      f(p, packs[p].x);
      f(p, packs[p].y);
      f(p, packs[p].z);
      f(p, packs[p].w);
    }
  }

  // NaN where there is one, or the largest of the others.
  __device__ __forceinline__ float largest() const {
    if constexpr (sizeof(T) == 4) {
      float largest = __uint_as_float(0xff800000u);
      each_word([&](int, uint32_t word) { largest = fmaxf(largest, __uint_as_float(word)); });
      return largest;
    } else {
      using Pair = ptx::Pair<T>;
      uint32_t largest = Pair::kNegativeInfinities;
      each_word([&](int, uint32_t word) { largest = Pair::max(largest, word); });
      return ptx::max_nan(Pair::low(largest), Pair::high(largest));
    }
  }

  // Sums of the terms and of their products with y. `whole`: every logit of the tile is the row's, none stands for what
  // is not there.
  __device__ __forceinline__ void sums(const Place<T>& place, bool whole, const TermConstants& constants, float& sum,
                                       float& weighted) const {
    if constexpr (sizeof(T) == 4) {
      formed_sums<true>(place, constants, sum, weighted);
    } else {
      bool clamped = !whole || !place.has_offset();
      if (!clamped) {
        formed_sums<false>(place, constants, sum, weighted);
        clamped = weighted != weighted;
      }
      // Finite distances give the same bits either way.
      if (clamped) formed_sums<true>(place, constants, sum, weighted);
    }
  }

 private:
  // Terms are added in pairs, and these in pairs again: a small one that met a large sum would vanish, and always
  // downwards.
  template <bool kClamped>
  __device__ __forceinline__ void formed_sums(const Place<T>& place, const TermConstants& constants, float& sum,
                                              float& weighted) const {
    float s[kPacks], w[kPacks] = {};
    const auto term = [&](int p, float x) {
      float y;
      const float e = place.template term<kClamped>(x, y, constants);
      w[p] = __fmaf_rn(e, y, w[p]);
      return e;
    };
    const auto word_sum = [&](int p, uint32_t word) {
      if constexpr (sizeof(T) == 4) {
        return term(p, __uint_as_float(word));
      } else {
        const float low = term(p, ptx::Pair<T>::low(word));
        return low + term(p, ptx::Pair<T>::high(word));
      }
    };
#pragma unroll
    for (int p = 0; p < kPacks; p++) {
      const float first = word_sum(p, packs[p].x);
      s[p] = first + word_sum(p, packs[p].y);
      const float third = word_sum(p, packs[p].z);
      s[p] += third + word_sum(p, packs[p].w);
    }
    sum = (s[0] + s[1]) + (s[2] + s[3]);
    weighted = (w[0] + w[1]) + (w[2] + w[3]);
  }
};

// How many logits are above the target's.
template <class T>
class Above : public ptx::CountAbove<T> {
 public:
  // `bits`: of the target's logit in its own format.
  __device__ __forceinline__ Above(float target, uint32_t bits) : ptx::CountAbove<T>(target, bits) {}
  __device__ __forceinline__ void add(const Tile<T>& tile) {
    tile.each_word([this](int, uint32_t word) { ptx::CountAbove<T>::add(word); });
  }
};
template <>
class Above<float> {
 public:
  __device__ __forceinline__ Above(float target, uint32_t) : target_(target) {}
  __device__ __forceinline__ void add(const Tile<float>& tile) {
    tile.each_word([this](int, uint32_t word) { count_ += __uint_as_float(word) > target_; });
  }
  __device__ __forceinline__ int count() const { return count_; }

 private:
  float target_;
  int count_ = 0;
};

// The sums of a lane's terms at a place.
template <class T>
struct LaneSums {
  FloatPair sum, weighted;

  __device__ __forceinline__ void add(const Tile<T>& tile, const Place<T>& place, bool whole,
                                      const TermConstants& constants) {
    float s, w;
    tile.sums(place, whole, constants, s, w);
    sum.add(s);
    weighted.add(w);
  }

  // Expresses them at another place.
  __device__ void move(const Place<T>& from, const Place<T>& to, const TermConstants& constants) {
    const double shift = from.shift_to(to, constants), scale = exp2_double(Place<T>::octaves(shift, constants));
    const double s = sum.value(), w = weighted.value();
    sum.set(scale * s);
    // A scale of 0 can meet an infinite shift; NaN stays.
    weighted.set(scale == 0.0 && w == w ? 0.0 : scale * fma_double(shift, s, w));
  }
};

// What is kept of a part of a row whose largest logit is `max`, from the sums over its terms at a place: the largest's
// term, as it was formed, is taken out and its exact value, 1, put in its place. So what is certain has log-prob 0
// exactly, and no log-prob is above 0.
template <class T>
__device__ __forceinline__ RowPart part_of(double sum, double weighted, float max, int32_t greater,
                                           const Place<T>& place, const TermConstants& constants) {
  if (weighted != weighted) return {weighted, 0.0, max, greater};
  if (max == __uint_as_float(0xff800000u)) return {0.0, 0.0, max, greater};
  float y;
  const float formed = place.template term<true>(max, y, constants);
  double rest = sum - formed;
  if (rest < 0.0) rest = 0.0;
  const double rest_weighted = weighted - static_cast<double>(formed * y);
  const double shift = place.shift_to(max, constants), scale = exp2_double(Place<T>::octaves(shift, constants));
  return {fma_double(scale, rest, 1.0), Place<T>::octaves(scale * fma_double(shift, rest, rest_weighted), constants),
          max, greater};
}

}  // namespace covn::cuda
