#include "binding/exports.hpp"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  covn::binding::Environment::attach(env);
  covn::binding::export_devices(env, exports);
  covn::binding::export_logprob(env, exports);
  covn::binding::export_tournament(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(covn, init)
