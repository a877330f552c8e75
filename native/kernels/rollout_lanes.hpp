// What the rollout kernel is given: a tabular model as tables of words, and the responses that it draws side by side.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/philox.hpp"

namespace covn {

// Counters of rollouts are {sequence, position / 4, sample, stream}, of which the word position % 4 draws the token,
// and {sequence, position, sample, stream + 1} where that word does not decide.
constexpr uint32_t kRolloutStream = 4;

// Surprisals -log p are kept in units of 2^-34 nats, so that their sums are exact, in any order; the last of 40 bits
// stands for 64 nats and more, which no draw of 64 bits meets.
constexpr int kSurprisalBits = 34;
constexpr uint64_t kMaxSurprisal = (uint64_t{1} << 40) - 1;
constexpr int kStateBits = 24;

// Rows of alias tables (Walker 1977; Vose 1991). Column c of a row of w entries stands for the draws in
// [c/w, (c+1)/w): entry c where the draw's place in the column lies below the threshold, else another one. Entries are
// counted within their row.
struct RolloutTables {
  const uint64_t* columns;     // [entries]: threshold in 2^-32 << 32 | the other entry
  const uint64_t* thresholds;  // [entries], in 2^-64
  const uint64_t* outcomes;    // [entries]: surprisal << kStateBits | next state
  const uint64_t* rows;        // [states]: entries << 32 | the first; null where each state has `width`
  const uint32_t* tokens;      // [entries]; null where entries are tokens
  uint64_t width;
  uint64_t end;  // the last state: where responses have ended
};

// What follows a response token by token: an automaton, or another model. States are given as state * columns.
struct FollowTables {
  const uint32_t* classes;  // [vocab]: a token's column; null where that is the token itself
  const uint32_t* next;     // [states, columns]
  const double* log_probs;  // [states, columns] and a 0 after them; null where there are none
  uint64_t zero;            // where that 0 is
};

constexpr size_t kRolloutLanes = 32;
struct RolloutLanes {
  uint64_t sequence[kRolloutLanes], sample[kRolloutLanes];
  uint64_t state[kRolloutLanes], surprisal[kRolloutLanes], length[kRolloutLanes];
  uint64_t follow[kRolloutLanes];
  double follow_log_prob[kRolloutLanes];
};

// The entry of a row of `width` that a draw chooses: its first 32 bits are `word`, the next 64 `more`; `first`: the
// row.
constexpr uint64_t chosen_entry(const RolloutTables& tables, uint64_t first, uint64_t width, uint32_t word,
                             uint64_t more) {
  // The draw times the width, 96 bits after the point.
  const uint64_t a = more >> 32, b = more & 0xffffffffu;
  const uint64_t low = b * width, middle = a * width + (low >> 32);
  const uint64_t high = word * width + (middle >> 32);
  const uint64_t column = high >> 32, place = high << 32 | (middle & 0xffffffffu);
  return place < tables.thresholds[first + column] ? column : tables.columns[first + column] & 0xffffffffu;
}

}  // namespace covn
