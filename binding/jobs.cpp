#include "binding/jobs.h"

#include <new>

namespace skrr::binding {

Napi::Error js_error(Napi::Env env, const std::string& code, const std::string& message) {
  const Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
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
  if (live_++ == 0) channel_.Ref(env);
  Pending* pending = owned.release();  // from here on owned by the settling message
  pending->on_report = [this, pending] {
    if (!pending->on_progress.IsEmpty() && !pending->report_posted.exchange(true)) post(pending, false);
  };
  queue_->submit(std::move(cancel), [this, pending, work = std::move(work)] {
    const auto fail = [pending](const char* code, const char* message) {
      pending->error_code = code;
      pending->error_message = message;
    };
    try {
      work(*pending);
    } catch (const Cancelled&) {
      fail("ERR_CANCELLED", "cancelled");
    } catch (const Error& error) {
      fail(error.code, error.what());
    } catch (const std::bad_alloc&) {
      fail("ERR_ENGINE", "out of memory");
    } catch (const std::exception& error) {
      fail("ERR_ENGINE", error.what());
    }
    post(pending, true);
  });
  return promise;
}

void EngineThread::submit_detached(std::function<void()> work) {
  if (queue_) queue_->submit(std::make_shared<CancelFlag>(), std::move(work));
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
  if (pending.error_code.empty()) {
    pending.deferred->Resolve(pending.result(env));
    return;
  }
  pending.deferred->Reject(js_error(env, pending.error_code, pending.error_message).Value());
}

Napi::Function CancelToken::define(Napi::Env env) {
  return DefineClass(env, "CancelToken", {InstanceMethod<&CancelToken::cancel>("cancel")});
}

Napi::Value CancelToken::cancel(const Napi::CallbackInfo& info) {
  flag_->raise();
  return info.Env().Undefined();
}

}  // namespace skrr::binding
