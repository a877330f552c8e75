#include "model/follower.hpp"

#include <cmath>
#include <limits>

namespace covn {

namespace {

// Tables of 4 or 12 bytes an entry.
constexpr size_t kMaxEntries = size_t{1} << 28;

Status too_large(const std::string& name, size_t states, size_t columns) {
  return expected(Code::range, "states * vocab up to 2^28", name,
                  std::to_string(states) + " * " + std::to_string(columns));
}

Status check_automaton(const Automaton& a, const TabularModel& model) {
  if (a.columns < 1 || a.values.empty() || a.next.size() / a.columns != a.values.size() ||
      a.next.size() % a.columns != 0) {
    return expected(Code::shape, "states * columns elements", "the automaton's next", std::to_string(a.next.size()));
  }
  if (a.next.size() + a.columns > kMaxEntries) return too_large("the automaton", a.values.size(), a.columns);
  if (a.classes.empty() ? a.columns != model.vocab() : a.classes.size() != model.vocab()) {
    return expected(Code::shape, "the model's vocabulary (" + std::to_string(model.vocab()) + ")", "the automaton",
                    std::to_string(a.classes.empty() ? a.columns : a.classes.size()));
  }
  for (uint32_t c : a.classes) {
    if (c >= a.columns) return expected(Code::range, "a column", "the automaton's classes", std::to_string(c));
  }
  if (a.starts.size() != model.prompts()) {
    return expected(Code::shape, "a start for each of the model's prompts (" + std::to_string(model.prompts()) + ")",
                    "the automaton's start", std::to_string(a.starts.size()));
  }
  const auto is_state = [&](int64_t state) { return state >= 0 && state < static_cast<int64_t>(a.values.size()); };
  for (int32_t start : a.starts) {
    if (!is_state(start)) return expected(Code::range, "a state", "the automaton's start", std::to_string(start));
  }
  for (size_t i = 0; i < a.next.size(); i++) {
    if (a.next[i] != -1 && !is_state(a.next[i])) {
      return expected(Code::range, "a state or -1", "the automaton's next[" + std::to_string(i) + "]",
                      std::to_string(a.next[i]));
    }
  }
  for (size_t s = 0; s < a.values.size(); s++) {
    if (a.values[s] != a.values[s]) {
      return expected(Code::non_finite, "a number", "the reward of state " + std::to_string(s), "NaN");
    }
  }
  if (a.rejected != a.rejected) return expected(Code::non_finite, "a number", "the reward of rejection", "NaN");
  return {};
}

// To the units that the model drawn from is added up in: the log ratio of a model to itself is then exactly 0, and
// equal ratios are equal.
double in_surprisal_units(double log_prob) {
  return log_prob < -0x1p18 ? log_prob : std::ldexp(std::round(std::ldexp(log_prob, kSurprisalBits)), -kSurprisalBits);
}

}  // namespace

Status RewardTables::check(const Reward& reward, const TabularModel& model) {
  if (reward.kind == Reward::Kind::automaton) return check_automaton(reward.automaton, model);
  if (reward.kind == Reward::Kind::own_log_prob) return {};
  const TabularModel& other = *reward.model;
  if (other.vocab() != model.vocab() || other.prompts() != model.prompts()) {
    return expected(Code::shape,
                    std::to_string(model.prompts()) + " prompts and a vocabulary of " + std::to_string(model.vocab()),
                    "the reward's model", std::to_string(other.prompts()) + " and " + std::to_string(other.vocab()));
  }
  if ((other.states() + 1) * other.vocab() > kMaxEntries) {
    return too_large("the reward's model", other.states(), other.vocab());
  }
  return {};
}

Status RewardTables::build(const Reward& reward, const Stop& stop) {
  kind_ = reward.kind;
  if (kind_ == Reward::Kind::own_log_prob) return {};
  if (kind_ != Reward::Kind::automaton) return follow_model(*reward.model, stop);
  follow_automaton(reward.automaton);
  return {};
}

void RewardTables::follow_automaton(const Automaton& automaton) {
  columns_ = automaton.columns;
  classes_ = automaton.classes;
  // Zeros of one sign, so that which of two equal rewards comes first changes no bit.
  const auto signless = [](double value) { return value == 0.0 ? 0.0 : value; };
  for (const double value : automaton.values) values_.push_back(signless(value));
  const size_t rejected = values_.size();
  values_.push_back(signless(automaton.rejected));
  next_.reserve(automaton.next.size() + columns_);
  for (int32_t next : automaton.next) {
    next_.push_back(static_cast<uint32_t>((next < 0 ? rejected : static_cast<size_t>(next)) * columns_));
  }
  next_.resize(next_.size() + columns_, static_cast<uint32_t>(rejected * columns_));
  for (int32_t start : automaton.starts) follower_.starts.push_back(static_cast<size_t>(start) * columns_);
  follower_.tables = {classes_.empty() ? nullptr : classes_.data(), next_.data(), nullptr, 0};
}

Status RewardTables::follow_model(const TabularModel& model, const Stop& stop) {
  const TabularMachine& machine = machine_of(model);
  if (Status status = machine.prepare(stop); !status.ok()) return status;
  const size_t vocab = machine.vocab(), states = machine.states();
  columns_ = vocab;
  log_probs_.reserve((states + 1) * vocab + 1);
  next_.reserve((states + 1) * vocab);
  for (size_t s = 0; s <= states; s++) {
    if (stop()) return {Code::cancelled, "The job was cancelled"};
    for (size_t t = 0; t < vocab; t++) {
      log_probs_.push_back(in_surprisal_units(machine.log_prob(s, static_cast<int32_t>(t))));
      next_.push_back(static_cast<uint32_t>(machine.next(s, static_cast<int32_t>(t)) * vocab));
    }
  }
  follower_.tables = {nullptr, next_.data(), log_probs_.data(), log_probs_.size()};
  log_probs_.push_back(0.0);
  for (size_t p = 0; p < machine.prompts(); p++) follower_.starts.push_back(machine.start(p) * vocab);
  return {};
}

}  // namespace covn
