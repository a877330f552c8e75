#include "covn/hidden.hpp"

#include "binding/scoring.hpp"

namespace covn::binding {

namespace {

std::unique_ptr<ScoreJob> hidden_job(const Arguments& arguments) {
  HiddenRequest request;
  request.dtype = dtype_of(arguments);
  const NumberView hidden = numbers_of(arguments, "hidden", request.dtype);
  const NumberView weight = numbers_of(arguments, "weight", request.dtype);
  request.hidden = hidden.data;
  request.hidden_count = hidden.length;
  request.weight = weight.data;
  request.weight_count = weight.length;
  request.width = arguments.size("width", kMaxVocab);
  request.vocab = arguments.size("vocab", kMaxVocab);
  if (!arguments.value("bias").IsUndefined()) {
    const auto bias = arguments.view<const float>("bias", napi_float32_array);
    if (bias.length != request.vocab) {
      throw ArgumentError{expected(Code::shape, "vocab elements", "bias", std::to_string(bias.length))};
    }
    request.bias = bias.data;
  }
  request.softcap = arguments.number("softcap");
  request.scoring = scoring_of(arguments);
  std::unique_ptr<ScoreJob> job;
  if (Status status = make_hidden_job(std::move(request), job); !status.ok()) throw ArgumentError{status};
  return job;
}

Napi::Value score_hidden(const Napi::CallbackInfo& info) { return start_scoring(info, hidden_job); }
Napi::Value score_hidden_sync(const Napi::CallbackInfo& info) { return score_now(info, hidden_job); }

}  // namespace

void export_hidden(Napi::Env env, Napi::Object exports) {
  exports["scoreHidden"] = Napi::Function::New(env, score_hidden, "scoreHidden");
  exports["scoreHiddenSync"] = Napi::Function::New(env, score_hidden_sync, "scoreHiddenSync");
}

}  // namespace covn::binding
