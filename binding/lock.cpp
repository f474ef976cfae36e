#include "binding/lock.h"

#include <sys/file.h>

#include <cerrno>
#include <cstring>

namespace skrr::binding {
namespace {

// On libuv's threads, as Node's own file calls: a file server may take its time to answer.
class LockWorker : public Napi::AsyncWorker {
 public:
  LockWorker(Napi::Env env, int descriptor)
      : Napi::AsyncWorker(env, "skrr lock"), deferred_(Napi::Promise::Deferred::New(env)), descriptor_(descriptor) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    int result = 0;
    do {
      result = flock(descriptor_, LOCK_EX | LOCK_NB);
    } while (result != 0 && errno == EINTR);
    locked_ = result == 0;
    if (!locked_ && errno != EWOULDBLOCK) SetError(std::strerror(errno));
  }

  void OnOK() override { deferred_.Resolve(Napi::Boolean::New(Env(), locked_)); }
  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  const Napi::Promise::Deferred deferred_;
  const int descriptor_;
  bool locked_ = false;
};

}  // namespace

Napi::Value lock_file(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) throw Napi::TypeError::New(info.Env(), "descriptor: expected a number");
  auto* worker = new LockWorker(info.Env(), info[0].As<Napi::Number>().Int32Value());  // frees itself when it is done
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace skrr::binding
