// The functions that each domain adds to the addon's exports.
#pragma once

#include <napi.h>

#include "binding/arguments.hpp"
#include "binding/environment.hpp"

namespace covn::binding {

void export_cuda(Napi::Env env, Napi::Object exports);
void export_devices(Napi::Env env, Napi::Object exports);
void export_fit(Napi::Env env, Napi::Object exports);
void export_hidden(Napi::Env env, Napi::Object exports);
// Makes the environment; comes first. What jobs of every kind need.
void export_jobs(Napi::Env env, Napi::Object exports);
void export_learn(Napi::Env env, Napi::Object exports);
void export_logprob(Napi::Env env, Napi::Object exports);
void export_machine(Napi::Env env, Napi::Object exports);
void export_pair(Napi::Env env, Napi::Object exports);
void export_sample(Napi::Env env, Napi::Object exports);
void export_tabular(Napi::Env env, Napi::Object exports);
void export_tournament(Napi::Env env, Napi::Object exports);

// Calls `body` and turns what it throws into a status object. A body returns a status object or null.
template <class Body>
Napi::Value guarded(const Napi::CallbackInfo& info, Body body) {
  try {
    return body();
  } catch (const ArgumentError& error) {
    return status_object(info.Env(), error.status);
  } catch (const std::bad_alloc&) {
    return status_object(info.Env(), {Code::out_of_memory, "Out of memory"});
  } catch (const Napi::Error&) {
    throw;  // JavaScript's own, from a getter for instance
  } catch (const std::exception& error) {
    return status_object(info.Env(), {Code::internal, error.what()});
  }
}

// Starts an asynchronous job: arguments (request, settled, progress). Returns its id, for cancelJob.
inline Napi::Value start(const Napi::CallbackInfo& info, const Arguments& arguments, std::shared_ptr<Job> job,
                         Environment::MakeResult make_result) {
  if (info.Length() < 2 || !info[1].IsFunction()) {
    throw ArgumentError{expected(Code::dtype, "a function", "settled", "another value")};
  }
  const auto threads = static_cast<unsigned>(arguments.size("threads", 4096));
  const Napi::Value progress = info.Length() > 2 ? info[2] : info.Env().Undefined();
  const uint32_t id = Environment::of(info.Env())
                          .run(std::move(job), threads, arguments.views(), info[1].As<Napi::Function>(), progress,
                               std::move(make_result));
  return Napi::Number::New(info.Env(), id);
}

}  // namespace covn::binding
