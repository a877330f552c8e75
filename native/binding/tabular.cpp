#include "covn/tabular.hpp"

#include "binding/exports.hpp"
#include "binding/models.hpp"
#include "covn/best_of_n.hpp"

namespace covn::binding {

namespace {

// The model's handle, or a status object.
Napi::Value make_model(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const Arguments arguments(info[0]);
    TabularRows rows = machine_of_input(arguments);
    rows.log_probs = arguments.doubles("logProbs");
    ModelHandle model;
    if (Status status = make_tabular_model(std::move(rows), model); !status.ok()) throw ArgumentError{status};
    return wrap_model(info.Env(), std::move(model));
  });
}

Napi::Value score_responses(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    TabularScoring request;
    request.model = model_of(arguments, "model");
    const auto prompts = arguments.view<const int32_t>("prompts", napi_int32_array);
    const auto tokens = arguments.view<const int32_t>("tokens", napi_int32_array);
    request.prompts = prompts.data;
    request.tokens = tokens.data;
    request.token_count = tokens.length;
    request.offsets = arguments.offsets("offsets");
    if (request.offsets.size() != prompts.length + 1) {
      throw ArgumentError{expected(Code::shape, "one prompt a response", "prompts", std::to_string(prompts.length))};
    }
    request.log_probs = required(arguments, "logProbs", prompts.length);
    std::unique_ptr<Job> job;
    if (Status status = make_tabular_score_job(std::move(request), job); !status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), [](Napi::Env env) { return env.Undefined(); });
  });
}

Napi::Value sample_responses(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    TabularSampling request = sampling_of(arguments);
    request.model = model_of(arguments, "model");
    std::unique_ptr<TabularSampleJob> made;
    if (Status status = make_tabular_sample_job(std::move(request), made); !status.ok()) throw ArgumentError{status};
    std::shared_ptr<TabularSampleJob> job = std::move(made);
    return start(info, arguments, job, [job](Napi::Env env) { return drawn_responses(env, *job); });
  });
}

Reward reward_of(const Arguments& arguments) {
  Reward reward;
  const Napi::Value value = arguments.value("reward");
  const std::string kind = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (kind == "ownLogProb") return reward;
  if (kind == "logProb" || kind == "logRatio") {
    reward.kind = kind == "logProb" ? Reward::Kind::log_prob : Reward::Kind::log_ratio;
    reward.model = model_of(arguments, "other");
    return reward;
  }
  if (kind != "automaton") throw ArgumentError{expected(Code::dtype, "a kind of reward", "reward", kind)};
  reward.kind = Reward::Kind::automaton;
  Automaton& automaton = reward.automaton;
  automaton.columns = arguments.size("columns", 0x7fffffff);
  if (!arguments.value("classes").IsUndefined()) {
    automaton.classes = copy_of<uint32_t>(arguments, "classes", napi_uint32_array);
  }
  automaton.next = copy_of<int32_t>(arguments, "automatonNext", napi_int32_array);
  automaton.starts = copy_of<int32_t>(arguments, "automatonStart", napi_int32_array);
  automaton.values = arguments.doubles("values");
  automaton.rejected = arguments.number("rejected");
  return reward;
}

Napi::Value best_of_n(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    BestOfNRequest request;
    request.model = model_of(arguments, "model");
    request.prompts = copy_of<uint32_t>(arguments, "prompts", napi_uint32_array);
    request.samples = arguments.size("samples", size_t{1} << 31);
    request.seed = arguments.seed("seed");
    request.max_length = arguments.size("maxLength", kMaxResponseLength);
    request.reward = reward_of(arguments);
    request.success = arguments.number("success");
    for (int64_t size : arguments.offsets("sizes")) request.sizes.push_back(static_cast<uint64_t>(size));
    request.keep = arguments.size("keep", 65536);
    request.target = arguments.target("target");
    const size_t prompts = request.prompts.size(), at_sizes = prompts * request.sizes.size();
    request.successes = required(arguments, "successes", at_sizes);
    request.best_rewards = required(arguments, "bestRewards", at_sizes);
    request.kept_rewards = required(arguments, "keptRewards", prompts * request.keep);
    request.kept_samples = required(arguments, "keptSamples", prompts * request.keep);
    request.kept_log_probs = required(arguments, "keptLogProbs", prompts * request.keep);
    request.sums = required(arguments, "sums", prompts * 5);
    request.rewards = arguments.output<double>("rewards", napi_float64_array, prompts * request.samples);
    request.log_probs = arguments.output<double>("logProbs", napi_float64_array, prompts * request.samples);
    std::unique_ptr<Job> job;
    if (Status status = make_best_of_n_job(std::move(request), job); !status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), [](Napi::Env env) { return env.Undefined(); });
  });
}

}  // namespace

void export_tabular(Napi::Env env, Napi::Object exports) {
  exports["makeTabularModel"] = Napi::Function::New(env, make_model, "makeTabularModel");
  exports["scoreTabular"] = Napi::Function::New(env, score_responses, "scoreTabular");
  exports["sampleTabular"] = Napi::Function::New(env, sample_responses, "sampleTabular");
  exports["bestOfN"] = Napi::Function::New(env, best_of_n, "bestOfN");
}

}  // namespace covn::binding
