#include "covn/fit.hpp"

#include "binding/exports.hpp"
#include "binding/models.hpp"

namespace covn::binding {

namespace {

constexpr const char* kRules[] = {"mle", "sgd", "normalized-sgd", "sign-sgd", "adam", "token-sgd", "truncated-sgd"};

std::string text(const Arguments& arguments, const char* name) {
  const Napi::Value value = arguments.value(name);
  return value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
}

Rule rule_of(const Arguments& arguments) {
  const std::string wanted = text(arguments, "rule");
  for (size_t i = 0; i < std::size(kRules); i++) {
    if (wanted == kRules[i]) return static_cast<Rule>(i);
  }
  throw ArgumentError{expected(Code::dtype, "a rule", "rule", wanted)};
}

Projection projection_of(const Arguments& arguments) {
  Projection projection;
  const std::string kind = text(arguments, "projection");
  if (kind == "none") return projection;
  projection.kind = kind == "ball" ? Projection::Kind::ball : Projection::Kind::box;
  if (kind == "ball") {
    projection.radius = arguments.number("radius");
  } else if (kind == "box") {
    projection.lower = arguments.doubles("lower");
    projection.upper = arguments.doubles("upper");
  } else {
    throw ArgumentError{expected(Code::dtype, "a projection", "projection", kind)};
  }
  return projection;
}

Napi::Value fit(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    FitRequest request;
    request.model = linear_of(arguments, "model");
    request.data = response_view(arguments);
    request.rule = rule_of(arguments);
    request.projection = projection_of(arguments);
    request.step_size = arguments.number("stepSize");
    request.batch = arguments.size("batch", size_t{1} << 31);
    request.passes = arguments.size("passes", size_t{1} << 30);
    request.shuffle = arguments.flag("shuffle");
    request.seed = arguments.seed("seed");
    request.lambda = arguments.number("lambda");
    request.beta1 = arguments.number("beta1");
    request.beta2 = arguments.number("beta2");
    request.epsilon = arguments.number("epsilon");
    if (!arguments.value("teacher").IsUndefined()) request.teacher = model_of(arguments, "teacher");
    request.budget = arguments.number("budget");
    request.tolerance = arguments.number("tolerance");
    request.max_iterations = arguments.size("maxIterations", 1000000);
    for (int64_t step : arguments.offsets("checkpoints")) request.checkpoints.push_back(static_cast<uint64_t>(step));
    const size_t dimension = linear_dimension(*request.model);
    request.theta = required(arguments, "theta", dimension);
    request.average = required(arguments, "average", dimension);
    request.thetas = required(arguments, "thetas", request.checkpoints.size() * dimension);
    request.certificate = required(arguments, "certificate", 4);
    const size_t seen = request.rule == Rule::mle ? 0 : request.passes * request.data.count();
    request.log_probs = required(arguments, "logProbs", seen);
    request.made = arguments.output<int32_t>("made", napi_int32_array, 1);
    if (request.made == nullptr) throw ArgumentError{expected(Code::dtype, "an Int32Array", "made", "undefined")};
    std::unique_ptr<Job> job;
    if (Status status = make_fit_job(std::move(request), job); !status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), [](Napi::Env env) { return env.Undefined(); });
  });
}

TestTimeRule test_time_of(const Arguments& arguments) {
  return {linear_of(arguments, "model"), arguments.number("stepSize"), projection_of(arguments)};
}

Napi::Value score(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    ResponseView responses = response_view(arguments);
    double* const log_probs = required(arguments, "logProbs", responses.count());
    std::unique_ptr<Job> job;
    Status status = make_test_time_score_job(test_time_of(arguments), std::move(responses), log_probs, job);
    if (!status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), [](Napi::Env env) { return env.Undefined(); });
  });
}

Napi::Value sample(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    std::unique_ptr<TabularSampleJob> made;
    Status status = make_test_time_sample_job(test_time_of(arguments), sampling_of(arguments), made);
    if (!status.ok()) throw ArgumentError{status};
    std::shared_ptr<TabularSampleJob> job = std::move(made);
    return start(info, arguments, job, [job](Napi::Env env) { return drawn_responses(env, *job); });
  });
}

}  // namespace

void export_fit(Napi::Env env, Napi::Object exports) {
  exports["fit"] = Napi::Function::New(env, fit, "fit");
  exports["scoreTestTime"] = Napi::Function::New(env, score, "scoreTestTime");
  exports["sampleTestTime"] = Napi::Function::New(env, sample, "sampleTestTime");
}

}  // namespace covn::binding
