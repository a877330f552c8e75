// One for each Node environment (the main thread, and every worker_thread that loads the addon): the jobs in flight and
// the way back from the worker threads to JavaScript.
//
// A job's inputs and outputs are typed arrays that the TypeScript face made for it alone, or shared memory: nobody else
// can detach them, and the references held here keep them from being collected while a worker thread uses them.
#pragma once

#include <napi.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/thread_pool.hpp"
#include "covn/job.hpp"

namespace covn::binding {

class Environment {
 public:
  // Makes the environment's instance and stores it as the addon's instance data.
  static void attach(Napi::Env env);
  static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  explicit Environment(Napi::Env env);
  ~Environment();

  // What a job becomes for JavaScript when it has succeeded; runs on the JavaScript thread.
  using MakeResult = std::function<Napi::Value(Napi::Env)>;

  // Runs a job on the pool. `settled(error, result)` is called once, unless the environment ends first; `progress` may
  // be undefined. `pins` are kept alive until then. Returns the id that cancel() takes.
  uint32_t run(std::shared_ptr<Job> job, unsigned threads, const std::vector<Napi::Value>& pins, Napi::Function settled,
               Napi::Value progress, MakeResult make_result);
  void cancel(uint32_t id);

  unsigned thread_count() const { return pool_.thread_count(); }

 private:
  struct Pending;
  struct Message;

  static void on_message(napi_env env, napi_value callback, void* context, void* data);
  static void on_cleanup(void* environment);
  void deliver(Napi::Env env, const Message& message);
  // Takes the message.
  void post(Message* message) noexcept;
  void shut_down();

  Napi::Env env_;
  ThreadPool& pool_;
  napi_threadsafe_function channel_ = nullptr;
  uint32_t next_id_ = 1;
  std::unordered_map<uint32_t, std::unique_ptr<Pending>> pending_;

  // Jobs that a worker thread may still touch; shut_down() waits until there is none.
  std::mutex mutex_;
  std::condition_variable idle_;
  size_t running_ = 0;
};

// {code, message}, from which the TypeScript face makes its error.
Napi::Value status_object(Napi::Env env, const Status& status);

}  // namespace covn::binding
