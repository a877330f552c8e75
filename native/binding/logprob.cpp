#include "binding/requests.hpp"
#include "binding/scoring.hpp"

namespace covn::binding {

namespace {

std::unique_ptr<ScoreJob> score_job(const Arguments& arguments) {
  LogitsRequest request = logits_request(arguments);
  request.scoring.target = arguments.target("target");
  return made<ScoreJob>(make_score_job, std::move(request));
}

Napi::Value score_logits(const Napi::CallbackInfo& info) { return start_scoring(info, score_job); }
Napi::Value score_logits_sync(const Napi::CallbackInfo& info) { return score_now(info, score_job); }

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
