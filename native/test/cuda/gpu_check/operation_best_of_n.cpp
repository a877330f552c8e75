// Best-of-N rollouts: a prompt is a row.
#include "test/bests.hpp"

#include "test/cuda/gpu_check/operation.hpp"

namespace covn::gpu_check {
namespace {

// Of sums as shares of the samples: those of doubles in another order.
constexpr double kSumBound = 1e-8;

Operation best_of_n_operation(size_t setting, size_t prompts, uint64_t samples, size_t keep, bool all_checks) {
  const auto with = std::make_shared<const test::Setting>(test::settings()[setting]);
  Operation operation;
  operation.name =
      std::string("Best-of-N ") + with->name + " " + std::to_string(prompts) + " x " + std::to_string(samples);
  operation.rows = prompts;
  operation.all_checks = all_checks;
  operation.start = [with, samples, keep](Where where, const Rows& rows) {
    std::vector<uint32_t> prompts;
    for (const uint32_t row : rows) prompts.push_back(row % 6);
    const auto out = std::make_shared<test::Outcome>();
    BestOfNRequest request = test::request_of(*with, std::move(prompts), samples, keep);
    test::attach(request, *out, false);
    std::unique_ptr<Job> job;
    Run run;
    run.status = where == Where::cpu ? covn::make_best_of_n_job(std::move(request), job)
                                     : cuda::make_best_of_n_job(std::move(request), job);
    run.job = std::move(job);
    run.collect = [out, samples] {
      std::vector<double> shares = out->sums;
      for (double& sum : shares) sum /= static_cast<double>(samples);
      return std::vector<Column>{
          column("successes", 0.0, out->successes),           column("best rewards", 0.0, out->best),
          column("kept rewards", 0.0, out->kept_rewards),     column("kept samples", 0.0, out->kept_samples),
          column("kept log-probs", 0.0, out->kept_log_probs), column("means", kSumBound, shares)};
    };
    return run;
  };
  return operation;
}

const RegisterOperations operations("6 Best-of-N", [](const Scale& scale) {
  Factories factories;
  const auto add = [&](size_t setting, size_t prompts, uint64_t samples, size_t keep, bool all_checks) {
    factories.emplace_back([=] { return best_of_n_operation(setting, prompts, samples, keep, all_checks); });
  };
  const size_t count = test::settings().size();
  for (size_t setting = 0; setting < count; setting++) {
    if (scale.tiny() && setting % 3 != 0) continue;
    add(setting, scale.pick<size_t>(96, 7), scale.pick<uint64_t>(10'000, 1100), 7, setting == 0);
  }
  add(count - 1, 3, scale.pick<uint64_t>(1'000'000, 3000), 100, false);
  return factories;
});

}  // namespace
}  // namespace covn::gpu_check
