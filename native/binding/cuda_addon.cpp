// The addon of the CUDA backend: the functions of the CPU's that have a CUDA path, under the same names, and what the
// device is. An operation without one is not exported.
#include "binding/best_of_n.hpp"
#include "binding/requests.hpp"
#include "binding/scoring.hpp"
#include "covn/cuda.hpp"

namespace covn::binding {

namespace {

// {name, computeCapability, memory, driver, runtime, emulated}, or a status object that says why there is none.
Napi::Value device_info(const Napi::CallbackInfo& info) {
  return guarded(info, [&]() -> Napi::Value {
    const Napi::Env env = info.Env();
    cuda::DeviceInfo device;
    if (const Status status = cuda::device_info(device); !status.ok()) return status_object(env, status);
    const auto version = [](int number) {
      return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
    };
    Napi::Object object = Napi::Object::New(env);
    object["name"] = device.name;
    object["computeCapability"] = std::to_string(device.major) + "." + std::to_string(device.minor);
    object["memory"] = static_cast<double>(device.memory);
    object["driver"] = version(device.driver);
    object["runtime"] = version(device.runtime);
    object["emulated"] = device.emulated;
    return object;
  });
}

Napi::Value open_device(const Napi::CallbackInfo& info) {
  return guarded(info, [&] { return start_filling(info, Arguments(info[0]), made<Job>(cuda::make_open_job)); });
}

std::unique_ptr<ScoreJob> score_job(const Arguments& arguments) {
  return made<ScoreJob>(cuda::make_score_job, logits_request(arguments));
}
Napi::Value score_logits(const Napi::CallbackInfo& info) { return start_scoring(info, score_job); }

std::unique_ptr<ScoreJob> hidden_job(const Arguments& arguments) {
  return made<ScoreJob>(cuda::make_hidden_job, hidden_request(arguments));
}
Napi::Value score_hidden(const Napi::CallbackInfo& info) { return start_scoring(info, hidden_job); }

std::unique_ptr<ScoreJob> pair_job(const Arguments& arguments) {
  return made<ScoreJob>(cuda::make_pair_job, pair_request(arguments));
}
Napi::Value score_pair(const Napi::CallbackInfo& info) { return start_scoring(info, pair_job); }

Napi::Value sample_logits(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    return start_filling(info, arguments, made<Job>(cuda::make_sample_job, sample_request(arguments)));
  });
}

Napi::Value best_of_n(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    return start_filling(info, arguments, made<Job>(cuda::make_best_of_n_job, best_of_n_request(arguments)));
  });
}

Napi::Value pairwise_counts(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    const LogProbMatrix log_probs = log_prob_matrix(arguments);
    return start_pairwise(
        info, arguments,
        made<PairwiseJob>(cuda::make_pairwise_job, log_probs, arguments.doubles("thresholds"), Target::scalar));
  });
}

}  // namespace

void export_cuda(Napi::Env env, Napi::Object exports) {
  exports["deviceInfo"] = Napi::Function::New(env, device_info, "deviceInfo");
  exports["openDevice"] = Napi::Function::New(env, open_device, "openDevice");
  exports["bestOfN"] = Napi::Function::New(env, best_of_n, "bestOfN");
  exports["sampleLogits"] = Napi::Function::New(env, sample_logits, "sampleLogits");
  exports["scoreHidden"] = Napi::Function::New(env, score_hidden, "scoreHidden");
  exports["scoreLogits"] = Napi::Function::New(env, score_logits, "scoreLogits");
  exports["scorePair"] = Napi::Function::New(env, score_pair, "scorePair");
  exports["pairwiseCounts"] = Napi::Function::New(env, pairwise_counts, "pairwiseCounts");
}

}  // namespace covn::binding

namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  covn::binding::export_jobs(env, exports);
  covn::binding::export_cuda(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(covn_cuda, init)
