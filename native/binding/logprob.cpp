#include "binding/exports.hpp"
#include "core/denormals.hpp"
#include "covn/logprob.hpp"

namespace covn::binding {

namespace {

DType dtype_of(const Arguments& arguments) {
  const Napi::Value value = arguments.value("dtype");
  const std::string name = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (name == "f32") return DType::f32;
  if (name == "f16") return DType::f16;
  if (name == "bf16") return DType::bf16;
  throw ArgumentError{expected(Code::dtype, "'f32', 'f16' or 'bf16'", "dtype", name)};
}

std::unique_ptr<ScoreJob> score_job(const Arguments& arguments) {
  LogitsRequest request;
  TokenScoring& scoring = request.scoring;
  request.dtype = dtype_of(arguments);
  if (request.dtype == DType::f32) {
    const auto logits = arguments.view<const float>("logits", napi_float32_array);
    request.logits = logits.data;
    request.logit_count = logits.length;
  } else {
    const auto logits = arguments.view<const uint16_t>("logits", napi_uint16_array);
    request.logits = logits.data;
    request.logit_count = logits.length;
  }
  request.vocab = arguments.size("vocab", (size_t{1} << 31) - 1);
  const auto targets = arguments.view<const int32_t>("targets", napi_int32_array);
  scoring.targets = targets.data;
  scoring.rows = targets.length;
  scoring.offsets = arguments.offsets("offsets");
  if (scoring.offsets.empty()) throw ArgumentError{expected(Code::shape, "at least one element", "offsets", "0")};
  scoring.temperature = arguments.number("temperature");
  scoring.propagate_non_finite = arguments.flag("propagateNonFinite");
  scoring.target = arguments.target("target");
  scoring.sequence = arguments.output<double>("sequence", napi_float64_array, scoring.offsets.size() - 1);
  if (scoring.sequence == nullptr && scoring.offsets.size() > 1) {
    throw ArgumentError{expected(Code::dtype, "a Float64Array", "sequence", "undefined")};
  }
  scoring.token = arguments.output<float>("token", napi_float32_array, scoring.rows);
  scoring.log_z = arguments.output<double>("logZ", napi_float64_array, scoring.rows);
  scoring.entropy = arguments.output<float>("entropy", napi_float32_array, scoring.rows);
  scoring.rank = arguments.output<int32_t>("rank", napi_int32_array, scoring.rows);
  std::unique_ptr<ScoreJob> job;
  if (Status status = make_score_job(std::move(request), job); !status.ok()) throw ArgumentError{status};
  return job;
}

Napi::Value rows_of(Napi::Env env, const std::vector<int64_t>& rows) {
  Napi::Float64Array array = Napi::Float64Array::New(env, rows.size());
  for (size_t i = 0; i < rows.size(); i++) array[i] = static_cast<double>(rows[i]);
  return array;
}

Napi::Value score_logits(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    std::shared_ptr<ScoreJob> job = score_job(arguments);
    return start(info, arguments, job, [job](Napi::Env env) { return rows_of(env, job->non_finite_rows()); });
  });
}

// The rows that are not finite, or a status object.
Napi::Value score_logits_sync(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const std::unique_ptr<ScoreJob> job = score_job(Arguments(info[0]));
    const FlushDenormals flush;
    if (const Status status = run_inline(*job); !status.ok()) return status_object(info.Env(), status);
    return rows_of(info.Env(), job->non_finite_rows());
  });
}

Napi::Value sum_tokens_sync(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    const std::vector<int64_t> offsets = arguments.offsets("offsets");
    double* out = arguments.output<double>("sums", napi_float64_array, offsets.empty() ? 0 : offsets.size() - 1);
    if (out == nullptr && offsets.size() > 1) {
      throw ArgumentError{expected(Code::dtype, "a Float64Array", "sums", "undefined")};
    }
    if (!arguments.value("values").IsTypedArray()) {
      throw ArgumentError{expected(Code::dtype, "a typed array", "values", "another value")};
    }
    if (arguments.value("values").As<Napi::TypedArray>().TypedArrayType() == napi_float32_array) {
      const auto values = arguments.view<const float>("values", napi_float32_array);
      return status_object(info.Env(), sum_tokens(values.data, values.length, offsets, out));
    }
    const auto values = arguments.view<const double>("values", napi_float64_array);
    return status_object(info.Env(), sum_tokens(values.data, values.length, offsets, out));
  });
}

}  // namespace

void export_logprob(Napi::Env env, Napi::Object exports) {
  exports["scoreLogits"] = Napi::Function::New(env, score_logits, "scoreLogits");
  exports["scoreLogitsSync"] = Napi::Function::New(env, score_logits_sync, "scoreLogitsSync");
  exports["sumTokens"] = Napi::Function::New(env, sum_tokens_sync, "sumTokens");
}

}  // namespace covn::binding
