// Work on the engine thread, promises on the JavaScript thread.
//
// One EngineThread per Node environment (main thread or Worker). All Node-API calls happen on the JavaScript
// thread: the engine thread only fills a Pending and posts a message about it.
#pragma once

#include <napi.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "binding/tagged.h"
#include "engine/job_queue.h"

namespace skrr::binding {

// An Error with one of our codes as its `code`.
Napi::Error js_error(Napi::Env env, const std::string& code, const std::string& message);

// What a C++ exception is in JavaScript. Call it where one was caught.
struct Failure {
  std::string code, message;
};
Failure caught();

// A function or method as JavaScript calls it: what it throws becomes an Error with one of our codes, since an exception that
// leaves a callback ends the process. What node-addon-api throws (a TypeError, what a callback threw) it carries over itself.
template <class Call>
Napi::Value guarded(Napi::Env env, Call call) {
  try {
    return call();
  } catch (const Napi::Error&) {
    throw;
  } catch (...) {
    const Failure failure = caught();
    throw js_error(env, failure.code, failure.message);
  }
}

template <Napi::Value (*function)(const Napi::CallbackInfo&)>
Napi::Value entry(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] { return function(info); });
}

// A promise in the making, with what must live until it settles.
struct Pending {
  void report(uint64_t done, uint64_t total) {  // engine thread
    done_bytes.store(done, std::memory_order_relaxed);
    total_bytes.store(total, std::memory_order_relaxed);
    if (on_report) on_report();
  }

  std::optional<Napi::Promise::Deferred> deferred;  // from submit() on: one that is never settled is never freed
  std::vector<Napi::Reference<Napi::Value>> kept;   // arrays of src/ alone, which the engine reads or writes (parse.h)
  Napi::FunctionReference on_progress;             // (doneBytes, totalBytes), may be empty
  std::function<Napi::Value(Napi::Env)> result;    // makes the resolved value, on the JavaScript thread

  std::optional<Failure> failure;  // of a job that failed
  std::atomic<uint64_t> done_bytes{0}, total_bytes{0};
  std::atomic<bool> report_posted{false};  // progress is coalesced: one message on its way at a time
  std::function<void()> on_report;
};

class EngineThread {
 public:
  static void install(Napi::Env env);
  static EngineThread& of(Napi::Env env) { return *env.GetInstanceData<EngineThread>(); }

  explicit EngineThread(Napi::Env env);

  // Runs `work` on the engine thread; what it throws rejects the promise. `pending` must hold all arrays work touches.
  Napi::Promise submit(Napi::Env env, std::shared_ptr<CancelFlag> cancel, std::unique_ptr<Pending> pending,
                       std::function<void(Pending&)> work);

  // Runs `work` that nobody waits for (to free memory off the JavaScript thread; on it where the engine has no thread).
  void submit_detached(std::function<void()> work) noexcept;

  // The JavaScript classes the engine makes objects of.
  Napi::FunctionReference encoder_class, states_class, features_class, map_class, loaded_plan_class, regression_class;

 private:
  struct Message {
    Pending* pending;
    bool settled;
  };
  static void deliver(Napi::Env env, Napi::Function, EngineThread* self, Message* message);
  using Channel = Napi::TypedThreadSafeFunction<EngineThread, Message, deliver>;

  void post(Pending* pending, bool settled);
  void settle(Napi::Env env, Pending& pending);

  Channel channel_;
  int live_ = 0;  // unsettled promises: while there are any, the process stays alive
  std::unique_ptr<JobQueue> queue_;
};

// The JavaScript class CancelToken: cancel() raises the flag of the jobs it was given to.
class CancelToken : public Tagged<CancelToken> {
 public:
  static constexpr Kind kKind = kind("CancelToken", 1);
  static Napi::Function define(Napi::Env env);
  explicit CancelToken(const Napi::CallbackInfo& info) : Tagged<CancelToken>(info) {}
  std::shared_ptr<CancelFlag> flag() const { return flag_; }

 private:
  Napi::Value cancel(const Napi::CallbackInfo& info);
  std::shared_ptr<CancelFlag> flag_ = std::make_shared<CancelFlag>();
};

inline std::shared_ptr<CancelFlag> flag_of(const Napi::Value& value) {
  return CancelToken::Unwrap(value)->flag();
}

}  // namespace skrr::binding
