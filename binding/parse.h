// JavaScript objects to engine structures. src/ has checked the values; these check the types, so that a
// mistake on our side is a TypeError and never a wild read.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "binding/jobs.h"
#include "engine/encoder.h"

namespace skrr::binding {

Architecture parse_architecture(const Napi::Object& object);
EncoderSpec parse_spec(const Napi::Object& object);
std::vector<int> parse_ints(const Napi::Value& value, const char* name);
// Throws a RangeError unless each is below `count`.
std::vector<int> parse_slots(const Napi::Value& value, size_t count);
// slots, scales [positions]. A slot is of its position's kind, or kSkipped.
LayerTable parse_table(const Napi::Value& slots, const Napi::Value& scales, size_t positions);

// A typed array of exactly `count` elements of T; throws a TypeError otherwise.
template <class T>
T* array_of(const Napi::Value& value, napi_typedarray_type type, size_t count, const char* name) {
  if (value.IsTypedArray()) {
    const Napi::TypedArray array = value.As<Napi::TypedArray>();
    if (array.TypedArrayType() == type && array.ElementLength() == count) {
      return reinterpret_cast<T*>(static_cast<char*>(array.ArrayBuffer().Data()) + array.ByteOffset());
    }
  }
  throw Napi::TypeError::New(value.Env(), std::string(name) + ": expected a typed array of " + std::to_string(count));
}

// Holds an array until the promise settles and returns its data.
template <class T>
T* keep(Pending& pending, const Napi::Value& value, napi_typedarray_type type, size_t count, const char* name) {
  T* data = array_of<T>(value, type, count, name);
  pending.kept.push_back(Napi::Persistent(value));
  return data;
}

Input parse_input(Pending& pending, const Napi::Object& batch, size_t width);

// A map of rows [width]: { layers: { weight: Float32Array, bias?, rows, columns }[], residual }. Its tensors are views of the
// arrays.
MapSpec parse_map(Pending& pending, const Napi::Object& object, int64_t width);

}  // namespace skrr::binding
