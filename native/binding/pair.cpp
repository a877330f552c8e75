#include "covn/pair.hpp"

#include "binding/scoring.hpp"

namespace covn::binding {

namespace {

std::unique_ptr<ScoreJob> pair_job(const Arguments& arguments) {
  PairRequest request;
  request.dtype = dtype_of(arguments);
  const auto reference = numbers_of(arguments, "reference", request.dtype);
  request.reference = reference.data;
  request.reference_count = reference.length;
  const auto model = numbers_of(arguments, "model", request.dtype);
  request.model = model.data;
  request.model_count = model.length;
  request.vocab = arguments.size("vocab", kMaxVocab);
  read_tokens(arguments, request.tokens);
  request.log_ratio = response_output(arguments, "logRatio", request.tokens);
  request.kl = response_output(arguments, "kl", request.tokens);
  request.hellinger = response_output(arguments, "hellinger", request.tokens);
  const size_t rows = request.tokens.rows;
  request.token_log_ratio = arguments.output<float>("tokenLogRatio", napi_float32_array, rows);
  request.token_kl = arguments.output<float>("tokenKl", napi_float32_array, rows);
  request.token_hellinger = arguments.output<float>("tokenHellinger", napi_float32_array, rows);
  std::unique_ptr<ScoreJob> job;
  if (Status status = make_pair_job(std::move(request), job); !status.ok()) throw ArgumentError{status};
  return job;
}

Napi::Value score_pair(const Napi::CallbackInfo& info) { return start_scoring(info, pair_job); }

}  // namespace

void export_pair(Napi::Env env, Napi::Object exports) {
  exports["scorePair"] = Napi::Function::New(env, score_pair, "scorePair");
}

}  // namespace covn::binding
