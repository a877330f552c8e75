#include "covn/tabular.hpp"

#include "binding/exports.hpp"
#include "binding/best_of_n.hpp"
#include "binding/requests.hpp"

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

Napi::Value best_of_n(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    BestOfNRequest request = best_of_n_request(arguments);
    request.target = arguments.target("target");
    return start_filling(info, arguments, made<Job>(make_best_of_n_job, std::move(request)));
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
