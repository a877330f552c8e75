#include "binding/scoring.hpp"

#include "core/denormals.hpp"

namespace covn::binding {

DType dtype_of(const Arguments& arguments) {
  const Napi::Value value = arguments.value("dtype");
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (name == "f32") return DType::f32;
  if (name == "f16") return DType::f16;
  if (name == "bf16") return DType::bf16;
  throw ArgumentError{expected(Code::dtype, "'f32', 'f16' or 'bf16'", "dtype", name)};
}

NumberView numbers_of(const Arguments& arguments, const char* name, DType dtype) {
  if (dtype == DType::f32) {
    const auto floats = arguments.view<const float>(name, napi_float32_array);
    return {floats.data, floats.length};
  }
  const auto halves = arguments.view<const uint16_t>(name, napi_uint16_array);
  return {halves.data, halves.length};
}

void read_tokens(const Arguments& arguments, TokenRows& tokens) {
  const auto targets = arguments.view<const int32_t>("targets", napi_int32_array);
  tokens.targets = targets.data;
  tokens.rows = targets.length;
  tokens.offsets = arguments.offsets("offsets");
  if (tokens.offsets.empty()) throw ArgumentError{expected(Code::shape, "at least one element", "offsets", "0")};
  tokens.temperature = arguments.number("temperature");
  tokens.propagate_non_finite = arguments.flag("propagateNonFinite");
}

double* response_output(const Arguments& arguments, const char* name, const TokenRows& tokens) {
  double* out = arguments.output<double>(name, napi_float64_array, tokens.offsets.size() - 1);
  if (out == nullptr && tokens.offsets.size() > 1) {
    throw ArgumentError{expected(Code::dtype, "a Float64Array", name, "undefined")};
  }
  return out;
}

TokenScoring scoring_of(const Arguments& arguments) {
  TokenScoring scoring;
  read_tokens(arguments, scoring);
  scoring.sequence = response_output(arguments, "sequence", scoring);
  scoring.token = arguments.output<float>("token", napi_float32_array, scoring.rows);
  scoring.log_z = arguments.output<double>("logZ", napi_float64_array, scoring.rows);
  scoring.entropy = arguments.output<float>("entropy", napi_float32_array, scoring.rows);
  scoring.rank = arguments.output<int32_t>("rank", napi_int32_array, scoring.rows);
  return scoring;
}

namespace {

Napi::Value rows_of(Napi::Env env, const std::vector<int64_t>& rows) {
  Napi::Float64Array array = Napi::Float64Array::New(env, rows.size());
  for (size_t i = 0; i < rows.size(); i++) array[i] = static_cast<double>(rows[i]);
  return array;
}

}  // namespace

Napi::Value start_scoring(const Napi::CallbackInfo& info, MakeScoreJob make) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    std::shared_ptr<ScoreJob> job = make(arguments);
    return start(info, arguments, job, [job](Napi::Env env) { return rows_of(env, job->non_finite_rows()); });
  });
}

Napi::Value score_now(const Napi::CallbackInfo& info, MakeScoreJob make) {
  return guarded(info, [&]() -> Napi::Value {
    const std::unique_ptr<ScoreJob> job = make(Arguments(info[0]));
    const FlushDenormals flush;
    if (const Status status = run_inline(*job); !status.ok()) return status_object(info.Env(), status);
    return rows_of(info.Env(), job->non_finite_rows());
  });
}

}  // namespace covn::binding
