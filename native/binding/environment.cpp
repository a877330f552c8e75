#include "binding/environment.hpp"

namespace covn::binding {

struct Environment::Pending {
  std::shared_ptr<Job> job;
  std::vector<Napi::Reference<Napi::Value>> pins;
  Napi::FunctionReference settled;
  Napi::FunctionReference progress;
  MakeResult make_result;
};

// From a worker thread: a job's outcome, or its progress.
struct Environment::Message {
  uint32_t id;
  bool is_outcome;
  Status status;
  double progress;
};

namespace {

const char* code_name(Code code) {
  switch (code) {
    case Code::ok: return "";
    case Code::shape: return "ERR_COVN_SHAPE";
    case Code::dtype: return "ERR_COVN_DTYPE";
    case Code::range: return "ERR_COVN_RANGE";
    case Code::non_finite: return "ERR_COVN_NON_FINITE";
    case Code::device: return "ERR_COVN_DEVICE";
    case Code::cancelled: return "cancelled";
    case Code::out_of_memory:
    case Code::internal: return "ERR_COVN_ADDON";
  }
  return "ERR_COVN_ADDON";
}

}  // namespace

Napi::Value status_object(Napi::Env env, const Status& status) {
  if (status.ok()) return env.Null();
  Napi::Object object = Napi::Object::New(env);
  object["code"] = code_name(status.code);
  object["message"] = status.message;
  return object;
}

void Environment::attach(Napi::Env env) { env.SetInstanceData(new Environment(env)); }

Environment::Environment(Napi::Env env) : env_(env), pool_(ThreadPool::acquire()) {
  napi_status status = napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "covn"), 0, 1,
                                                       nullptr, nullptr, this, &Environment::on_message, &channel_);
  if (status != napi_ok) {
    ThreadPool::release();
    throw Napi::Error::New(env, "Could not make the channel to the worker threads");
  }
  // An idle channel must not keep the process alive.
  napi_unref_threadsafe_function(env, channel_);
  // Hooks run last in, first out: this one before the channel's own, which closes it.
  napi_add_env_cleanup_hook(env, &Environment::on_cleanup, this);
}

Environment::~Environment() = default;

uint32_t Environment::run(std::shared_ptr<Job> job, unsigned threads, const std::vector<Napi::Value>& pins,
                          Napi::Function settled, Napi::Value progress, MakeResult make_result) {
  const uint32_t id = next_id_++;
  auto pending = std::make_unique<Pending>();
  for (const Napi::Value& pin : pins) pending->pins.push_back(Napi::Reference<Napi::Value>::New(pin, 1));
  pending->settled = Napi::Persistent(settled);
  pending->job = job;
  pending->make_result = std::move(make_result);
  if (progress.IsFunction()) {
    pending->progress = Napi::Persistent(progress.As<Napi::Function>());
    job->on_progress = [this, id](double fraction) { post(new Message{id, false, {}, fraction}); };
  }
  // Made now, so that a worker thread needs no memory to say that the job has ended.
  auto* outcome = new Message{id, true, {}, 1.0};
  auto settle = [this, outcome](Status status) {
    outcome->status = std::move(status);
    post(outcome);
    // After this nothing of the job or of the environment is touched from this thread. Notified under the lock, since
    // the waiting thread may destroy the condition as soon as it can take it.
    std::lock_guard lock(mutex_);
    if (--running_ == 0) idle_.notify_all();
  };
  pending_.emplace(id, std::move(pending));
  {
    std::lock_guard lock(mutex_);
    running_++;
  }
  try {
    pool_.submit(std::move(job), threads, std::move(settle));
  } catch (...) {
    delete outcome;
    pending_.erase(id);
    std::lock_guard lock(mutex_);
    running_--;
    throw;
  }
  if (pending_.size() == 1) napi_ref_threadsafe_function(env_, channel_);
  return id;
}

void Environment::cancel(uint32_t id) {
  if (const auto found = pending_.find(id); found != pending_.end()) pool_.cancel(*found->second->job);
}

void Environment::post(Message* message) noexcept {
  // Fails only when the environment is closing: then nobody waits for the message.
  if (napi_call_threadsafe_function(channel_, message, napi_tsfn_nonblocking) != napi_ok) delete message;
}

void Environment::on_message(napi_env env, napi_value, void* context, void* data) {
  std::unique_ptr<Message> message(static_cast<Message*>(data));
  if (env == nullptr) return;  // the environment is closing
  static_cast<Environment*>(context)->deliver(Napi::Env(env), *message);
}

void Environment::deliver(Napi::Env env, const Message& message) {
  Napi::HandleScope scope(env);
  const auto found = pending_.find(message.id);
  if (found == pending_.end()) return;
  try {
    if (!message.is_outcome) {
      found->second->progress.Call({Napi::Number::New(env, message.progress)});
      return;
    }
    std::unique_ptr<Pending> pending = std::move(found->second);
    pending_.erase(found);
    if (pending_.empty()) napi_unref_threadsafe_function(env, channel_);
    Status status = message.status;
    Napi::Value result = env.Undefined();
    if (status.ok()) {
      try {
        result = pending->make_result(env);
      } catch (const std::exception&) {  // Napi::Error among them: the result is too large for JavaScript
        if (env.IsExceptionPending()) env.GetAndClearPendingException();
        status = {Code::out_of_memory, "Out of memory for the result of a native job"};
      }
    }
    pending->settled.Call({status_object(env, status), result});
  } catch (const Napi::Error& error) {
    // The TypeScript face's callbacks do not throw. What comes here is an environment that is ending, in which no
    // exception can be raised any more; so the raw call, whose failure is of no interest.
    if (!error.IsEmpty()) napi_throw(env, error.Value());
  } catch (const std::exception&) {
    napi_throw_error(env, "ERR_COVN_ADDON", "Out of memory");
  }
}

void Environment::on_cleanup(void* environment) { static_cast<Environment*>(environment)->shut_down(); }

void Environment::shut_down() {
  for (auto& [id, pending] : pending_) pool_.cancel(*pending->job);
  {
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return running_ == 0; });
  }
  pending_.clear();
  napi_release_threadsafe_function(channel_, napi_tsfn_abort);
  ThreadPool::release();
}

}  // namespace covn::binding
