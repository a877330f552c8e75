// What a reward reads along with the responses: an automaton or another model, as tables of words.
#pragma once

#include <string>
#include <vector>

#include "covn/best_of_n.hpp"
#include "model/rollouts.hpp"

namespace covn {

// The tables behind a Follower.
class RewardTables {
 public:
  // Checks the reward against the model that is drawn from.
  static Status check(const Reward& reward, const TabularModel& model);
  // Makes the tables: automata here, other models by way of their own.
  Status build(const Reward& reward, const Stop& stop);

  // Null where nothing has to be followed.
  const Follower* follower() const { return kind_ == Reward::Kind::own_log_prob ? nullptr : &follower_; }
  // Of states that are followed: `columns` apart, and the reward of an automaton's.
  size_t columns() const { return columns_; }
  const std::vector<double>& values() const { return values_; }
  // The arrays behind the follower's tables, empty where there are none.
  const std::vector<uint32_t>& classes() const { return classes_; }
  const std::vector<uint32_t>& next() const { return next_; }
  const std::vector<double>& log_probs() const { return log_probs_; }

  // A response's reward, from its lane.
  double operator()(const RolloutLanes& lanes, size_t lane) const {
    switch (kind_) {
      case Reward::Kind::own_log_prob: return Rollouts::log_prob(lanes, lane);
      case Reward::Kind::log_prob: return lanes.follow_log_prob[lane];
      case Reward::Kind::log_ratio: return lanes.follow_log_prob[lane] - Rollouts::log_prob(lanes, lane);
      case Reward::Kind::automaton: break;
    }
    return values_[lanes.follow[lane] / columns_];
  }

 private:
  void follow_automaton(const Automaton& automaton);
  Status follow_model(const TabularModel& model, const Stop& stop);

  Reward::Kind kind_ = Reward::Kind::own_log_prob;
  size_t columns_ = 1;
  std::vector<uint32_t> classes_, next_;
  std::vector<double> values_, log_probs_;
  Follower follower_;
};

}  // namespace covn
