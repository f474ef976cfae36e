#include "binding/jobs.h"

#include <new>

namespace skrr::binding {

Napi::Error js_error(Napi::Env env, const std::string& code, const std::string& message) {
  const Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

Failure caught() {
  try {
    throw;
  } catch (const Cancelled&) {
    return {"ERR_CANCELLED", "cancelled"};
  } catch (const Error& error) {
    return {error.code, error.what()};
  } catch (const std::bad_alloc&) {
    return {"ERR_ENGINE", "out of memory"};
  } catch (const std::exception& error) {
    return {"ERR_ENGINE", error.what()};
  } catch (...) {
    return {"ERR_ENGINE", "an exception of no known kind"};
  }
}

void EngineThread::install(Napi::Env env) {
  auto* engine = new EngineThread(env);
  env.SetInstanceData(engine);
  // Runs when a Worker is terminated or the process exits, before the channel closes: cancel, and wait for the thread.
  env.AddCleanupHook([engine] { engine->queue_.reset(); });
}

EngineThread::EngineThread(Napi::Env env)
    : channel_(Channel::New(env, "skrr engine", 0, 1, this)), queue_(std::make_unique<JobQueue>()) {
  channel_.Unref(env);
}

Napi::Promise EngineThread::submit(Napi::Env env, std::shared_ptr<CancelFlag> cancel, std::unique_ptr<Pending> owned,
                                   std::function<void(Pending&)> work) {
  const Napi::Promise promise = owned->deferred.emplace(Napi::Promise::Deferred::New(env)).Promise();
  Pending* pending = owned.get();
  pending->on_report = [this, pending] {
    if (!pending->on_progress.IsEmpty() && !pending->report_posted.exchange(true)) post(pending, false);
  };
  try {
    queue_->submit(std::move(cancel), [this, pending, work = std::move(work)] {
      try {
        work(*pending);
      } catch (...) {
        pending->failure = caught();
      }
      post(pending, true);
    });
  } catch (...) {
    const Failure failure = caught();
    pending->deferred->Reject(js_error(env, failure.code, failure.message).Value());
    return promise;
  }
  owned.release();  // NOLINT(bugprone-unused-return-value): owned by the settling message, which this thread delivers
  if (live_++ == 0) channel_.Ref(env);
  return promise;
}

void EngineThread::submit_detached(std::function<void()> work) noexcept {
  try {
    if (queue_) queue_->submit(std::make_shared<CancelFlag>(), std::move(work));
  } catch (...) {  // no thread, no memory: what `work` held is freed here
  }
}

void EngineThread::post(Pending* pending, bool settled) {
  auto* message = new Message{pending, settled};
  if (channel_.NonBlockingCall(message) != napi_ok) delete message;  // the environment is going away
}

void EngineThread::deliver(Napi::Env env, Napi::Function, EngineThread* self, Message* message) {
  Pending* pending = message->pending;
  const bool settled = message->settled;
  delete message;
  const bool environment_lives = static_cast<napi_env>(env) != nullptr;
  if (!settled) {
    if (!environment_lives) return;
    pending->report_posted.store(false);
    pending->on_progress.Call({Napi::Number::New(env, double(pending->done_bytes.load())),
                               Napi::Number::New(env, double(pending->total_bytes.load()))});
    return;
  }
  const std::unique_ptr<Pending> last(pending);
  if (environment_lives) self->settle(env, *pending);
}

void EngineThread::settle(Napi::Env env, Pending& pending) {
  if (--live_ == 0) channel_.Unref(env);
  if (!pending.failure) {
    try {
      pending.deferred->Resolve(pending.result(env));
      return;
    } catch (const Napi::Error& error) {
      pending.deferred->Reject(error.Value());
      return;
    } catch (...) {
      pending.failure = caught();
    }
  }
  pending.deferred->Reject(js_error(env, pending.failure->code, pending.failure->message).Value());
}

Napi::Function CancelToken::define(Napi::Env env) {
  return DefineClass(env, "CancelToken", {InstanceMethod<&CancelToken::cancel>("cancel")});
}

Napi::Value CancelToken::cancel(const Napi::CallbackInfo& info) {
  flag_->raise();
  return info.Env().Undefined();
}

}  // namespace skrr::binding
