// Our JavaScript classes, told apart. Node-API unwraps any wrapped object as whatever class is asked for; an object of another
// class would be read as memory it does not have.
#pragma once

#include <napi.h>

#include <string>

namespace skrr::binding {

// Of one class: its name, and the number that marks its objects.
struct Kind {
  const char* name;
  napi_type_tag tag;
};

constexpr Kind kind(const char* name, uint64_t number) { return {name, {0x736b72722d616464u, number}}; }

// Of T::kKind. Methods see objects of T alone as `this`: node-addon-api gets it by T::Unwrap.
template <class T>
class Tagged : public Napi::ObjectWrap<T> {
 public:
  explicit Tagged(const Napi::CallbackInfo& info) : Napi::ObjectWrap<T>(info) {
    info.This().As<Napi::Object>().TypeTag(&T::kKind.tag);
  }

  // Throws a TypeError for every other value.
  static T* Unwrap(const Napi::Value& value) {
    if (value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&T::kKind.tag)) {
      return Napi::ObjectWrap<T>::Unwrap(value.As<Napi::Object>());
    }
    throw Napi::TypeError::New(value.Env(), std::string("found another value, expected an object of ") + T::kKind.name);
  }
};

}  // namespace skrr::binding
