// Which tokens of a row a SampleFilter keeps: those whose logit is no less than a bound.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "core/number_formats.hpp"
#include "covn/sample.hpp"

namespace covn {

// Keeps its memory between rows.
class LogitFilter {
 public:
  explicit LogitFilter(const SampleFilter& filter) : filter_(filter) {}

  // The least logit kept of a row of largest logit `max`; `total` = sum_j exp((x_j - max)/T). Finite.
  template <class T>
  float least_kept(const T* x, size_t vocab, float max, double total) {
    max_ = max;
    kept_ = 0;
    // Most rows have what is kept within a few nats of the largest: those logits are put in order, and no others.
    constexpr float kWidths[] = {8.0f, 24.0f, 96.0f, std::numeric_limits<float>::infinity()};
    for (float width : kWidths) {
      const double least = static_cast<double>(max) - static_cast<double>(width) * filter_.temperature;
      collect(x, vocab, least);
      const bool all = width == kWidths[3];
      if (filter_.min_p <= 0.0 && !all && filter_.top_k > logits_.size()) continue;
      float kept;
      if (within_collected(total, all, kept)) return kept;
    }
    return std::numeric_limits<float>::lowest();
  }

  // sum exp((x - max)/T) over what was kept of the last row, where that is few tokens: what is certain is then
  // exactly 1. Else 0.
  double few_kept() const {
    constexpr size_t kFew = 64;
    double mass = 0.0;
    for (size_t i = 0; i < kept_ && kept_ <= kFew; i++) mass += term(logits_[i]);
    return mass;
  }

 private:
  // exp((x - max)/T).
  double term(float x) const {
    return std::exp((static_cast<double>(x) - static_cast<double>(max_)) / filter_.temperature);
  }

  template <class T>
  void collect(const T* x, size_t vocab, double least) {
    const float bound = std::max(static_cast<float>(least), std::numeric_limits<float>::lowest());
    logits_.clear();
    for (size_t i = 0; i < vocab; i++) {
      if (const float logit = to_float(x[i]); logit >= bound) logits_.push_back(logit);
    }
    std::sort(logits_.begin(), logits_.end(), std::greater<>());
  }

  // The least logit kept, where the logits collected (all there are, or the largest) tell it.
  bool within_collected(double total, bool all, float& kept) {
    size_t count = logits_.size();
    bool known = all;  // that no more than the first `count` are kept
    if (filter_.min_p > 0.0) {
      const auto below = std::find_if(logits_.begin(), logits_.end(),
                                      [&](float x) { return !(term(x) >= filter_.min_p) && x < max_; });
      known = known || below != logits_.end();
      count = static_cast<size_t>(below - logits_.begin());
    }
    if (filter_.top_k > 0 && filter_.top_k < count) {
      const float last = logits_[filter_.top_k - 1];
      while (count > 0 && logits_[count - 1] < last) count--;
      known = true;
    } else if (filter_.top_k > 0 && filter_.top_k == count) {
      known = true;  // others are smaller than the bound of what was collected
    }
    if (filter_.top_p < 1.0) {
      // The mass that top-p is a share of.
      double mass = total;
      if (filter_.min_p > 0.0 || filter_.top_k > 0) {
        if (!known) return false;
        mass = 0.0;
        for (size_t i = 0; i < count; i++) mass += term(logits_[i]);
      }
      double above = 0.0;
      size_t i = 0;
      while (i < count && above < filter_.top_p * mass) {
        // Equal logits stay together.
        const float logit = logits_[i];
        for (; i < count && logits_[i] == logit; i++) above += term(logit);
      }
      known = known || above >= filter_.top_p * mass;
      count = i;
    }
    if (!known) return false;
    kept = count > 0 ? logits_[count - 1] : max_;
    kept_ = count;
    return true;
  }

  const SampleFilter filter_;
  float max_ = 0.0f;
  size_t kept_ = 0;  // where `logits_` tells it
  std::vector<float> logits_;
};

}  // namespace covn
