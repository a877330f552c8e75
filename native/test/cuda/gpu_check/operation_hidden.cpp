// scoreHidden.
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

struct Shape {
  DType dtype;
  size_t rows, width, vocab;
  bool extras;  // bias, soft-cap and temperature
  bool all_checks;
  double bound;
};

// Ranks are the CPU's where logits are: those of floats. Logits of 16-bit numbers are summed otherwise, and the
// target's may change places with one that lies within the rounding.
constexpr double kRankBound16 = 2;

Operation hidden_operation(const Shape& shape) {
  struct Data {
    Numbers hidden, weight;
    std::vector<float> bias;
    std::vector<int32_t> targets;
  };
  const double deviation = 1.0 / std::sqrt(static_cast<double>(shape.width));
  const auto all = std::make_shared<Data>(Data{normal_numbers(shape.dtype, shape.rows, shape.width, 1.0, 3),
                                               normal_numbers(shape.dtype, shape.vocab, shape.width, deviation, 4),
                                               {},
                                               random_targets(shape.rows, shape.vocab, 5)});
  if (shape.extras) {
    test::Random random(6);
    for (size_t i = 0; i < shape.vocab; i++) all->bias.push_back(static_cast<float>(0.5 * random.normal()));
  }
  Operation operation;
  operation.name = std::string("scoreHidden ") + name_of(shape.dtype) + " " + std::to_string(shape.rows) + " x " +
                   std::to_string(shape.width) + " x " + std::to_string(shape.vocab) +
                   (shape.extras ? " soft-cap" : "");
  operation.rows = shape.rows;
  operation.all_checks = shape.all_checks;
  operation.start = [all = std::shared_ptr<const Data>(all), shape](Where where, const Rows& rows) {
    struct State {
      Numbers hidden;
      std::vector<int32_t> targets;
      Scores scores;
      std::shared_ptr<const Data> all;
    };
    const auto state = std::make_shared<State>(State{all->hidden.take(rows), take(all->targets, rows), {}, all});
    HiddenRequest request;
    request.hidden = state->hidden.bytes.data();
    request.hidden_count = state->hidden.count();
    request.weight = all->weight.bytes.data();
    request.weight_count = all->weight.count();
    request.dtype = shape.dtype;
    request.width = shape.width;
    request.vocab = shape.vocab;
    request.bias = shape.extras ? all->bias.data() : nullptr;
    request.softcap = shape.extras ? 3.0 : 0.0;
    state->scores.want(request.scoring, state->targets);
    request.scoring.temperature = shape.extras ? 0.7 : 1.0;
    std::unique_ptr<ScoreJob> job;
    Run run;
    run.status = where == Where::cpu ? covn::make_hidden_job(std::move(request), job)
                                     : cuda::make_hidden_job(std::move(request), job);
    run.job = std::move(job);
    run.collect = [state, shape] {
      const Scores& s = state->scores;
      return std::vector<Column>{column("log-prob", shape.bound, s.sequence), column("logZ", shape.bound, s.log_z),
                                 column("entropy", 3 * shape.bound, s.entropy),
                                 column("rank", shape.dtype == DType::f32 ? 0.0 : kRankBound16, s.rank)};
    };
    return run;
  };
  return operation;
}

const RegisterOperations operations("2 scoreHidden", [](const Scale& scale) {
  Factories factories;
  const auto add = [&](Shape shape) { factories.emplace_back([shape] { return hidden_operation(shape); }); };
  for (const DType dtype : kDTypes) {
    // How a device's tensor cores round sums is not specified. Were each of width / 16 steps to cut off 2^-23 of a sum
    // of 4 or so, a logit would be 1e-5 off; the emulated ones, and floats anywhere, keep to the tests' bound.
    const bool open = dtype != DType::f32 && !scale.emulated;
    const double bound = open ? 1e-5 : 3e-6;
    add({dtype, scale.pick<size_t>(8192, 40), scale.pick<size_t>(256, 72), scale.pick<size_t>(5003, 300), false, true,
         bound});
    add({dtype, scale.pick<size_t>(260, 9), scale.pick<size_t>(389, 65), scale.pick<size_t>(32003, 517), true, false,
         2 * bound});
  }
  return factories;
});

}  // namespace
}  // namespace covn::gpu_check
