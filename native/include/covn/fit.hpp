// Learning rules for linear models: Eq. 2, 14, 17-18, 20, 21 and 24-26; and test-time training, Eq. 22-23.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "covn/learn.hpp"

namespace covn {

// The set of parameters that iterates are projected to.
struct Projection {
  enum class Kind : uint8_t { none, ball, box };
  Kind kind = Kind::none;
  double radius = 1.0;
  std::vector<double> lower, upper;  // [dimension]
};

enum class Rule : uint8_t { mle, sgd, normalized_sgd, sign_sgd, adam, token_sgd, truncated_sgd };

struct FitRequest {
  std::shared_ptr<const TabularModel> model;  // linear; where it starts
  ResponseView data;
  Rule rule = Rule::sgd;
  Projection projection;
  double step_size = 0.0;
  size_t batch = 1;  // responses a step
  size_t passes = 1;
  bool shuffle = false;  // anew for each pass
  uint64_t seed = 0;
  double lambda = 0.0;                                // normalised SGD
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // Adam
  std::shared_ptr<const TabularModel> teacher;        // truncated SGD: pi_D on the same machine
  double budget = 0.0;                                // truncated SGD: A
  double tolerance = 1e-8;                            // MLE
  size_t max_iterations = 0;                          // MLE
  std::vector<uint64_t> checkpoints;                  // steps, ascending

  double* theta = nullptr;        // [dimension]
  double* average = nullptr;      // [dimension]: of the parameters that steps began with
  double* log_probs = nullptr;    // [passes * responses]: of each response, at the parameters that met it
  double* thetas = nullptr;       // [checkpoints, dimension]
  int32_t* made = nullptr;        // how many checkpoints there are so far
  double* certificate = nullptr;  // MLE, [4]: projected gradient norm, iterations, 1 if below the tolerance, log-prob
};
uint64_t fit_steps(const FitRequest& request);
Status make_fit_job(FitRequest request, std::unique_ptr<Job>& job);

// How a model is trained while it decodes.
struct TestTimeRule {
  std::shared_ptr<const TabularModel> model;  // linear; each response starts at its parameters
  double step_size = 0.0;
  Projection projection;
};
// log_probs [responses]; -inf for what the model cannot say.
Status make_test_time_score_job(TestTimeRule rule, ResponseView responses, double* log_probs,
                                std::unique_ptr<Job>& job);
// `model` of the sampling is not used.
Status make_test_time_sample_job(TestTimeRule rule, TabularSampling sampling, std::unique_ptr<TabularSampleJob>& job);

}  // namespace covn
