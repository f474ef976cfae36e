#include "binding/handle.h"

namespace skrr::binding {

template <class T>
Napi::Function Handle<T>::define(Napi::Env env) {
  return Napi::ObjectWrap<Handle<T>>::DefineClass(
      env, kKind.name,
      {Napi::ObjectWrap<Handle<T>>::template InstanceAccessor<&Handle<T>::bytes>("bytes"),
       Napi::ObjectWrap<Handle<T>>::template InstanceMethod<&Handle<T>::dispose>("dispose")});
}

template <class T>
Napi::Value Handle<T>::make(Napi::Env env, const Napi::FunctionReference& constructor, Held held) {
  return constructor.New({Napi::External<Held>::New(env, &held)});
}

template <class T>
Handle<T>::Handle(const Napi::CallbackInfo& info) : Tagged<Handle<T>>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "made by an Encoder only");
  held_ = std::move(*info[0].As<Napi::External<Held>>().Data());
}

template <class T>
Handle<T>::~Handle() {
  release(this->Env());
}

template <class T>
std::shared_ptr<T> Handle<T>::unwrap(const Napi::Value& value, const std::shared_ptr<Encoder>& encoder) {
  const Held& held = Handle<T>::Unwrap(value)->held_;
  if (held.value && held.encoder == encoder) return held.value;
  throw Napi::TypeError::New(value.Env(), held.value ? "a handle of another encoder" : "a handle that was disposed");
}

template <class T>
Napi::Value Handle<T>::bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), double(held_.bytes));
}

template <class T>
Napi::Value Handle<T>::dispose(const Napi::CallbackInfo& info) {
  release(info.Env());
  return info.Env().Undefined();
}

// Freed on the engine thread: a job that still reads it comes before.
template <class T>
void Handle<T>::release(Napi::Env env) {
  EngineThread* engine = env.GetInstanceData<EngineThread>();
  if (held_.value && engine) engine->submit_detached([held = std::move(held_)] {});
  held_ = {};
}

template class Handle<States>;
template class Handle<Features>;
template class Handle<Map>;
template class Handle<LoadedPlan>;
template class Handle<Regression>;

}  // namespace skrr::binding
