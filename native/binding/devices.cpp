#include "binding/exports.hpp"

namespace covn::binding {

namespace {

// [{name, available, reason}], the best available last but for those that are not.
Napi::Value targets(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  for (Target target : kTargets) {
    const TargetSupport support = target_support(target);
    Napi::Object entry = Napi::Object::New(env);
    entry["name"] = target_name(target);
    entry["available"] = support.available;
    entry["reason"] = support.reason;
    list.Set(list.Length(), entry);
  }
  return list;
}

Napi::Value best(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), target_name(best_target())); }

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

void export_devices(Napi::Env env, Napi::Object exports) {
  exports["targets"] = Napi::Function::New(env, targets, "targets");
  exports["bestTarget"] = Napi::Function::New(env, best, "bestTarget");
  exports["threadCount"] = Napi::Function::New(env, thread_count, "threadCount");
  exports["cancelJob"] = Napi::Function::New(env, cancel_job, "cancelJob");
}

}  // namespace covn::binding
