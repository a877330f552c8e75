// Linear models: kernels of every instruction set, gradients and the paths of learning rules against long double; that
// threads change nothing; what is refused.
#include <cmath>

#include "covn/fit.hpp"
#include "reference/linear.hpp"
#include "test/machines.hpp"
#include "test/tables.hpp"

using namespace covn;
using namespace covn::test;
using reference::Vector;

namespace {

struct Shape {
  MachineShape machine;
  size_t dimension;
  double deviation;  // of the features
};
const Shape kShapes[] = {
    {{1, 1, 1, 0.0, 0.0, 0.3}, 1, 1.0},    {{4, 3, 2, 0.0, 0.0, 0.1}, 2, 1.0},    {{6, 9, 3, 0.0, 0.0, 0.05}, 8, 2.0},
    {{5, 17, 3, 0.0, 0.0, 0.05}, 19, 0.5}, {{3, 64, 2, 0.0, 0.0, 0.02}, 70, 0.2}, {{2, 5, 2, 0.0, 0.0, 0.1}, 3, 200.0},
};

reference::Linear random_linear(const Shape& shape, uint64_t seed) {
  Random random(seed);
  reference::Linear linear{random_machine(shape.machine, seed), shape.dimension, {}};
  linear.rows.log_probs.clear();
  for (size_t i = 0; i < linear.rows.next.size() * shape.dimension; i++) {
    linear.features.push_back(shape.deviation * random.normal());
  }
  return linear;
}

std::vector<double> random_theta(size_t dimension, double deviation, uint64_t seed) {
  Random random(seed);
  std::vector<double> theta(dimension);
  for (double& x : theta) x = deviation * random.normal();
  return theta;
}

std::shared_ptr<const TabularModel> model_of(const reference::Linear& linear, std::vector<double> theta) {
  std::shared_ptr<const TabularModel> model;
  LinearFeatures features;
  features.dimension = linear.dimension;
  features.dense = linear.features;
  CHECK(make_linear_model(linear.rows, features, std::move(theta), model).ok());
  return model;
}

ResponseView view_of(const Responses& responses, const std::vector<int32_t>& prompts) {
  return {prompts.data(), responses.tokens.data(), responses.tokens.size(), responses.offsets};
}

struct Fitted {
  Status status;
  std::vector<double> theta, average, log_probs;
  double certificate[4] = {};
};

Fitted run_fit(FitRequest request, ThreadPool* pool = nullptr, unsigned threads = 0) {
  const size_t d = linear_dimension(*request.model);
  Fitted out{{}, std::vector<double>(d), std::vector<double>(d), {}, {}};
  out.log_probs.resize(request.passes * request.data.count());
  int32_t made = 0;
  request.theta = out.theta.data();
  request.average = out.average.data();
  request.log_probs = out.log_probs.data();
  request.certificate = out.certificate;
  request.made = &made;
  std::unique_ptr<Job> job;
  out.status = make_fit_job(std::move(request), job);
  if (out.status.ok()) out.status = pool != nullptr ? run_on_pool(*pool, std::move(job), threads) : run_inline(*job);
  return out;
}

}  // namespace

COVN_TEST(softmax_is_that_of_long_double) {
  for (const auto& [name, table] : runnable_tables()) {
    Random random(5);
    double worst = 0.0, worst_sum = 0.0;
    for (size_t n : {1, 2, 3, 7, 8, 9, 16, 33, 300}) {
      for (double deviation : {0.0, 0.1, 3.0, 100.0}) {
        std::vector<double> x(n), p(n + kFeatureLanes, -1.0);
        for (double& each : x) each = deviation * random.normal();
        x.resize(n + kFeatureLanes, x[0]);
        const Softmax got = table->learn.softmax(x.data(), n, p.data());
        long double sum = 0.0L, most = x[0];
        for (size_t i = 0; i < n; i++) most = std::max<long double>(most, x[i]);
        // Differences are rounded to double, as exact as logits are.
        const auto term = [&](double each) {
          return std::exp(static_cast<long double>(each - static_cast<double>(most)));
        };
        for (size_t i = 0; i < n; i++) sum += term(x[i]);
        CHECK(got.largest == static_cast<double>(most));
        worst_sum = std::max(worst_sum, std::fabs(static_cast<double>(got.sum / sum - 1.0L)));
        for (size_t i = 0; i < n; i++) {
          const long double want = term(x[i]) / sum;
          if (want > 1e-300L) worst = std::max(worst, std::fabs(static_cast<double>(p[i] / want - 1.0L)));
        }
      }
    }
    CHECK_AT_MOST(worst, 2e-15);
    CHECK_AT_MOST(worst_sum, 1e-15);
    if (worst > 2e-15) std::printf("    %s\n", name.c_str());
  }
}

COVN_TEST(products_of_features_are_those_of_long_double) {
  for (const auto& [name, table] : runnable_tables()) {
    Random random(6);
    for (size_t rows : {1, 2, 7, 8, 9, 30}) {
      for (size_t width : {8, 16, 64, 72, 136}) {
        std::vector<double> features(rows * width), theta(width), logits(rows + kFeatureLanes), weights(rows),
            sum(width);
        for (auto* list : {&features, &theta, &weights, &sum}) {
          for (double& x : *list) x = random.normal();
        }
        const std::vector<double> before = sum;
        table->learn.linear_logits(features.data(), rows, width, theta.data(), logits.data());
        table->learn.add_weighted_rows(features.data(), rows, width, weights.data(), sum.data());
        double worst = 0.0;
        for (size_t r = 0; r < rows; r++) {
          long double want = 0.0L;
          for (size_t k = 0; k < width; k++) want += static_cast<long double>(features[r * width + k]) * theta[k];
          worst = std::max(worst, std::fabs(static_cast<double>(logits[r] - want)));
        }
        for (size_t k = 0; k < width; k++) {
          long double want = before[k];
          for (size_t r = 0; r < rows; r++) want += static_cast<long double>(features[r * width + k]) * weights[r];
          worst = std::max(worst, std::fabs(static_cast<double>(sum[k] - want)));
        }
        CHECK_AT_MOST(worst, 3e-14);
      }
    }
  }
}

COVN_TEST(gradients_are_those_of_long_double) {
  for (const Shape& shape : kShapes) {
    const reference::Linear linear = random_linear(shape, shape.dimension);
    const std::vector<double> theta = random_theta(shape.dimension, 0.5, 3);
    const auto model = model_of(linear, theta);
    const Responses drawn = sample_each(model, 20, {30});
    const std::vector<int32_t> prompts(drawn.prompts.begin(), drawn.prompts.end());
    double log_prob = 0.0;
    std::vector<double> gradient(shape.dimension);
    std::unique_ptr<Job> job;
    CHECK(make_gradient_job({model, view_of(drawn, prompts), &log_prob, gradient.data()}, job).ok());
    CHECK(run_inline(*job).ok());
    Vector want(shape.dimension);
    long double sum = 0.0L;
    const Vector at(theta.begin(), theta.end());
    for (size_t r = 0; r < drawn.count(); r++) {
      sum += linear.add_response(drawn.prompts[r], drawn.response(r), drawn.length(r), at, want);
    }
    const auto n = static_cast<long double>(drawn.count());
    CHECK_AT_MOST(std::fabs(static_cast<double>(log_prob - sum / n)), 1e-12 * (1.0 + std::fabs(log_prob)));
    for (size_t k = 0; k < shape.dimension; k++) {
      CHECK_AT_MOST(std::fabs(static_cast<double>(gradient[k] - want[k] / n)), 1e-11 * (1.0 + shape.deviation));
    }
  }
}

COVN_TEST(paths_of_sgd_are_those_of_long_double) {
  for (const Shape& shape : kShapes) {
    const reference::Linear linear = random_linear(shape, shape.dimension + 1);
    const std::vector<double> theta = random_theta(shape.dimension, 0.2, 3);
    const auto model = model_of(linear, theta);
    const Responses drawn = sample_each(model, 9, {20});
    const std::vector<int32_t> prompts(drawn.prompts.begin(), drawn.prompts.end());
    for (size_t batch : {size_t{1}, size_t{4}}) {
      FitRequest request;
      request.model = model;
      request.data = view_of(drawn, prompts);
      // Small against the curvature, so that rounding does not grow.
      request.step_size = 0.01 / (1.0 + shape.deviation * shape.deviation);
      request.batch = batch;
      const Fitted got = run_fit(request);
      CHECK(got.status.ok());
      Vector at(theta.begin(), theta.end());
      for (size_t r = 0; r < drawn.count(); r += batch) {
        Vector sum(shape.dimension);
        const size_t end = std::min(drawn.count(), r + batch);
        for (size_t i = r; i < end; i++) {
          const long double log_prob =
              linear.add_response(drawn.prompts[i], drawn.response(i), drawn.length(i), at, sum);
          CHECK_AT_MOST(std::fabs(static_cast<double>(got.log_probs[i] - log_prob)), 1e-9 * (1.0 + shape.deviation));
        }
        for (size_t k = 0; k < shape.dimension; k++) {
          at[k] += request.step_size * sum[k] / static_cast<long double>(end - r);
        }
      }
      for (size_t k = 0; k < shape.dimension; k++) {
        CHECK_AT_MOST(std::fabs(static_cast<double>(got.theta[k] - at[k])), 1e-11);
      }
    }
  }
}

COVN_TEST(threads_change_nothing) {
  ThreadPool pool(4);
  const Shape shape{{30, 200, 3, 0.0, 0.0, 0.01}, 300, 0.1};
  const reference::Linear linear = random_linear(shape, 8);
  const auto model = model_of(linear, random_theta(shape.dimension, 0.5, 3));
  const Responses drawn = sample_each(model, 40, {30});
  const std::vector<int32_t> prompts(drawn.prompts.begin(), drawn.prompts.end());
  for (Rule rule : {Rule::sgd, Rule::adam, Rule::token_sgd}) {
    FitRequest request;
    request.model = model;
    request.data = view_of(drawn, prompts);
    request.rule = rule;
    request.step_size = 0.01;
    request.batch = rule == Rule::token_sgd ? 1 : 16;
    request.passes = 2;
    request.shuffle = true;
    const Fitted one = run_fit(request);
    CHECK(one.status.ok());
    for (unsigned threads : {1u, 2u, 4u}) {
      const Fitted other = run_fit(request, &pool, threads);
      CHECK(other.status.ok() && other.theta == one.theta && other.average == one.average &&
            other.log_probs == one.log_probs);
    }
  }
}

COVN_TEST(maximum_likelihood_has_no_gradient) {
  for (const Shape& shape : kShapes) {
    if (shape.deviation > 10.0) continue;
    const reference::Linear linear = random_linear(shape, shape.dimension + 2);
    const auto truth = model_of(linear, random_theta(shape.dimension, 0.5, 3));
    const Responses drawn = sample_each(truth, 300, {20});
    const std::vector<int32_t> prompts(drawn.prompts.begin(), drawn.prompts.end());
    FitRequest request;
    request.model = model_of(linear, std::vector<double>(shape.dimension));
    request.data = view_of(drawn, prompts);
    request.rule = Rule::mle;
    request.max_iterations = 100;
    const Fitted got = run_fit(request);
    CHECK(got.status.ok() && got.certificate[2] == 1.0);
    Vector gradient(shape.dimension);
    const Vector at(got.theta.begin(), got.theta.end());
    for (size_t r = 0; r < drawn.count(); r++) {
      linear.add_response(drawn.prompts[r], drawn.response(r), drawn.length(r), at, gradient);
    }
    long double squares = 0.0L;
    for (long double x : gradient) squares += x * x;
    CHECK_AT_MOST(static_cast<double>(std::sqrt(squares)) / static_cast<double>(drawn.count()), 1.001e-8);
  }
}

COVN_TEST(bad_requests_are_refused) {
  const reference::Linear linear = random_linear(kShapes[1], 1);
  const auto model = model_of(linear, {0.0, 0.0});
  const std::vector<int32_t> prompts{0, 9}, tokens{0, 3};
  const auto status_of = [&](FitRequest request) { return run_fit(std::move(request)).status; };
  FitRequest request;
  request.model = model;
  request.data = {prompts.data(), tokens.data(), 2, {0, 1, 2}};
  request.step_size = 0.1;
  CHECK(status_of(request).message.find("prompts[1]") != std::string::npos);
  request.data = {prompts.data(), tokens.data(), 2, {0, 2}};
  CHECK(status_of(request).message.find("tokens[1] (response 0)") != std::string::npos);
  request.data = {prompts.data(), tokens.data(), 1, {0, 2}};
  CHECK(status_of(request).code == Code::shape);
  request.data = {prompts.data(), tokens.data(), 1, {0, 1}};
  request.projection.kind = Projection::Kind::box;
  CHECK(status_of(request).code == Code::shape);
  request.projection = {};
  request.rule = Rule::truncated_sgd;
  CHECK(status_of(request).message.find("teacher") != std::string::npos);
  request.rule = Rule::sgd;
  request.checkpoints = {2};
  CHECK(status_of(request).message.find("checkpoints[0]") != std::string::npos);
  request.step_size = NAN;
  CHECK(status_of(request).message.find("stepSize") != std::string::npos);
  std::shared_ptr<const TabularModel> made;
  CHECK(with_theta(*model, {0.0}, made).code == Code::shape);
  CHECK(with_theta(*model, {0.0, INFINITY}, made).code == Code::non_finite);
  CHECK(!made);
}

int main() { return run_all(); }
