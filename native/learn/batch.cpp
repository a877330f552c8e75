#include "learn/batch.hpp"

#include <algorithm>

namespace covn {

namespace {

constexpr size_t kStopTokens = size_t{1} << 16;

}  // namespace

Status WalkedResponses::walk_all(const TabularMachine& machine, const ResponseView& responses, bool in_order,
                                 const Stop& stop) {
  std::vector<uint32_t> item_of(in_order ? 0 : machine.rows()->next.size());
  offsets.assign(1, 0);
  size_t since = kStopTokens;
  for (size_t r = 0; r < responses.count(); r++) {
    since += responses.length(r) + 1;
    if (since > kStopTokens) {
      if (stop()) return {Code::cancelled, ""};
      since = 0;
    }
    const size_t begin = entries.size();
    Status status = walk(machine, responses, r, [&](uint64_t state, size_t entry) {
      if (!in_order) {
        // Where the entry's last item is, if it is one of this response.
        const uint32_t item = item_of[entry];
        if (item >= begin && item < entries.size() && entries[item] == entry) {
          counts[item]++;
          return;
        }
        item_of[entry] = static_cast<uint32_t>(entries.size());
      }
      states.push_back(static_cast<uint32_t>(state));
      entries.push_back(static_cast<uint32_t>(entry));
      counts.push_back(1);
    });
    if (!status.ok()) return status;
    offsets.push_back(entries.size());
  }
  return {};
}

void Batch::gather(const WalkedResponses& walked, const uint32_t* ids, size_t count) {
  for (const Slot& slot : slots_) slot_of_[slot.state] = kNoSlot;
  slots_.clear();
  for (auto* list : {&entry_, &count_, &slot_, &ends_}) list->clear();
  for (size_t k = 0; k < count; k++) {
    const auto append = [&](std::vector<uint32_t>& to, const std::vector<uint32_t>& from) {
      to.insert(to.end(), from.data() + walked.offsets[ids[k]], from.data() + walked.offsets[ids[k] + 1]);
    };
    append(entry_, walked.entries);
    append(count_, walked.counts);
    append(slot_, walked.states);
    ends_.push_back(static_cast<uint32_t>(entry_.size()));
  }
  next_.resize(entry_.size());
  log_prob_.resize(entry_.size());
  weight_.assign(count_.begin(), count_.end());
  for (uint32_t i = 0; i < entry_.size(); i++) {
    const uint32_t state = slot_[i];
    uint32_t& slot = slot_of_[state];
    next_[i] = i;
    if (slot == kNoSlot) {
      slot = static_cast<uint32_t>(slots_.size());
      slots_.push_back({state, i, i});
    } else {
      next_[slots_[slot].last] = i;
      slots_[slot].last = i;
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
  for (uint32_t i = slots_[slot].first;; i = next_[i]) {
    const size_t taken = entry_[i] - row.first();
    pull[taken] += weight_[i];
    total += weight_[i];
    log_prob_[i] = count_[i] * row.log_prob(taken);
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
