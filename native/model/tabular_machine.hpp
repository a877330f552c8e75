// A tabular model's tables, for the jobs that use them.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "covn/tabular.hpp"
#include "kernels/rollout_lanes.hpp"

namespace covn {

// Whether whoever waits for something wants it no longer.
using Stop = std::function<bool()>;

// What is made once, by the first thread that needs it, from any thread; gives up waiting when `stop` says so.
class MadeOnce {
 public:
  Status make(const Stop& stop, const std::function<Status()>& how);

 private:
  std::timed_mutex mutex_;
  std::atomic<bool> finished_{false};
  Status made_;
};

class TabularMachine : public TabularModel {
 public:
  // Rows that check_rows() has passed, with those of `next` -1 after stops.
  explicit TabularMachine(std::shared_ptr<const TabularRows> rows);

  size_t vocab() const override { return rows_->vocab; }
  size_t prompts() const override { return rows_->starts.size(); }
  size_t states() const override { return states_; }
  size_t bytes() const override;
  bool sparse() const { return !rows_->offsets.empty(); }
  uint64_t start(size_t prompt) const { return static_cast<uint64_t>(rows_->starts[prompt]); }
  const std::shared_ptr<const TabularRows>& rows() const { return rows_; }

  // The entries of a state, one for each token that it has; states() is the end, which has none.
  size_t first_entry(size_t state) const {
    return sparse() ? static_cast<size_t>(rows_->offsets[state]) : state * rows_->vocab;
  }
  size_t entries_of(size_t state) const {
    return sparse() ? static_cast<size_t>(rows_->offsets[state + 1] - rows_->offsets[state]) : rows_->vocab;
  }
  static constexpr size_t kNoEntry = ~size_t{0};
  size_t find_entry(uint64_t state, int32_t token) const;
  // The state after an entry's token.
  uint64_t next_of(size_t entry) const {
    return rows_->next[entry] < 0 ? states_ : static_cast<uint64_t>(rows_->next[entry]);
  }

  // Makes the log-probs, once; the next two may be called after it was ok.
  Status prepare_log_probs(const Stop& stop) const;
  // [entries], nats
  const std::vector<double>& log_probs() const { return log_probs_; }
  // -inf where the state does not have the token. The end has none.
  double log_prob(uint64_t state, int32_t token) const;
  // The state after a token that the state has.
  uint64_t next(uint64_t state, int32_t token) const;

  // Makes the tables too, once.
  Status prepare(const Stop& stop) const;
  const RolloutTables& tables() const { return tables_; }

 protected:
  // Log-probs of all entries, nats; scaled afterwards so that they sum to 1.
  virtual Status fill_log_probs(const Stop& stop, std::vector<double>& log_probs) const;

 private:
  Status scale_log_probs(const Stop& stop) const;
  Status build(const Stop& stop) const;
  void build_columns(size_t first, size_t width) const;

  const std::shared_ptr<const TabularRows> rows_;
  const size_t states_;
  mutable MadeOnce scaled_, built_;
  mutable std::vector<double> log_probs_;  // scaled
  mutable std::vector<uint64_t> columns_, thresholds_, outcomes_, row_words_;
  mutable std::vector<uint32_t> tokens_;
  mutable RolloutTables tables_{};
};

// Shapes and ranges of all but log-probs, of which there may be none. After it was ok `next` is -1 after stops.
Status check_rows(TabularRows& rows);

inline const TabularMachine& machine_of(const TabularModel& model) { return static_cast<const TabularMachine&>(model); }

}  // namespace covn
