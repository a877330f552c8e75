// scoreLogits.
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

// Of log-probs and entropies of both: the CPU's and the device's errors together.
constexpr double kTokenBound = 2e-6, kEntropyBound = 4e-6;
// Both have a mean signed error below 1e-8: what sums over a million tokens are off by.
constexpr double kMeanBound = 2e-8;

struct Shape {
  DType dtype;
  size_t rows, vocab;
  double deviation, temperature;
  bool all_checks;
};

Operation score_operation(const Shape& shape) {
  struct Data {
    Numbers logits;
    std::vector<int32_t> targets;
  };
  const auto all = std::make_shared<const Data>(
      Data{normal_numbers(shape.dtype, shape.rows, shape.vocab, shape.deviation, shape.vocab),
           random_targets(shape.rows, shape.vocab, 2)});
  Operation operation;
  operation.name = std::string("scoreLogits ") + name_of(shape.dtype) + " " + std::to_string(shape.rows) + " x " +
                   std::to_string(shape.vocab) + (shape.temperature == 1.0 ? "" : " at 0.7");
  operation.rows = shape.rows;
  operation.all_checks = shape.all_checks;
  operation.start = [all, shape](Where where, const Rows& rows) {
    struct State {
      Data data;
      Scores scores;
    };
    const auto state = std::make_shared<State>(State{{all->logits.take(rows), take(all->targets, rows)}, {}});
    LogitsRequest request;
    request.logits = state->data.logits.bytes.data();
    request.logit_count = state->data.logits.count();
    request.dtype = shape.dtype;
    request.vocab = shape.vocab;
    state->scores.want(request.scoring, state->data.targets);
    request.scoring.temperature = shape.temperature;
    std::unique_ptr<ScoreJob> job;
    Run run;
    run.status = where == Where::cpu ? covn::make_score_job(std::move(request), job)
                                     : cuda::make_score_job(std::move(request), job);
    run.job = std::move(job);
    run.collect = [state] {
      const Scores& s = state->scores;
      return std::vector<Column>{column("log-prob", kTokenBound, s.sequence, kMeanBound),
                                 column("logZ", kTokenBound, s.log_z), column("entropy", kEntropyBound, s.entropy),
                                 column("rank", 0.0, s.rank)};
    };
    return run;
  };
  return operation;
}

const RegisterOperations operations("1 scoreLogits", [](const Scale& scale) {
  Factories factories;
  const auto add = [&](Shape shape) { factories.emplace_back([shape] { return score_operation(shape); }); };
  for (const DType dtype : kDTypes) {
    add({dtype, scale.pick<size_t>(8192, 64), scale.pick<size_t>(4099, 1037), 5.0, 1.0, true});
    add({dtype, scale.pick<size_t>(8192, 64), 50, 3.0, 0.7, false});
    add({dtype, scale.pick<size_t>(64, 2), scale.pick<size_t>(128256, 20011), 5.0, 1.0, false});
  }
  return factories;
});

}  // namespace
}  // namespace covn::gpu_check
