// A slow oracle for sampling, in long double and in the plainest way. It shares no code with the kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "core/philox.hpp"

namespace covn::reference {

// The uniform that a sample is drawn by: the middle of one of 2^52 intervals.
inline double sample_uniform(uint64_t seed, uint32_t sequence, uint32_t position, uint32_t sample) {
  const PhiloxCounter words = philox4x32({sequence, position, sample, 2}, seed);
  const uint64_t bits = (static_cast<uint64_t>(words[0]) << 20) + (words[1] >> 12);
  return (static_cast<double>(bits) + 0.5) / 4503599627370496.0;
}

// What a filter leaves of a row.
struct Distribution {
  std::vector<char> kept;
  std::vector<long double> log_prob;    // -inf where not kept
  std::vector<long double> cumulative;  // [vocab]: up to and with each token
  // How far the closest decision of min-p or top-p is from the other one, relative: below some 1e-6, rounding decides.
  long double margin = 1;
};

namespace detail {

inline void closer(long double ratio, long double& margin) { margin = std::fmin(margin, std::fabs(ratio - 1)); }

inline void apply_min_p(const float* x, const std::vector<long double>& term, float max, double min_p,
                        Distribution& out) {
  for (std::size_t i = 0; i < term.size() && min_p > 0; i++) {
    if (x[i] == max) continue;
    closer(term[i] / min_p, out.margin);
    if (term[i] < min_p) out.kept[i] = 0;
  }
}

inline std::vector<float> kept_descending(const float* x, const Distribution& out) {
  std::vector<float> logits;
  for (std::size_t i = 0; i < out.kept.size(); i++) {
    if (out.kept[i]) logits.push_back(x[i]);
  }
  std::sort(logits.begin(), logits.end(), std::greater<>());
  return logits;
}

inline void apply_top_k(const float* x, std::size_t top_k, Distribution& out) {
  const std::vector<float> logits = kept_descending(x, out);
  if (top_k == 0 || top_k > logits.size()) return;
  for (std::size_t i = 0; i < out.kept.size(); i++) out.kept[i] = out.kept[i] && x[i] >= logits[top_k - 1];
}

// Looks at each logit that occurs: what lies above it?
inline void apply_top_p(const float* x, const std::vector<long double>& term, double top_p, Distribution& out) {
  if (top_p >= 1) return;
  std::vector<std::size_t> order;
  long double mass = 0;
  for (std::size_t i = 0; i < term.size(); i++) {
    if (!out.kept[i]) continue;
    order.push_back(i);
    mass += term[i];
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return x[a] > x[b]; });
  long double above = 0, before = 0;
  for (std::size_t k = 0; k < order.size(); k++) {
    if (k > 0 && x[order[k]] != x[order[k - 1]]) {
      above = before;
      closer(above / mass / top_p, out.margin);
    }
    if (above >= top_p * mass) out.kept[order[k]] = 0;
    before += term[order[k]];
  }
}

}  // namespace detail

// x [n]: logits as their storage format gives them.
inline Distribution sampled_distribution(const float* x, std::size_t n, double temperature, std::size_t top_k,
                                         double top_p, double min_p) {
  const float max = *std::max_element(x, x + n);
  std::vector<long double> term(n);
  Distribution out{std::vector<char>(n, 1), std::vector<long double>(n), std::vector<long double>(n)};
  for (std::size_t i = 0; i < n; i++) {
    term[i] = std::exp((static_cast<long double>(x[i]) - max) / temperature);
    if (std::isinf(x[i])) out.kept[i] = 0;
  }
  detail::apply_min_p(x, term, max, min_p, out);
  detail::apply_top_k(x, top_k, out);
  detail::apply_top_p(x, term, top_p, out);
  long double mass = 0;
  for (std::size_t i = 0; i < n; i++) out.cumulative[i] = mass += out.kept[i] ? term[i] : 0;
  for (std::size_t i = 0; i < n; i++) {
    out.cumulative[i] /= mass;
    out.log_prob[i] = out.kept[i] ? (static_cast<long double>(x[i]) - max) / temperature - std::log(mass)
                                  : -std::numeric_limits<long double>::infinity();
  }
  return out;
}

// Whether the distribution function's inverse at `uniform` is `token`, but for `tolerance` times a boundary.
inline bool inverts(const Distribution& d, std::size_t token, long double uniform, long double tolerance) {
  const long double from = token > 0 ? d.cumulative[token - 1] : 0, to = d.cumulative[token];
  return d.kept[token] && uniform >= from * (1 - tolerance) && uniform <= to * (1 + tolerance);
}

}  // namespace covn::reference
