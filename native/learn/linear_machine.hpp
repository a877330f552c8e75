// A linear model's features, and the tabular model that its parameters make of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "covn/learn.hpp"
#include "kernels/table.hpp"
#include "model/tabular_machine.hpp"

namespace covn {

// Numbers of doubles that kernels may write past n.
inline size_t padded(size_t n) { return (n + kFeatureLanes - 1) / kFeatureLanes * kFeatureLanes; }

// Features that have been checked. Vectors of parameters and gradients have `width` numbers, the last of them 0.
class FeatureTable {
 public:
  FeatureTable(LinearFeatures features, const TabularRows& machine);

  size_t dimension() const { return features_.dimension; }
  size_t width() const { return width_; }
  // The most entries of a state.
  size_t widest() const { return widest_; }
  size_t bytes() const;
  // Products of features that the entries of all states take.
  size_t products() const { return features_.offsets.empty() ? features_.dense.size() : features_.values.size(); }

  // <phi, theta> of n entries, and some of them again up to padded(n).
  void logits(const LearnKernels& kernels, size_t first, size_t n, const double* theta, double* out) const;
  // sum += weights[i] phi of n entries, in their order.
  void add(const LearnKernels& kernels, size_t first, size_t n, const double* weights, double* sum) const;

 private:
  LinearFeatures features_;  // dense rows padded
  size_t width_, widest_ = 0;
};

class LinearMachine final : public TabularMachine {
 public:
  LinearMachine(std::shared_ptr<const TabularRows> rows, std::shared_ptr<const FeatureTable> features,
                std::vector<double> theta, bool shares);

  const LinearMachine* linear() const override { return this; }
  size_t bytes() const override;
  const std::shared_ptr<const FeatureTable>& features() const { return features_; }
  const std::vector<double>& theta() const { return theta_; }
  size_t widest() const { return features_->widest(); }

 protected:
  Status fill_log_probs(const Stop& stop, std::vector<double>& log_probs) const override;

 private:
  const std::shared_ptr<const FeatureTable> features_;
  const std::vector<double> theta_;  // [width]
  const bool shares_;                // with the model that it was made of
};

Status check_theta(const std::vector<double>& theta, size_t dimension);
// Whether two models are distributions over the same entries, reached in the same ways.
Status check_same_machine(const TabularModel& reference, const TabularModel& model);

// A state's logits, probabilities and what makes log-probs of them, at some parameters.
class StateRow {
 public:
  StateRow(const LinearMachine& machine, Target target)
      : machine_(machine),
        kernels_(kernels_for(target).learn),
        logits_(padded(machine.widest())),
        probabilities_(logits_.size()) {}

  void load(size_t state, const double* theta);
  size_t first() const { return first_; }
  size_t size() const { return size_; }
  const double* probabilities() const { return probabilities_.data(); }
  double log_prob(size_t i) const { return (logits_[i] - softmax_.largest) - log_sum_; }
  const LearnKernels& kernels() const { return kernels_; }

 private:
  const LinearMachine& machine_;
  const LearnKernels& kernels_;
  std::vector<double> logits_, probabilities_;
  size_t first_ = 0, size_ = 0;
  Softmax softmax_{};
  double log_sum_ = 0.0;
};

}  // namespace covn
