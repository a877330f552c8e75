#include "binding/requests.hpp"
#include "binding/scoring.hpp"

namespace covn::binding {

namespace {

std::unique_ptr<ScoreJob> hidden_job(const Arguments& arguments) {
  HiddenRequest request = hidden_request(arguments);
  request.scoring.target = arguments.target("target");
  return made<ScoreJob>(make_hidden_job, std::move(request));
}

Napi::Value score_hidden(const Napi::CallbackInfo& info) { return start_scoring(info, hidden_job); }
Napi::Value score_hidden_sync(const Napi::CallbackInfo& info) { return score_now(info, hidden_job); }

}  // namespace

void export_hidden(Napi::Env env, Napi::Object exports) {
  exports["scoreHidden"] = Napi::Function::New(env, score_hidden, "scoreHidden");
  exports["scoreHiddenSync"] = Napi::Function::New(env, score_hidden_sync, "scoreHiddenSync");
}

}  // namespace covn::binding
