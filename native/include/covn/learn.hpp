// Autoregressive linear models (Eq. 3): pi(y_h | x, y_<h) proportional to exp(<theta, phi(x, y_1:h)>), with a row of
// features for each entry of a machine of contexts; exact expectations by dynamic programming over the machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "covn/tabular.hpp"

namespace covn {

// phi of each entry. Dense: `dense` [entries, dimension]. Sparse: entry e has the features offsets[e] .. offsets[e +
// 1].
struct LinearFeatures {
  size_t dimension = 0;
  std::vector<double> dense;
  std::vector<int64_t> offsets;  // [entries + 1], or empty: dense
  std::vector<int32_t> ids;      // in [0, dimension)
  std::vector<double> values;
};
constexpr size_t kMaxDimension = size_t{1} << 24;

// The machine's rows have no log-probs. What is made is sampled, scored and followed as a tabular model is.
Status make_linear_model(TabularRows machine, LinearFeatures features, std::vector<double> theta,
                         std::shared_ptr<const TabularModel>& model);
// The same machine and features, shared. `model` is linear.
Status with_theta(const TabularModel& model, std::vector<double> theta, std::shared_ptr<const TabularModel>& made);

// The number of features of a linear model.
size_t linear_dimension(const TabularModel& model);

// Responses, whose memory stays valid until the job that reads them has settled.
struct ResponseView {
  const int32_t* prompts = nullptr;  // [responses]
  const int32_t* tokens = nullptr;   // [total]
  size_t token_count = 0;
  std::vector<int64_t> offsets;  // [responses + 1]

  size_t count() const { return offsets.size() - 1; }
  size_t length(size_t r) const { return static_cast<size_t>(offsets[r + 1] - offsets[r]); }
};

// Means over responses of log pi(y|x) and of its gradient, sum_h phi(x, y_1:h) - phibar(x, y_<h).
struct GradientRequest {
  std::shared_ptr<const TabularModel> model;  // linear
  ResponseView responses;
  double* log_prob = nullptr;  // [1]
  double* gradient = nullptr;  // [dimension]
};
Status make_gradient_job(GradientRequest request, std::unique_ptr<Job>& job);

// An expectation under the reference, for each prompt. Both models have the same machine.
struct ExactRequest {
  std::shared_ptr<const TabularModel> reference, model;
  std::vector<uint32_t> prompts;
  size_t max_length = 0;  // responses are cut off there; 0: nowhere, which machines with loops do not allow
};
// out [prompts]: KL(reference || model), nats; +inf where the model does not cover the reference.
Status make_exact_kl_job(ExactRequest request, double* out, std::unique_ptr<Job>& job);
// out [prompts]: sigma*^2 (Eq. 8), of the features of `model`, which is linear.
Status make_variance_job(ExactRequest request, double* out, std::unique_ptr<Job>& job);

// The distribution of log reference(y|x) - log model(y|x) under the reference, values equal within 1e-9 merged.
struct LogRatio {
  double value, weight;
};
constexpr size_t kMaxLogRatios = size_t{1} << 20;  // of a prompt
class LogRatioJob : public Job {
 public:
  // After the job has settled: of each prompt, by ascending value, the weights summing to 1.
  virtual const std::vector<std::vector<LogRatio>>& ratios() const = 0;
};
Status make_log_ratio_job(ExactRequest request, std::unique_ptr<LogRatioJob>& job);

}  // namespace covn
