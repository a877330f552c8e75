// Responses as the entries of a machine that their tokens are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "covn/learn.hpp"
#include "model/tabular_machine.hpp"

namespace covn {

// What is checked before a job: offsets and prompts.
Status check_response_view(const ResponseView& responses, const TabularModel& model);

// Why response r leaves the machine at token i, in a state.
inline Status leaves_machine(const TabularMachine& machine, const ResponseView& responses, size_t r, size_t i,
                             uint64_t state) {
  const int32_t token = responses.tokens[i];
  std::string what = "a token that the machine has in state " + std::to_string(state);
  if (state == machine.states()) what = "no token after the end of the response";
  if (token < 0 || static_cast<size_t>(token) >= machine.vocab()) {
    what = "an integer in [0, " + std::to_string(machine.vocab() - 1) + "]";
  }
  return expected(Code::range, what, "tokens[" + std::to_string(i) + "] (response " + std::to_string(r) + ")",
                  std::to_string(token));
}

// Calls visit(state, entry) for each token of response r.
template <class Visit>
Status walk(const TabularMachine& machine, const ResponseView& responses, size_t r, Visit visit) {
  uint64_t state = machine.start(static_cast<size_t>(responses.prompts[r]));
  for (auto i = static_cast<size_t>(responses.offsets[r]); i < static_cast<size_t>(responses.offsets[r + 1]); i++) {
    const int32_t token = responses.tokens[i];
    const bool known = token >= 0 && static_cast<size_t>(token) < machine.vocab();
    const size_t entry = known ? machine.find_entry(state, token) : TabularMachine::kNoEntry;
    if (entry == TabularMachine::kNoEntry) return leaves_machine(machine, responses, r, i, state);
    visit(state, entry);
    state = machine.next_of(entry);
  }
  return {};
}

// How often responses take each entry.
class EntryCounts {
 public:
  explicit EntryCounts(const TabularMachine& machine)
      : machine_(machine), counts_(machine.rows()->next.size()), totals_(machine.states()) {}

  Status add(const ResponseView& responses, const Stop& stop);
  // States that were visited, in the order of their first visit.
  const std::vector<uint32_t>& states() const { return states_; }
  double total(size_t state) const { return totals_[state]; }
  const double* of(size_t state) const { return counts_.data() + machine_.first_entry(state); }

 private:
  const TabularMachine& machine_;
  std::vector<double> counts_, totals_;
  std::vector<uint32_t> states_;
};

}  // namespace covn
