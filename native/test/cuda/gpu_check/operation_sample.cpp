// sampleLogits.
#include "test/cuda/gpu_check/logits.hpp"

namespace covn::gpu_check {
namespace {

// Log-probs are those of scoreLogits on the device, to 2e-6; both are floats of at most 16 or so.
constexpr double kBound = 2e-6 + 16 * 0x1p-23;

struct Shape {
  DType dtype;
  size_t rows, vocab, samples;
  SampleFilter filter;
  const char* words;
  bool all_checks;
};

Operation sample_operation(const Shape& shape) {
  struct Data {
    Numbers logits;
    std::vector<uint32_t> sequences, positions, firsts;
  };
  const auto all =
      std::make_shared<Data>(Data{normal_numbers(shape.dtype, shape.rows, shape.vocab, 3.0, 10), {}, {}, {}});
  test::Random random(11);
  for (size_t row = 0; row < shape.rows; row++) {
    all->sequences.push_back(static_cast<uint32_t>(random.bits()));
    all->positions.push_back(static_cast<uint32_t>(random.bits()));
    all->firsts.push_back(static_cast<uint32_t>(random.bits() % 1000));
  }
  Operation operation;
  operation.name = std::string("sampleLogits ") + name_of(shape.dtype) + " " + std::to_string(shape.rows) + " x " +
                   std::to_string(shape.vocab) + ", " + std::to_string(shape.samples) + shape.words;
  operation.rows = shape.rows;
  operation.all_checks = shape.all_checks;
  operation.start = [all = std::shared_ptr<const Data>(all), shape](Where where, const Rows& rows) {
    struct State {
      Data data;
      std::vector<int32_t> tokens;
      std::vector<float> log_prob, sampled_log_prob;
    };
    const auto state = std::make_shared<State>(
        State{{all->logits.take(rows), take(all->sequences, rows), take(all->positions, rows), take(all->firsts, rows)},
              {},
              {},
              {}});
    const size_t draws = rows.size() * shape.samples;
    state->tokens.resize(draws, -7);
    state->log_prob.resize(draws);
    state->sampled_log_prob.resize(draws);
    SampleRequest request;
    request.logits = state->data.logits.bytes.data();
    request.logit_count = state->data.logits.count();
    request.dtype = shape.dtype;
    request.vocab = shape.vocab;
    request.rows = rows.size();
    request.samples = shape.samples;
    request.filter = shape.filter;
    request.seed = 0x299f31d0a4093822;
    request.sequences = state->data.sequences.data();
    request.positions = state->data.positions.data();
    request.first_samples = state->data.firsts.data();
    request.target = best_target();
    request.tokens = state->tokens.data();
    request.log_prob = state->log_prob.data();
    request.sampled_log_prob = state->sampled_log_prob.data();
    std::unique_ptr<Job> job;
    Run run;
    run.status = where == Where::cpu ? covn::make_sample_job(request, job) : cuda::make_sample_job(request, job);
    run.job = std::move(job);
    run.collect = [state] {
      return std::vector<Column>{column("token", 0.0, state->tokens), column("log-prob", kBound, state->log_prob),
                                 column("sampled log-prob", kBound, state->sampled_log_prob)};
    };
    return run;
  };
  return operation;
}

const RegisterOperations operations("4 sampleLogits", [](const Scale& scale) {
  Factories factories;
  const auto add = [&](Shape shape) { factories.emplace_back([shape] { return sample_operation(shape); }); };
  const SampleFilter none, all{0.8, 50, 0.95, 0.001}, nucleus{1.3, 0, 0.9, 0.0};
  for (const DType dtype : kDTypes) {
    add({dtype, scale.pick<size_t>(8192, 33), scale.pick<size_t>(2051, 517), 5, none, " draws", true});
    add({dtype, scale.pick<size_t>(64, 4), scale.pick<size_t>(32003, 1500), scale.pick<size_t>(300, 40), all,
         " draws, all filters", false});
    add({dtype, scale.pick<size_t>(16, 2), scale.pick<size_t>(128256, 5003), scale.pick<size_t>(4096, 100), nucleus,
         " draws, top-p", false});
  }
  return factories;
});

}  // namespace
}  // namespace covn::gpu_check
