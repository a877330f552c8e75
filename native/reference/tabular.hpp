// A slow oracle for tabular models: a machine walked token by token, in long double. It shares no code with the model.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "covn/tabular.hpp"

namespace covn::reference {

struct Step {
  long double log_prob;  // -inf: cannot be said here
  int32_t next;          // -1: ended
};

// Every state as a row of its own, probabilities scaled to sum to 1.
class Machine {
 public:
  explicit Machine(const TabularRows& rows) : starts_(rows.starts) {
    const bool sparse = !rows.offsets.empty();
    const std::size_t states = sparse ? rows.offsets.size() - 1 : rows.log_probs.size() / rows.vocab;
    for (std::size_t s = 0; s < states; s++) {
      std::vector<Step> row(rows.vocab, {-std::numeric_limits<long double>::infinity(), -1});
      const auto first = sparse ? static_cast<std::size_t>(rows.offsets[s]) : s * rows.vocab;
      const auto end = sparse ? static_cast<std::size_t>(rows.offsets[s + 1]) : first + rows.vocab;
      long double sum = 0;
      for (std::size_t e = first; e < end; e++) sum += std::exp(static_cast<long double>(rows.log_probs[e]));
      for (std::size_t e = first; e < end; e++) {
        const std::size_t token = sparse ? static_cast<std::size_t>(rows.tokens[e]) : e - first;
        bool stops = false;
        for (int32_t stop : rows.stops) stops = stops || static_cast<std::size_t>(stop) == token;
        row[token] = {rows.log_probs[e] - std::log(sum), stops ? -1 : rows.next[e]};
      }
      states_.push_back(row);
    }
  }

  struct Walk {
    long double log_prob;
    bool ended;
    std::vector<int32_t> states;  // before each token
  };
  Walk walk(std::size_t prompt, const int32_t* tokens, std::size_t count) const {
    Walk walk{0, false, {}};
    int32_t state = starts_[prompt];
    for (std::size_t i = 0; i < count; i++) {
      walk.states.push_back(state);
      if (state < 0) return {-std::numeric_limits<long double>::infinity(), true, walk.states};
      const Step& step = states_[static_cast<std::size_t>(state)][static_cast<std::size_t>(tokens[i])];
      walk.log_prob += step.log_prob;
      state = step.next;
    }
    walk.ended = state < 0;
    return walk;
  }

  std::size_t states() const { return states_.size(); }
  std::vector<long double> probabilities(std::size_t state) const {
    std::vector<long double> p;
    for (const Step& step : states_[state]) p.push_back(std::exp(step.log_prob));
    return p;
  }

 private:
  std::vector<int32_t> starts_;
  std::vector<std::vector<Step>> states_;
};

}  // namespace covn::reference
