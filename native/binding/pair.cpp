#include "binding/requests.hpp"
#include "binding/scoring.hpp"

namespace covn::binding {

namespace {

std::unique_ptr<ScoreJob> pair_job(const Arguments& arguments) {
  PairRequest request = pair_request(arguments);
  request.tokens.target = arguments.target("target");
  return made<ScoreJob>(make_pair_job, std::move(request));
}

Napi::Value score_pair(const Napi::CallbackInfo& info) { return start_scoring(info, pair_job); }

}  // namespace

void export_pair(Napi::Env env, Napi::Object exports) {
  exports["scorePair"] = Napi::Function::New(env, score_pair, "scorePair");
}

}  // namespace covn::binding
