#include "covn/learn.hpp"

#include "binding/exports.hpp"
#include "binding/models.hpp"

namespace covn::binding {

namespace {

Napi::Value nothing(Napi::Env env) { return env.Undefined(); }

// The model's handle, or a status object.
Napi::Value make_model(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const Arguments arguments(info[0]);
    TabularRows rows = machine_of_input(arguments);
    LinearFeatures features;
    features.dimension = arguments.size("dimension", kMaxDimension);
    if (arguments.value("featureOffsets").IsUndefined()) {
      features.dense = arguments.doubles("features");
    } else {
      features.offsets = arguments.offsets("featureOffsets");
      features.ids = copy_of<int32_t>(arguments, "featureIds", napi_int32_array);
      features.values = arguments.doubles("featureValues");
      if (features.offsets.empty()) {
        throw ArgumentError{expected(Code::shape, "at least one element", "featureOffsets", "0")};
      }
    }
    ModelHandle model;
    Status status = make_linear_model(std::move(rows), std::move(features), arguments.doubles("theta"), model);
    if (!status.ok()) throw ArgumentError{status};
    return wrap_model(info.Env(), std::move(model));
  });
}

Napi::Value model_at(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const Arguments arguments(info[0]);
    ModelHandle made;
    Status status = with_theta(*linear_of(arguments, "model"), arguments.doubles("theta"), made);
    if (!status.ok()) throw ArgumentError{status};
    return wrap_model(info.Env(), std::move(made));
  });
}

Napi::Value gradient(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    GradientRequest request;
    request.model = linear_of(arguments, "model");
    request.responses = response_view(arguments);
    request.log_prob = required(arguments, "logProb", 1);
    request.gradient = required(arguments, "gradient", linear_dimension(*request.model));
    std::unique_ptr<Job> job;
    if (Status status = make_gradient_job(std::move(request), job); !status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), nothing);
  });
}

ExactRequest exact_of(const Arguments& arguments, ModelHandle model) {
  return {model_of(arguments, "reference"), std::move(model),
          copy_of<uint32_t>(arguments, "prompts", napi_uint32_array), arguments.size("maxLength", kMaxResponseLength)};
}

Napi::Value exact_kl(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    ExactRequest request = exact_of(arguments, model_of(arguments, "model"));
    double* const out = required(arguments, "out", request.prompts.size());
    std::unique_ptr<Job> job;
    if (Status status = make_exact_kl_job(std::move(request), out, job); !status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), nothing);
  });
}

Napi::Value variance(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    ExactRequest request = exact_of(arguments, linear_of(arguments, "model"));
    double* const out = required(arguments, "out", request.prompts.size());
    std::unique_ptr<Job> job;
    if (Status status = make_variance_job(std::move(request), out, job); !status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), nothing);
  });
}

// Result: logRatios and weights of all prompts, and the offsets of each prompt's.
Napi::Value ratios_of(Napi::Env env, const LogRatioJob& job) {
  size_t total = 0;
  for (const auto& each : job.ratios()) total += each.size();
  Napi::Float64Array values = Napi::Float64Array::New(env, total), weights = Napi::Float64Array::New(env, total);
  Napi::Float64Array offsets = Napi::Float64Array::New(env, job.ratios().size() + 1);
  size_t at = 0;
  for (size_t i = 0; i < job.ratios().size(); i++) {
    for (const LogRatio& ratio : job.ratios()[i]) {
      values[at] = ratio.value;
      weights[at++] = ratio.weight;
    }
    offsets[i + 1] = static_cast<double>(at);
  }
  Napi::Object result = Napi::Object::New(env);
  result["logRatios"] = values;
  result["weights"] = weights;
  result["offsets"] = offsets;
  return result;
}

Napi::Value exact_log_ratios(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    ExactRequest request = exact_of(arguments, model_of(arguments, "model"));
    std::unique_ptr<LogRatioJob> made;
    if (Status status = make_log_ratio_job(std::move(request), made); !status.ok()) throw ArgumentError{status};
    std::shared_ptr<LogRatioJob> job = std::move(made);
    return start(info, arguments, job, [job](Napi::Env env) { return ratios_of(env, *job); });
  });
}

}  // namespace

void export_learn(Napi::Env env, Napi::Object exports) {
  exports["makeLinearModel"] = Napi::Function::New(env, make_model, "makeLinearModel");
  exports["linearModelAt"] = Napi::Function::New(env, model_at, "linearModelAt");
  exports["linearGradient"] = Napi::Function::New(env, gradient, "linearGradient");
  exports["exactKl"] = Napi::Function::New(env, exact_kl, "exactKl");
  exports["exactLogRatios"] = Napi::Function::New(env, exact_log_ratios, "exactLogRatios");
  exports["inherentVariance"] = Napi::Function::New(env, variance, "inherentVariance");
}

}  // namespace covn::binding
