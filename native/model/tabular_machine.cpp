#include "model/tabular_machine.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

namespace covn {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Status check_log_probs(const std::vector<double>& log_probs) {
  for (size_t e = 0; e < log_probs.size(); e++) {
    if (!(log_probs[e] <= 1e-6)) {
      const Code code = log_probs[e] != log_probs[e] ? Code::non_finite : Code::range;
      return expected(code, "a log-prob (at most 0)", "logProbs[" + std::to_string(e) + "]",
                      std::to_string(log_probs[e]));
    }
  }
  return {};
}

Status check_next(const TabularRows& rows, size_t states) {
  for (size_t e = 0; e < rows.next.size(); e++) {
    if (rows.next[e] < -1 || rows.next[e] >= static_cast<int64_t>(states)) {
      return expected(Code::range, "a state or -1", "next[" + std::to_string(e) + "]", std::to_string(rows.next[e]));
    }
  }
  return {};
}

Status check_sparse(const TabularRows& rows) {
  const auto entries = static_cast<int64_t>(rows.next.size());
  if (rows.tokens.size() != rows.next.size()) {
    return expected(Code::shape, std::to_string(entries) + " elements", "tokens", std::to_string(rows.tokens.size()));
  }
  if (rows.offsets.front() != 0 || rows.offsets.back() != entries) {
    return expected(Code::shape, "offsets from 0 to the number of entries", "offsets", "others");
  }
  for (size_t s = 0; s + 1 < rows.offsets.size(); s++) {
    if (rows.offsets[s + 1] <= rows.offsets[s] || rows.offsets[s + 1] > entries) {
      return expected(Code::range, "an offset above the one before it", "offsets[" + std::to_string(s + 1) + "]",
                      std::to_string(rows.offsets[s + 1]));
    }
    for (auto e = static_cast<size_t>(rows.offsets[s]); e < static_cast<size_t>(rows.offsets[s + 1]); e++) {
      const int64_t least = e == static_cast<size_t>(rows.offsets[s]) ? 0 : int64_t{rows.tokens[e - 1]} + 1;
      if (rows.tokens[e] < least || static_cast<size_t>(rows.tokens[e]) >= rows.vocab) {
        return expected(Code::range, "tokens of a state ascending, below the vocabulary's size",
                        "tokens[" + std::to_string(e) + "]", std::to_string(rows.tokens[e]));
      }
    }
  }
  return {};
}

size_t count_states(const TabularRows& rows) {
  return rows.offsets.empty() ? rows.next.size() / rows.vocab : rows.offsets.size() - 1;
}

void end_at_stops(TabularRows& rows) {
  if (rows.stops.empty()) return;
  std::vector<uint8_t> stops(rows.vocab);
  for (int32_t stop : rows.stops) stops[static_cast<size_t>(stop)] = 1;
  for (size_t e = 0; e < rows.next.size(); e++) {
    const size_t token = rows.offsets.empty() ? e % rows.vocab : static_cast<size_t>(rows.tokens[e]);
    if (stops[token] != 0) rows.next[e] = -1;
  }
}

// Of a share of a column, in 2^-64.
uint64_t threshold_of(double share) {
  return share >= 1.0 ? ~uint64_t{0} : static_cast<uint64_t>(std::ldexp(share, 64));
}
uint64_t column_of(uint64_t threshold, size_t other) { return (threshold >> 32) << 32 | other; }

uint64_t surprisal_of(double log_prob) {
  const double units = std::ldexp(-log_prob, kSurprisalBits);
  if (!(units < static_cast<double>(kMaxSurprisal))) return kMaxSurprisal;
  return units > 0.0 ? static_cast<uint64_t>(std::llround(units)) : 0;
}

}  // namespace

Status check_rows(TabularRows& rows) {
  if (rows.vocab < 1 || rows.vocab > 0x7fffffff) {
    return expected(Code::range, "an integer in [1, 2^31 - 1]", "vocab", std::to_string(rows.vocab));
  }
  if (rows.next.empty()) return expected(Code::shape, "at least one element", "next", "0");
  // With those of the state where responses have ended, which may be as many as tokens.
  if (rows.next.size() > 0xf0000000u || rows.next.size() + rows.vocab > uint64_t{1} << 32) {
    return expected(Code::range, "fewer than 2^32 entries", "next", std::to_string(rows.next.size()));
  }
  if (!rows.offsets.empty()) {
    if (Status status = check_sparse(rows); !status.ok()) return status;
  } else if (rows.next.size() % rows.vocab != 0) {
    return expected(Code::shape, "states * vocab elements", "next", std::to_string(rows.next.size()));
  }
  const size_t states = count_states(rows);
  if (states < 1 || states > kMaxTabularStates) {
    return expected(Code::range, "1 to 2^24 - 1 states", "next", std::to_string(states));
  }
  for (size_t p = 0; p < rows.starts.size(); p++) {
    if (rows.starts[p] < 0 || static_cast<size_t>(rows.starts[p]) >= states) {
      return expected(Code::range, "a state", "start[" + std::to_string(p) + "]", std::to_string(rows.starts[p]));
    }
  }
  for (int32_t stop : rows.stops) {
    if (stop < 0 || static_cast<size_t>(stop) >= rows.vocab) {
      return expected(Code::range, "a token", "stop", std::to_string(stop));
    }
  }
  if (Status status = check_next(rows, states); !status.ok()) return status;
  end_at_stops(rows);
  return {};
}

Status MadeOnce::make(const Stop& stop, const std::function<Status()>& how) {
  const Status cancelled{Code::cancelled, "The job was cancelled"};
  if (!finished_.load(std::memory_order_acquire)) {
    std::unique_lock lock(mutex_, std::defer_lock);
    while (!lock.try_lock_for(std::chrono::milliseconds(5))) {
      if (stop()) return cancelled;
    }
    if (!finished_.load(std::memory_order_relaxed)) {
      made_ = how();
      if (made_.code == Code::cancelled) return cancelled;  // others may still want it
      finished_.store(true, std::memory_order_release);
    }
  }
  return made_;
}

TabularMachine::TabularMachine(std::shared_ptr<const TabularRows> rows)
    : rows_(std::move(rows)), states_(count_states(*rows_)) {}

size_t TabularMachine::find_entry(uint64_t state, int32_t token) const {
  if (state >= states_) return kNoEntry;
  const size_t first = first_entry(state);
  if (!sparse()) return first + static_cast<size_t>(token);
  const auto begin = rows_->tokens.begin() + static_cast<ptrdiff_t>(first);
  const auto end = begin + static_cast<ptrdiff_t>(entries_of(state));
  const auto found = std::lower_bound(begin, end, token);
  return found != end && *found == token ? static_cast<size_t>(found - rows_->tokens.begin()) : kNoEntry;
}

size_t TabularMachine::bytes() const {
  const size_t entries = rows_->next.size();
  const size_t given = entries * (sizeof(double) + sizeof(int32_t)) + rows_->starts.size() * sizeof(int32_t);
  const size_t made = entries * (sizeof(double) + 3 * sizeof(uint64_t));
  const size_t of_sparse = rows_->tokens.size() * 2 * sizeof(int32_t) + rows_->offsets.size() * 2 * sizeof(int64_t);
  return given + made + of_sparse;
}

double TabularMachine::log_prob(uint64_t state, int32_t token) const {
  const size_t entry = find_entry(state, token);
  return entry == kNoEntry ? -kInfinity : log_probs_[entry];
}

uint64_t TabularMachine::next(uint64_t state, int32_t token) const {
  const size_t entry = find_entry(state, token);
  return entry == kNoEntry ? states_ : next_of(entry);
}

Status TabularMachine::prepare_log_probs(const Stop& stop) const {
  return scaled_.make(stop, [&] { return scale_log_probs(stop); });
}

Status TabularMachine::prepare(const Stop& stop) const {
  return built_.make(stop, [&] {
    Status status = prepare_log_probs(stop);
    return status.ok() ? build(stop) : status;
  });
}

Status TabularMachine::fill_log_probs(const Stop&, std::vector<double>& log_probs) const {
  log_probs = rows_->log_probs;
  return {};
}

Status TabularMachine::scale_log_probs(const Stop& stop) const {
  if (Status status = fill_log_probs(stop, log_probs_); !status.ok()) return status;
  for (size_t s = 0; s < states_; s++) {
    if (stop()) return {Code::cancelled, ""};
    const size_t first = first_entry(s), end = first + entries_of(s);
    double sum = 0.0;
    for (size_t e = first; e < end; e++) sum += std::exp(log_probs_[e]);
    if (!(std::fabs(sum - 1.0) <= 1e-6)) {
      return expected(Code::range, "probabilities that sum to 1", "state " + std::to_string(s), std::to_string(sum));
    }
    const double log_sum = std::log(sum);
    for (size_t e = first; e < end; e++) log_probs_[e] = std::min(0.0, log_probs_[e] - log_sum);
  }
  return {};
}

Status TabularMachine::build(const Stop& stop) const {
  const size_t entries = log_probs_.size(), last = sparse() ? 1 : rows_->vocab;
  columns_.resize(entries + last);
  thresholds_.resize(entries + last, ~uint64_t{0});
  outcomes_.resize(entries + last, states_);
  for (size_t s = 0; s < states_; s++) {
    if (stop()) return {Code::cancelled, ""};
    const size_t first = first_entry(s), width = entries_of(s);
    for (size_t e = first; e < first + width; e++)
      outcomes_[e] = surprisal_of(log_probs_[e]) << kStateBits | next_of(e);
    build_columns(first, width);
  }
  // The end: whichever column is drawn leads back to it.
  for (size_t e = 0; e < last; e++) columns_[entries + e] = column_of(~uint64_t{0}, e);
  if (sparse()) {
    row_words_.resize(states_ + 1);
    for (size_t s = 0; s < states_; s++) row_words_[s] = uint64_t{entries_of(s)} << 32 | first_entry(s);
    row_words_[states_] = uint64_t{1} << 32 | entries;
    tokens_.assign(rows_->tokens.begin(), rows_->tokens.end());
    tokens_.push_back(0);
  }
  tables_ = {columns_.data(),
             thresholds_.data(),
             outcomes_.data(),
             sparse() ? row_words_.data() : nullptr,
             sparse() ? tokens_.data() : nullptr,
             rows_->vocab,
             states_};
  return {};
}

// Vose's method: a column that is too small for its token is filled up by one that is too large. A token of small
// probability never leaves its own column, so that nothing is subtracted from what it has.
void TabularMachine::build_columns(size_t first, size_t width) const {
  std::vector<double> share(width);
  std::vector<size_t> small, large;
  for (size_t i = 0; i < width; i++) {
    share[i] = std::exp(log_probs_[first + i]) * static_cast<double>(width);
    (share[i] < 1.0 ? small : large).push_back(i);
  }
  const auto set = [&](size_t i, double part, size_t other) {
    thresholds_[first + i] = threshold_of(part);
    columns_[first + i] = column_of(thresholds_[first + i], other);
  };
  while (!small.empty() && !large.empty()) {
    const size_t i = small.back(), other = large.back();
    small.pop_back();
    set(i, share[i], other);
    share[other] -= 1.0 - share[i];
    if (share[other] < 1.0) {
      large.pop_back();
      small.push_back(other);
    }
  }
  // Only rounding is left over.
  for (size_t i : large) set(i, 1.0, i);
  for (size_t i : small) set(i, 1.0, i);
}

Status make_tabular_model(TabularRows rows, std::shared_ptr<const TabularModel>& model) {
  if (rows.log_probs.empty() || rows.next.size() != rows.log_probs.size()) {
    return expected(Code::shape, "as many elements as logProbs, at least one,", "next",
                    std::to_string(rows.next.size()));
  }
  if (Status status = check_rows(rows); !status.ok()) return status;
  if (Status status = check_log_probs(rows.log_probs); !status.ok()) return status;
  model = std::make_shared<TabularMachine>(std::make_shared<const TabularRows>(std::move(rows)));
  return {};
}

}  // namespace covn
