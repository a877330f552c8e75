#include "binding/requests.hpp"

#include "binding/scoring.hpp"

namespace covn::binding {

LogitsRequest logits_request(const Arguments& arguments) {
  LogitsRequest request;
  request.dtype = dtype_of(arguments);
  const NumberView logits = numbers_of(arguments, "logits", request.dtype);
  request.logits = logits.data;
  request.logit_count = logits.length;
  request.vocab = arguments.size("vocab", kMaxVocab);
  request.scoring = scoring_of(arguments);
  return request;
}

HiddenRequest hidden_request(const Arguments& arguments) {
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
  return request;
}

PairRequest pair_request(const Arguments& arguments) {
  PairRequest request;
  request.dtype = dtype_of(arguments);
  const NumberView reference = numbers_of(arguments, "reference", request.dtype);
  request.reference = reference.data;
  request.reference_count = reference.length;
  const NumberView model = numbers_of(arguments, "model", request.dtype);
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
  return request;
}

namespace {

const uint32_t* row_words(const Arguments& arguments, const char* name, size_t rows) {
  const auto words = arguments.view<const uint32_t>(name, napi_uint32_array);
  if (words.length != rows) {
    throw ArgumentError{expected(Code::shape, "one element a row", name, std::to_string(words.length))};
  }
  return words.data;
}

}  // namespace

SampleRequest sample_request(const Arguments& arguments) {
  SampleRequest request;
  request.dtype = dtype_of(arguments);
  const NumberView logits = numbers_of(arguments, "logits", request.dtype);
  request.logits = logits.data;
  request.logit_count = logits.length;
  request.vocab = arguments.size("vocab", kMaxVocab);
  if (request.vocab == 0) throw ArgumentError{expected(Code::range, "an integer >= 1", "vocab", "0")};
  request.rows = logits.length / request.vocab;
  request.samples = arguments.size("samples", kMaxVocab);
  request.filter.temperature = arguments.number("temperature");
  request.filter.top_k = arguments.size("topK", kMaxVocab);
  request.filter.top_p = arguments.number("topP");
  request.filter.min_p = arguments.number("minP");
  request.seed = arguments.seed("seed");
  request.sequences = row_words(arguments, "sequences", request.rows);
  request.positions = row_words(arguments, "positions", request.rows);
  request.first_samples = row_words(arguments, "firstSamples", request.rows);
  const size_t draws = request.rows * request.samples;
  request.tokens = arguments.output<int32_t>("tokens", napi_int32_array, draws);
  request.log_prob = arguments.output<float>("logProb", napi_float32_array, draws);
  request.sampled_log_prob = arguments.output<float>("sampledLogProb", napi_float32_array, draws);
  if (arguments.value("tokens").IsUndefined()) {
    throw ArgumentError{expected(Code::dtype, "an Int32Array", "tokens", "undefined")};
  }
  return request;
}

LogProbMatrix log_prob_matrix(const Arguments& arguments) {
  const auto values = arguments.view<const double>("logProbs", napi_float64_array);
  const size_t models = arguments.size("models", 65535);
  if (models == 0 || values.length % models != 0) {
    throw ArgumentError{expected(Code::shape, "models * n elements", "logProbs", std::to_string(values.length))};
  }
  return {values.data, models, values.length / models};
}

Napi::Value start_filling(const Napi::CallbackInfo& info, const Arguments& arguments, std::unique_ptr<Job> job) {
  return start(info, arguments, std::move(job), [](Napi::Env env) { return env.Undefined(); });
}

Napi::Value start_pairwise(const Napi::CallbackInfo& info, const Arguments& arguments,
                           std::unique_ptr<PairwiseJob> made) {
  std::shared_ptr<PairwiseJob> job = std::move(made);
  return start(info, arguments, job, [job](Napi::Env env) {
    Napi::Float64Array counts = Napi::Float64Array::New(env, job->counts().size());
    for (size_t i = 0; i < job->counts().size(); i++) counts[i] = static_cast<double>(job->counts()[i]);
    return counts;
  });
}

}  // namespace covn::binding
