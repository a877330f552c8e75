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
}

}  // namespace covn::binding
