// A slow oracle for Best-of-N: all responses at hand, sorted and counted. It shares no code with the engine.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "covn/best_of_n.hpp"

namespace covn::reference {

// The value of the state that an automaton is left in.
inline double automaton_reward(const Automaton& a, std::size_t prompt, const int32_t* tokens, std::size_t count) {
  auto state = static_cast<std::size_t>(a.starts[prompt]);
  for (std::size_t i = 0; i < count; i++) {
    const auto token = static_cast<std::size_t>(tokens[i]);
    const std::size_t column = a.classes.empty() ? token : a.classes[token];
    const int32_t next = a.next[state * a.columns + column];
    if (next < 0) return a.rejected;
    state = static_cast<std::size_t>(next);
  }
  return a.values[state];
}

struct Reduced {
  std::vector<double> successes, best;  // [sizes]
  std::vector<std::size_t> kept;        // samples, best first
};

inline Reduced reduce(const std::vector<double>& rewards, double success, const std::vector<uint64_t>& sizes,
                      std::size_t keep) {
  Reduced out;
  for (uint64_t size : sizes) {
    const auto end = rewards.begin() + static_cast<std::ptrdiff_t>(size);
    out.successes.push_back(
        static_cast<double>(std::count_if(rewards.begin(), end, [&](double r) { return r >= success; })));
    out.best.push_back(*std::max_element(rewards.begin(), end));
  }
  out.kept.resize(rewards.size());
  std::iota(out.kept.begin(), out.kept.end(), std::size_t{0});
  std::stable_sort(out.kept.begin(), out.kept.end(),
                   [&](std::size_t a, std::size_t b) { return rewards[a] > rewards[b]; });
  out.kept.resize(std::min(keep, out.kept.size()));
  return out;
}

}  // namespace covn::reference
