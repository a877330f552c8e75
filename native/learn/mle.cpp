// Projected Newton steps with a line search on the mean log-likelihood, from how often the data take each entry: an
// iteration costs what the machine's entries do, whatever the number of responses.
#include "learn/mle.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "learn/newton.hpp"
#include "learn/token_path.hpp"
#include "learn/walk.hpp"

namespace covn {

namespace {

class MleJob final : public Job {
 public:
  explicit MleJob(FitRequest request)
      : request_(std::move(request)),
        machine_(*request_.model->linear()),
        features_(*machine_.features()),
        dimension_(features_.dimension()),
        row_(machine_, best_target()),
        pull_(padded(machine_.widest())),
        theta_(machine_.theta()),
        curvature_(dimension_, [this] { return cancelled(); }),
        counts_(machine_) {}

  // One for each iteration; those after the last one do nothing.
  size_t chunk_count() const override { return request_.max_iterations + 1; }
  size_t thread_limit() const override { return 1; }

 protected:
  void run_chunk(size_t chunk) override {
    std::lock_guard lock(mutex_);
    if (ended_ || cancelled()) return;
    if (!begun_) {
      begun_ = true;
      Status status = counts_.add(request_.data, [this] { return cancelled(); });
      if (!status.ok()) return fail(chunk, 0, std::move(status));
      project(request_.projection, dimension_, theta_.data());
      now_ = evaluate(theta_);
    }
    if (!std::isfinite(now_.log_prob)) {
      return fail(chunk, 0,
                  expected(Code::non_finite, "finite logits", "the features at theta", std::to_string(now_.log_prob)));
    }
    ended_ = now_.residual <= request_.tolerance || iterations_ == request_.max_iterations || !improve();
  }

  Status merge() override {
    std::copy_n(theta_.data(), dimension_, request_.theta);
    std::copy_n(theta_.data(), dimension_, request_.average);
    request_.certificate[0] = now_.residual;
    request_.certificate[1] = static_cast<double>(iterations_);
    request_.certificate[2] = now_.residual <= request_.tolerance ? 1.0 : 0.0;
    request_.certificate[3] = now_.log_prob;
    return {};
  }

 private:
  struct Evaluation {
    double log_prob = 0.0;
    std::vector<double> gradient;  // [width]
    double residual = 0.0;         // ||Proj(theta + gradient) - theta||: of the gradient where nothing holds theta
  };

  Evaluation evaluate(const std::vector<double>& theta) {
    Evaluation at;
    at.gradient.resize(features_.width());
    const auto n = static_cast<double>(request_.data.count());
    for (uint32_t state : counts_.states()) {
      row_.load(state, theta.data());
      const double total = counts_.total(state) / n, *const taken = counts_.of(state);
      for (size_t i = 0; i < row_.size(); i++) {
        const double share = taken[i] / n;
        pull_[i] = share - total * row_.probabilities()[i];
        if (share > 0.0) at.log_prob += share * row_.log_prob(i);
      }
      features_.add(row_.kernels(), row_.first(), row_.size(), pull_.data(), at.gradient.data());
    }
    std::vector<double> moved = theta;
    for (size_t k = 0; k < dimension_; k++) moved[k] += at.gradient[k];
    project(request_.projection, dimension_, moved.data());
    double squares = 0.0;
    for (size_t k = 0; k < dimension_; k++) squares += (moved[k] - theta[k]) * (moved[k] - theta[k]);
    at.residual = std::sqrt(squares);
    return at;
  }

  // Minus the second derivatives: the mean over tokens of the covariance of phi, with rows less their mean.
  void find_curvature() {
    const auto n = static_cast<double>(request_.data.count());
    std::vector<double> mean(features_.width()), centred(features_.width());
    curvature_.clear();
    for (uint32_t state : counts_.states()) {
      row_.load(state, theta_.data());
      std::fill(mean.begin(), mean.end(), 0.0);
      for (size_t i = 0; i < row_.size(); i++) pull_[i] = -row_.probabilities()[i];
      features_.add(row_.kernels(), row_.first(), row_.size(), pull_.data(), mean.data());
      for (size_t i = 0; i < row_.size(); i++) {
        const double weight = counts_.total(state) / n * row_.probabilities()[i], one = 1.0;
        if (weight == 0.0 || cancelled()) continue;
        centred = mean;
        features_.add(row_.kernels(), row_.first() + i, 1, &one, centred.data());
        const double root = std::sqrt(weight);
        for (double& x : centred) x *= root;
        curvature_.add_square(centred.data());
      }
    }
  }

  // False where no step along Newton's direction makes it better: at the precision of doubles.
  bool improve() {
    find_curvature();
    iterations_++;
    const std::vector<double> from(theta_.begin(), theta_.begin() + static_cast<ptrdiff_t>(dimension_));
    const std::vector<double> slope(now_.gradient.begin(), now_.gradient.begin() + static_cast<ptrdiff_t>(dimension_));
    const std::vector<double> target = newton_target(curvature_, from, slope, request_.projection);
    for (double share = 1.0; share > 1e-12 && !cancelled(); share /= 2.0) {
      std::vector<double> moved = theta_;
      for (size_t k = 0; k < dimension_; k++) moved[k] += share * (target[k] - from[k]);
      project(request_.projection, dimension_, moved.data());
      double promised = 0.0;
      for (size_t k = 0; k < dimension_; k++) promised += slope[k] * (moved[k] - from[k]);
      Evaluation at = evaluate(moved);
      // Changes that rounding hides are judged by the gradient.
      const double visible = 1e-12 * (1.0 + std::fabs(now_.log_prob));
      const bool grows = at.log_prob >= now_.log_prob + 1e-4 * promised && promised > visible;
      const bool settles = at.log_prob >= now_.log_prob - visible && at.residual < now_.residual;
      if (!grows && !settles) continue;
      theta_ = std::move(moved);
      now_ = std::move(at);
      return true;
    }
    return false;
  }

  const FitRequest request_;
  const LinearMachine& machine_;
  const FeatureTable& features_;
  const size_t dimension_;
  std::mutex mutex_;
  bool begun_ = false, ended_ = false;
  size_t iterations_ = 0;
  StateRow row_;
  std::vector<double> pull_, theta_;
  Curvature curvature_;
  EntryCounts counts_;
  Evaluation now_;
};

}  // namespace

Status make_mle_job(FitRequest request, std::unique_ptr<Job>& job) {
  const size_t dimension = request.model->linear()->features()->dimension();
  if (dimension > kMaxMleDimension) {
    return expected(Code::range, "at most " + std::to_string(kMaxMleDimension) + " features (with mle)", "dimension",
                    std::to_string(dimension));
  }
  if (!(request.tolerance > 0.0)) {
    return expected(Code::range, "a number > 0", "tolerance", std::to_string(request.tolerance));
  }
  if (request.max_iterations > 1000000) {
    return expected(Code::range, "at most 1000000", "maxIterations", std::to_string(request.max_iterations));
  }
  job = std::make_unique<MleJob>(std::move(request));
  return {};
}

}  // namespace covn
