// scorePair.
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

constexpr double kBound = 2e-6;  // both are within 1e-6 of exact arithmetic

struct Shape {
  DType dtype;
  size_t rows, vocab;
  double temperature;
  bool all_checks;
};

Operation pair_operation(const Shape& shape) {
  struct Data {
    Numbers reference, model;
    std::vector<int32_t> targets;
  };
  const auto all = std::make_shared<const Data>(Data{normal_numbers(shape.dtype, shape.rows, shape.vocab, 3.0, 7),
                                                     normal_numbers(shape.dtype, shape.rows, shape.vocab, 3.0, 8),
                                                     random_targets(shape.rows, shape.vocab, 9)});
  Operation operation;
  operation.name = std::string("scorePair ") + name_of(shape.dtype) + " " + std::to_string(shape.rows) + " x " +
                   std::to_string(shape.vocab) + (shape.temperature == 1.0 ? "" : " at 2.5");
  operation.rows = shape.rows;
  operation.all_checks = shape.all_checks;
  operation.start = [all, shape](Where where, const Rows& rows) {
    struct State {
      Data data;
      std::vector<double> log_ratio, kl, hellinger;
    };
    const auto state = std::make_shared<State>(
        State{{all->reference.take(rows), all->model.take(rows), take(all->targets, rows)}, {}, {}, {}});
    for (auto* sums : {&state->log_ratio, &state->kl, &state->hellinger}) sums->resize(rows.size());
    PairRequest request;
    request.reference = state->data.reference.bytes.data();
    request.model = state->data.model.bytes.data();
    request.reference_count = request.model_count = state->data.reference.count();
    request.dtype = shape.dtype;
    request.vocab = shape.vocab;
    request.tokens.targets = state->data.targets.data();
    request.tokens.rows = rows.size();
    request.tokens.offsets = one_by_one(rows.size());
    request.tokens.temperature = shape.temperature;
    request.tokens.target = best_target();
    request.log_ratio = state->log_ratio.data();
    request.kl = state->kl.data();
    request.hellinger = state->hellinger.data();
    std::unique_ptr<ScoreJob> job;
    Run run;
    run.status = where == Where::cpu ? covn::make_pair_job(std::move(request), job)
                                     : cuda::make_pair_job(std::move(request), job);
    run.job = std::move(job);
    run.collect = [state] {
      return std::vector<Column>{column("log ratio", kBound, state->log_ratio), column("KL", kBound, state->kl),
                                 column("Hellinger", kBound, state->hellinger)};
    };
    return run;
  };
  return operation;
}

const RegisterOperations operations("3 scorePair", [](const Scale& scale) {
  Factories factories;
  const auto add = [&](Shape shape) { factories.emplace_back([shape] { return pair_operation(shape); }); };
  for (const DType dtype : kDTypes) {
    add({dtype, scale.pick<size_t>(8192, 64), scale.pick<size_t>(2051, 517), 1.0, true});
    add({dtype, scale.pick<size_t>(64, 2), scale.pick<size_t>(128256, 9001), 2.5, false});
  }
  return factories;
});

}  // namespace
}  // namespace covn::gpu_check
