#include "binding/exports.hpp"

namespace covn::binding {

namespace {

Napi::Value thread_count(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), Environment::of(info.Env()).thread_count());
}

Napi::Value cancel_job(const Napi::CallbackInfo& info) {
  if (info.Length() > 0 && info[0].IsNumber()) {
    Environment::of(info.Env()).cancel(info[0].As<Napi::Number>().Uint32Value());
  }
  return info.Env().Undefined();
}

// Detaches the buffers of typed arrays: their memory is freed now or at the event loop's next turn, not once they are
// collected. Every view of a detached buffer has length 0. No job reads memory that a caller can detach
// (environment.hpp), so none loses it by this.
Napi::Value detach(const Napi::CallbackInfo& info) {
  for (size_t i = 0; i < info.Length(); i++) {
    if (!info[i].IsTypedArray()) continue;
    // What cannot be detached stays as it is, until it is collected.
    (void)napi_detach_arraybuffer(info.Env(), info[i].As<Napi::TypedArray>().ArrayBuffer());
  }
  return info.Env().Undefined();
}

// Tells V8 of so many bytes more (or less) outside of its heap. Gives what it then believes to be there.
Napi::Value report_memory(const Napi::CallbackInfo& info) {
  constexpr int64_t kMost = int64_t{1} << 40;
  int64_t change = info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().Int64Value() : 0, total = 0;
  if (change < -kMost || change > kMost) change = 0;
  (void)napi_adjust_external_memory(info.Env(), change, &total);
  return Napi::Number::New(info.Env(), static_cast<double>(total));
}

}  // namespace

void export_jobs(Napi::Env env, Napi::Object exports) {
  try {
    Environment::attach(env);
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {  // no thread could be started
    throw Napi::Error::New(env, std::string("Could not start the native layer: ") + error.what());
  }
  exports["threadCount"] = Napi::Function::New(env, thread_count, "threadCount");
  exports["cancelJob"] = Napi::Function::New(env, cancel_job, "cancelJob");
  exports["detach"] = Napi::Function::New(env, detach, "detach");
  exports["reportMemory"] = Napi::Function::New(env, report_memory, "reportMemory");
}

}  // namespace covn::binding
