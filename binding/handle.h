// JavaScript handles of what a device holds beside the weights: loaded plans, maps, their fit, a search's states and features.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/jobs.h"
#include "engine/encoder.h"
#include "engine/regression.h"

namespace skrr::binding {

template <class T>
constexpr Kind kHandle{};
template <>
inline constexpr Kind kHandle<States> = kind("States", 3);
template <>
inline constexpr Kind kHandle<Features> = kind("Features", 4);
template <>
inline constexpr Kind kHandle<Map> = kind("Map", 5);
template <>
inline constexpr Kind kHandle<LoadedPlan> = kind("LoadedPlan", 6);
template <>
inline constexpr Kind kHandle<Regression> = kind("Regression", 7);

// A JavaScript object that holds one T on the device. It keeps the encoder alive, whose backend the T belongs to.
// The property `bytes` tells its size; dispose() frees it (so does the garbage collector, later).
template <class T>
class Handle : public Tagged<Handle<T>> {
 public:
  static constexpr Kind kKind = kHandle<T>;

  struct Held {
    std::shared_ptr<Encoder> encoder;
    std::shared_ptr<T> value;
    size_t bytes = 0;
  };

  static Napi::Function define(Napi::Env env);
  static Napi::Value make(Napi::Env env, const Napi::FunctionReference& constructor, Held held);
  // Throws a TypeError for what is no such handle, and for one that was disposed or belongs to another encoder.
  static std::shared_ptr<T> unwrap(const Napi::Value& value, const std::shared_ptr<Encoder>& encoder);

  explicit Handle(const Napi::CallbackInfo& info);
  ~Handle() override;

 private:
  Napi::Value bytes(const Napi::CallbackInfo& info);
  Napi::Value dispose(const Napi::CallbackInfo& info);
  void release(Napi::Env env);
  Held held_;
};

using StatesHandle = Handle<States>;
using FeaturesHandle = Handle<Features>;
using MapHandle = Handle<Map>;
using LoadedPlanHandle = Handle<LoadedPlan>;
using RegressionHandle = Handle<Regression>;

// Null for undefined and null.
template <class T>
std::shared_ptr<T> optional_handle(const Napi::Value& value, const std::shared_ptr<Encoder>& encoder) {
  return value.IsUndefined() || value.IsNull() ? nullptr : Handle<T>::unwrap(value, encoder);
}

// Submits work that makes a T, and resolves with a handle of it.
template <class T, class Make>
Napi::Value submit_handle(Napi::Env env, std::unique_ptr<Pending> pending, std::shared_ptr<CancelFlag> cancel,
                          std::shared_ptr<Encoder> encoder, Napi::FunctionReference EngineThread::*constructor,
                          Make make) {
  auto held = std::make_shared<typename Handle<T>::Held>();
  held->encoder = std::move(encoder);
  pending->result = [held, constructor](Napi::Env env) {
    return Handle<T>::make(env, EngineThread::of(env).*constructor, std::move(*held));
  };
  return EngineThread::of(env).submit(env, std::move(cancel), std::move(pending),
                                      [held, make = std::move(make)](Pending& job) { make(*held, job); });
}

}  // namespace skrr::binding
