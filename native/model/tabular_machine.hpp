// A tabular model's tables, for the jobs that use them.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "covn/tabular.hpp"
#include "kernels/rollout_lanes.hpp"

namespace covn {

// Whether whoever waits for something wants it no longer.
using Stop = std::function<bool()>;

class TabularMachine final : public TabularModel {
 public:
  explicit TabularMachine(TabularRows rows);

  size_t vocab() const override { return rows_.vocab; }
  size_t prompts() const override { return rows_.starts.size(); }
  size_t states() const override { return states_; }
  size_t bytes() const override;
  bool sparse() const { return !rows_.offsets.empty(); }
  uint64_t start(size_t prompt) const { return static_cast<uint64_t>(rows_.starts[prompt]); }

  // Makes the tables, once; what follows may be called after it was ok. From any thread; gives up when `stop` says so.
  Status prepare(const Stop& stop) const;
  const RolloutTables& tables() const { return tables_; }
  // nats; -inf where the state does not have the token. The end has none.
  double log_prob(uint64_t state, int32_t token) const;
  // The state after a token that the state has.
  uint64_t next(uint64_t state, int32_t token) const;

 private:
  size_t first_entry(size_t state) const;
  size_t entries_of(size_t state) const;
  static constexpr size_t kNoEntry = ~size_t{0};
  size_t find_entry(uint64_t state, int32_t token) const;
  Status build(const Stop& stop) const;
  void build_columns(size_t first, size_t width) const;

  TabularRows rows_;
  size_t states_;
  mutable std::timed_mutex mutex_;
  mutable std::atomic<bool> finished_{false};
  mutable Status built_;
  mutable std::vector<double> log_probs_;  // scaled
  mutable std::vector<uint64_t> columns_, thresholds_, outcomes_, row_words_;
  mutable std::vector<uint32_t> tokens_;
  mutable RolloutTables tables_{};
};

inline const TabularMachine& machine_of(const TabularModel& model) { return static_cast<const TabularMachine&>(model); }

}  // namespace covn
