#include "binding/models.hpp"

namespace covn::binding {

namespace {

// Tells a model's handle from every other object: what is unwrapped is then what was wrapped.
constexpr napi_type_tag kModelTag{0x9d1f2b6a4c7e4f03, 0xa86e5d0c3b2f1748};

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
    throw ArgumentError{expected(Code::dtype, "a tabular model", name, "another value")};
  }
  void* data = nullptr;
  if (napi_unwrap(value.Env(), value, &data) != napi_ok || data == nullptr) {
    throw ArgumentError{expected(Code::dtype, "a tabular model", name, "another value")};
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

double* required(const Arguments& arguments, const char* name, size_t length) {
  if (arguments.value(name).IsUndefined()) {
    throw ArgumentError{expected(Code::dtype, "a Float64Array", name, "undefined")};
  }
  return arguments.output<double>(name, napi_float64_array, length);
}

}  // namespace covn::binding
