#include "binding/exports.hpp"

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  covn::binding::export_jobs(env, exports);
  covn::binding::export_devices(env, exports);
  covn::binding::export_fit(env, exports);
  covn::binding::export_hidden(env, exports);
  covn::binding::export_learn(env, exports);
  covn::binding::export_logprob(env, exports);
  covn::binding::export_machine(env, exports);
  covn::binding::export_pair(env, exports);
  covn::binding::export_sample(env, exports);
  covn::binding::export_tabular(env, exports);
  covn::binding::export_tournament(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(covn, init)
