#include "covn/machine.hpp"

#include "binding/exports.hpp"

namespace covn::binding {

namespace {

// Results: the bytes read, or the floating-point operations done.
Napi::Value start_machine_job(const Napi::CallbackInfo& info, const Arguments& arguments,
                              std::unique_ptr<MachineJob> made) {
  std::shared_ptr<MachineJob> job = std::move(made);
  return start(info, arguments, job, [job](Napi::Env env) { return Napi::Number::New(env, job->work()); });
}

Napi::Value read_memory(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    const auto memory = arguments.view<const float>("memory", napi_float32_array);
    std::unique_ptr<MachineJob> job;
    const Status status =
        make_read_job(memory.data, memory.length, arguments.flag("prefetch"), arguments.target("target"), job);
    if (!status.ok()) throw ArgumentError{status};
    return start_machine_job(info, arguments, std::move(job));
  });
}

Napi::Value multiply_add(const Napi::CallbackInfo& info) {
  return guarded(info, [&] {
    const Arguments arguments(info[0]);
    std::unique_ptr<MachineJob> job;
    const Status status = make_fma_job(arguments.size("chunks", kMaxFmaChunks), arguments.target("target"), job);
    if (!status.ok()) throw ArgumentError{status};
    return start_machine_job(info, arguments, std::move(job));
  });
}

}  // namespace

void export_machine(Napi::Env env, Napi::Object exports) {
  exports["readMemory"] = Napi::Function::New(env, read_memory, "readMemory");
  exports["multiplyAdd"] = Napi::Function::New(env, multiply_add, "multiplyAdd");
}

}  // namespace covn::binding
