// What each rule does with the mean gradient of a batch.
#pragma once

#include <cmath>
#include <vector>

#include "covn/fit.hpp"
#include "learn/norm.hpp"

namespace covn {

class Update {
 public:
  Update(const FitRequest& request, size_t dimension) : request_(request), dimension_(dimension) {
    if (request.rule == Rule::adam) first_.resize(dimension), second_.resize(dimension);
  }

  // Before projection; in the direction in which log-probs grow.
  void apply(const double* gradient, double* theta) {
    switch (request_.rule) {
      case Rule::normalized_sgd:
        return along(gradient, request_.step_size / (request_.lambda + norm(gradient, dimension_)), theta);
      case Rule::sign_sgd: return by_sign(gradient, theta);
      case Rule::adam: return by_moments(gradient, theta);
      default: return along(gradient, request_.step_size, theta);
    }
  }

 private:
  void along(const double* gradient, double step, double* theta) const {
    for (size_t k = 0; k < dimension_; k++) theta[k] += step * gradient[k];
  }
  void by_sign(const double* gradient, double* theta) const {
    for (size_t k = 0; k < dimension_; k++) {
      theta[k] += request_.step_size * ((gradient[k] > 0.0) - (gradient[k] < 0.0));
    }
  }
  // Kingma & Ba (2015), algorithm 1.
  void by_moments(const double* gradient, double* theta) {
    const double beta1 = request_.beta1, beta2 = request_.beta2;
    power1_ *= beta1;
    power2_ *= beta2;
    for (size_t k = 0; k < dimension_; k++) {
      first_[k] = beta1 * first_[k] + (1.0 - beta1) * gradient[k];
      second_[k] = beta2 * second_[k] + (1.0 - beta2) * (gradient[k] * gradient[k]);
      const double mean = first_[k] / (1.0 - power1_), square = second_[k] / (1.0 - power2_);
      theta[k] += request_.step_size * mean / (std::sqrt(square) + request_.epsilon);
    }
  }

  const FitRequest& request_;
  const size_t dimension_;
  std::vector<double> first_, second_;  // moments
  double power1_ = 1.0, power2_ = 1.0;
};

}  // namespace covn
