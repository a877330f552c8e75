#include "learn/batch.hpp"

#include <algorithm>

namespace covn {

Status WalkedResponses::walk_all(const TabularMachine& machine, const ResponseView& responses, const Stop& stop) {
  states.reserve(responses.token_count);
  entries.reserve(responses.token_count);
  for (size_t r = 0; r < responses.count(); r++) {
    if (r % 256 == 0 && stop()) return {Code::cancelled, ""};
    Status status = walk(machine, responses, r, [&](uint64_t state, size_t entry) {
      states.push_back(static_cast<uint32_t>(state));
      entries.push_back(static_cast<uint32_t>(entry));
    });
    if (!status.ok()) return status;
  }
  return {};
}

void Batch::gather(const ResponseView& responses, const WalkedResponses& walked, const uint32_t* ids, size_t count) {
  for (const Slot& slot : slots_) slot_of_[slot.state] = kNoSlot;
  slots_.clear();
  entry_.clear();
  slot_.clear();
  ends_.clear();
  for (size_t k = 0; k < count; k++) {
    const auto begin = static_cast<size_t>(responses.offsets[ids[k]]),
               end = static_cast<size_t>(responses.offsets[ids[k] + 1]);
    entry_.insert(entry_.end(), walked.entries.data() + begin, walked.entries.data() + end);
    slot_.insert(slot_.end(), walked.states.data() + begin, walked.states.data() + end);
    ends_.push_back(static_cast<uint32_t>(entry_.size()));
  }
  next_.resize(entry_.size());
  log_prob_.resize(entry_.size());
  weight_.assign(entry_.size(), 1.0);
  for (uint32_t i = 0; i < entry_.size(); i++) {
    const uint32_t state = slot_[i];
    uint32_t& slot = slot_of_[state];
    next_[i] = i;
    if (slot == kNoSlot) {
      slot = static_cast<uint32_t>(slots_.size());
      slots_.push_back({state, i, i});
    } else {
      next_[slots_[slot].last_token] = i;
      slots_[slot].last_token = i;
    }
    slot_[i] = slot;
  }
}

void Batch::truncate(const std::vector<double>& epsilon, double budget) {
  size_t i = 0;
  for (uint32_t end : ends_) {
    double sum = 0.0;
    for (; i < end; i++) {
      const double each = epsilon[slot_[i]];
      weight_[i] = sum + each <= budget ? 1.0 : sum < budget ? (budget - sum) / each : 0.0;
      sum = std::min(budget, sum + each);
    }
  }
}

void Batch::pull_of(size_t slot, const StateRow& row, double* pull) {
  std::fill_n(pull, row.size(), 0.0);
  double total = 0.0;
  for (uint32_t i = slots_[slot].first_token;; i = next_[i]) {
    const size_t taken = entry_[i] - row.first();
    pull[taken] += weight_[i];
    total += weight_[i];
    log_prob_[i] = row.log_prob(taken);
    if (next_[i] == i) break;
  }
  for (size_t v = 0; v < row.size(); v++) pull[v] -= total * row.probabilities()[v];
}

void Batch::sum_log_probs(double* out) const {
  size_t i = 0;
  for (uint32_t end : ends_) {
    double sum = 0.0;
    for (; i < end; i++) sum += log_prob_[i];
    *out++ = sum;
  }
}

}  // namespace covn
