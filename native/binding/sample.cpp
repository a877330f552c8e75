#include "binding/requests.hpp"

namespace covn::binding {

namespace {

Napi::Value sample_logits(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    SampleRequest request = sample_request(arguments);
    request.target = arguments.target("target");
    return start_filling(info, arguments, made<Job>(make_sample_job, request));
  });
}

}  // namespace

void export_sample(Napi::Env env, Napi::Object exports) {
  exports["sampleLogits"] = Napi::Function::New(env, sample_logits, "sampleLogits");
}

}  // namespace covn::binding
