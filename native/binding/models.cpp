#include "binding/models.hpp"

#include "learn/linear_machine.hpp"

namespace covn::binding {

namespace {

// Tells a model's handle from every other object: what is unwrapped is then what was wrapped, also by another addon
// that was built from the same classes. The number is to be raised when these change and keep their sizes.
constexpr uint64_t kModelClasses = 1;
constexpr napi_type_tag kModelTag{0x9d1f2b6a4c7e4f03, kModelClasses << 48 ^ sizeof(TabularMachine) << 32 ^
                                                          sizeof(TabularRows) << 22 ^ sizeof(RolloutTables) << 12 ^
                                                          sizeof(LinearMachine)};

// Models live outside the heap of JavaScript, which has to know their size: it would otherwise see no reason to collect
// them.
void report_bytes(napi_env env, int64_t change) {
  int64_t total = 0;
  (void)napi_adjust_external_memory(env, change, &total);
}

void delete_model(napi_env env, void* data, void*) {
  const auto* const model = static_cast<ModelHandle*>(data);
  report_bytes(env, -static_cast<int64_t>((*model)->bytes()));
  delete model;
}

void delete_tokens(napi_env, void* data, void*) { delete[] static_cast<int32_t*>(data); }

// Memory that a worker filled as an Int32Array: without a copy, where the runtime allows memory from outside.
Napi::Value tokens_of(Napi::Env env, std::unique_ptr<int32_t[]> tokens, size_t count) {
  napi_value buffer = nullptr;
  const size_t bytes = count * sizeof(int32_t);
  if (count > 0) {
    const napi_status status =
        napi_create_external_arraybuffer(env, tokens.get(), bytes, delete_tokens, nullptr, &buffer);
    if (status != napi_no_external_buffers_allowed) {
      // Theirs now. Where they are too many for one buffer, the call has thrown, and deleted them before that.
      tokens.release();
      if (status != napi_ok) throw Napi::Error::New(env);
      return Napi::Int32Array::New(env, count, Napi::ArrayBuffer(env, buffer), 0);
    }
  }
  Napi::Int32Array copy = Napi::Int32Array::New(env, count);
  std::copy_n(tokens.get(), count, copy.Data());
  return copy;
}

}  // namespace

Napi::Value wrap_model(Napi::Env env, ModelHandle model) {
  Napi::Object object = Napi::Object::New(env);
  object.TypeTag(&kModelTag);
  auto owned = std::make_unique<ModelHandle>(std::move(model));
  if (napi_wrap(env, object, owned.get(), delete_model, nullptr, nullptr) != napi_ok) {
    throw Napi::Error::New(env, "Could not keep a model");
  }
  report_bytes(env, static_cast<int64_t>((*owned)->bytes()));
  owned.release();
  return object;
}

ModelHandle model_of(const Arguments& arguments, const char* name) {
  const Napi::Value value = arguments.value(name);
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&kModelTag)) {
    throw ArgumentError{expected(Code::dtype, "a tabular model of this build of covn", name, "another value")};
  }
  void* data = nullptr;
  if (napi_unwrap(value.Env(), value, &data) != napi_ok || data == nullptr) {
    throw ArgumentError{expected(Code::dtype, "a tabular model of this build of covn", name, "another value")};
  }
  return *static_cast<ModelHandle*>(data);
}

ModelHandle linear_of(const Arguments& arguments, const char* name) {
  ModelHandle model = model_of(arguments, name);
  if (model->linear() == nullptr) throw ArgumentError{expected(Code::dtype, "a linear model", name, "another")};
  return model;
}

TabularRows machine_of_input(const Arguments& arguments) {
  TabularRows rows;
  rows.vocab = arguments.size("vocab", 0x7fffffff);
  rows.next = copy_of<int32_t>(arguments, "next", napi_int32_array);
  if (!arguments.value("offsets").IsUndefined()) {
    rows.offsets = arguments.offsets("offsets");
    rows.tokens = copy_of<int32_t>(arguments, "tokens", napi_int32_array);
    if (rows.offsets.empty()) throw ArgumentError{expected(Code::shape, "at least one element", "offsets", "0")};
  }
  rows.starts = copy_of<int32_t>(arguments, "start", napi_int32_array);
  rows.stops = copy_of<int32_t>(arguments, "stop", napi_int32_array);
  return rows;
}

Napi::Value drawn_responses(Napi::Env env, TabularSampleJob& job) {
  const std::vector<uint32_t>& lengths = job.lengths();
  const size_t count = lengths.size();
  Napi::Float64Array offsets = Napi::Float64Array::New(env, count + 1);
  double* const ends = offsets.Data();
  double total = 0.0;
  for (size_t i = 0; i < count; i++) {
    ends[i] = total;
    total += lengths[i];
  }
  ends[count] = total;
  Napi::Float64Array log_probs = Napi::Float64Array::New(env, count);
  std::copy(job.log_probs().begin(), job.log_probs().end(), log_probs.Data());
  Napi::Uint8Array ended = Napi::Uint8Array::New(env, count);
  std::copy(job.ended().begin(), job.ended().end(), ended.Data());
  Napi::Object result = Napi::Object::New(env);
  result["tokens"] = tokens_of(env, job.take_tokens(), static_cast<size_t>(total));
  result["offsets"] = offsets;
  result["logProbs"] = log_probs;
  result["ended"] = ended;
  return result;
}

ResponseView response_view(const Arguments& arguments) {
  const auto prompts = arguments.view<const int32_t>("prompts", napi_int32_array);
  const auto tokens = arguments.view<const int32_t>("tokens", napi_int32_array);
  ResponseView responses{prompts.data, tokens.data, tokens.length, arguments.offsets("offsets")};
  if (responses.offsets.size() != prompts.length + 1) {
    throw ArgumentError{expected(Code::shape, "one prompt a response", "prompts", std::to_string(prompts.length))};
  }
  return responses;
}

TabularSampling sampling_of(const Arguments& arguments) {
  TabularSampling request;
  const auto prompts = arguments.view<const uint32_t>("prompts", napi_uint32_array);
  const auto samples = arguments.view<const uint32_t>("samples", napi_uint32_array);
  if (prompts.length != samples.length) {
    throw ArgumentError{expected(Code::shape, "one sample a prompt", "samples", std::to_string(samples.length))};
  }
  request.prompts = prompts.data;
  request.samples = samples.data;
  request.responses = prompts.length;
  request.seed = arguments.seed("seed");
  request.max_length = arguments.size("maxLength", kMaxResponseLength);
  request.target = arguments.target("target");
  return request;
}

double* required(const Arguments& arguments, const char* name, size_t length) {
  if (arguments.value(name).IsUndefined()) {
    throw ArgumentError{expected(Code::dtype, "a Float64Array", name, "undefined")};
  }
  return arguments.output<double>(name, napi_float64_array, length);
}

}  // namespace covn::binding
