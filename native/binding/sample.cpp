#include "covn/sample.hpp"

#include "binding/scoring.hpp"

namespace covn::binding {

namespace {

const uint32_t* row_words(const Arguments& arguments, const char* name, size_t rows) {
  const auto words = arguments.view<const uint32_t>(name, napi_uint32_array);
  if (words.length != rows) {
    throw ArgumentError{expected(Code::shape, "one element a row", name, std::to_string(words.length))};
  }
  return words.data;
}

Napi::Value sample_logits(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
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
    request.target = arguments.target("target");
    const size_t draws = request.rows * request.samples;
    request.tokens = arguments.output<int32_t>("tokens", napi_int32_array, draws);
    request.log_prob = arguments.output<float>("logProb", napi_float32_array, draws);
    request.sampled_log_prob = arguments.output<float>("sampledLogProb", napi_float32_array, draws);
    if (arguments.value("tokens").IsUndefined()) {
      throw ArgumentError{expected(Code::dtype, "an Int32Array", "tokens", "undefined")};
    }
    std::unique_ptr<Job> job;
    if (Status status = make_sample_job(request, job); !status.ok()) throw ArgumentError{status};
    return start(info, arguments, std::move(job), [](Napi::Env env) { return env.Undefined(); });
  });
}

}  // namespace

void export_sample(Napi::Env env, Napi::Object exports) {
  exports["sampleLogits"] = Napi::Function::New(env, sample_logits, "sampleLogits");
}

}  // namespace covn::binding
