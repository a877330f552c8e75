#include <mutex>
#include <string>
#include <unordered_map>

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

// What one environment has found out about this machine, for the others of the process: text under a name.
std::mutex findings_mutex;
std::unordered_map<std::string, std::string>& findings() {
  static auto* const all = new std::unordered_map<std::string, std::string>();  // worker threads may outlive statics
  return *all;
}

// (name): the text, or undefined. (name, text): keeps it.
Napi::Value finding(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() == 0 || !info[0].IsString()) return env.Undefined();
  const std::string name = info[0].As<Napi::String>().Utf8Value();
  std::lock_guard lock(findings_mutex);
  if (info.Length() > 1 && info[1].IsString()) findings()[name] = info[1].As<Napi::String>().Utf8Value();
  const auto found = findings().find(name);
  return found == findings().end() ? env.Undefined() : Napi::String::New(env, found->second);
}

}  // namespace

void export_devices(Napi::Env env, Napi::Object exports) {
  exports["targets"] = Napi::Function::New(env, targets, "targets");
  exports["bestTarget"] = Napi::Function::New(env, best, "bestTarget");
  exports["finding"] = Napi::Function::New(env, finding, "finding");
}

}  // namespace covn::binding
