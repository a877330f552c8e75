// The tokens of a batch, gathered by the states in which they were taken: a state's distribution is computed once.
#pragma once

#include <cstdint>
#include <vector>

#include "learn/linear_machine.hpp"
#include "learn/walk.hpp"

namespace covn {

// Responses as what they take: state, entry, how often. Response r is items offsets[r] .. offsets[r + 1].
struct WalkedResponses {
  std::vector<uint32_t> states, entries, counts;
  std::vector<size_t> offsets;

  // In order, an item for each token; else one for each entry that a response takes: long responses often take few.
  Status walk_all(const TabularMachine& machine, const ResponseView& responses, bool in_order, const Stop& stop);
};

class Batch {
 public:
  explicit Batch(const LinearMachine& machine) : machine_(machine), slot_of_(machine.states(), kNoSlot) {}

  // Takes responses `ids`. Each token weighs 1.
  void gather(const WalkedResponses& walked, const uint32_t* ids, size_t count);
  // Weights alpha of Eq. 24-26, of items that are tokens in order: they count until the KLs `epsilon` [slots] of their
  // states come to `budget`.
  void truncate(const std::vector<double>& epsilon, double budget);

  size_t slots() const { return slots_.size(); }
  uint32_t state(size_t slot) const { return slots_[slot].state; }
  // pull = weights of the entries taken, less their sum times the probabilities loaded; notes the tokens' log-probs.
  void pull_of(size_t slot, const StateRow& row, double* pull);
  // Sums of token log-probs, [responses].
  void sum_log_probs(double* out) const;

 private:
  static constexpr uint32_t kNoSlot = ~uint32_t{0};
  struct Slot {
    uint32_t state, first, last;
  };

  const LinearMachine& machine_;
  std::vector<uint32_t> slot_of_;  // [states]
  std::vector<Slot> slots_;
  std::vector<uint32_t> entry_, count_, next_, slot_;  // [items]: next: the one after it in its slot, or itself
  std::vector<double> weight_, log_prob_;              // [items]
  std::vector<uint32_t> ends_;                         // [responses]
};

}  // namespace covn
