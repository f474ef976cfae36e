// JavaScript objects to engine structures. src/ has checked the values; these check the types, so that a
// mistake on our side is a TypeError and never a wild read.
//
// The memory of a typed array is its caller's: it can be moved to another thread, resized or freed while a job waits, and holding
// the array does not hold it. So everything is copied when a job is submitted (copied()), but for large arrays that src/ made and
// shows to nobody before the job has ended (keep()): results, and the rows that stand in for embeddings.
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

template <class T>
constexpr napi_typedarray_type kArrayType{};
template <>
inline constexpr napi_typedarray_type kArrayType<float> = napi_float32_array;
template <>
inline constexpr napi_typedarray_type kArrayType<double> = napi_float64_array;
template <>
inline constexpr napi_typedarray_type kArrayType<int32_t> = napi_int32_array;
template <>
inline constexpr napi_typedarray_type kArrayType<uint16_t> = napi_uint16_array;
template <>
inline constexpr napi_typedarray_type kArrayType<uint8_t> = napi_uint8_array;

// Elements of a typed array of any type, 0 where its buffer was moved away; throws a TypeError for everything else.
size_t length_of(const Napi::Value& value, const char* name);

// Where the elements of a typed array lie now, whatever buffer it is of; throws a TypeError unless it has `count` elements of `type`.
void* elements_of(const Napi::Value& value, napi_typedarray_type type, size_t count, const char* name);

template <class T>
std::vector<T> copied(const Napi::Value& value, size_t count, const char* name) {
  const T* first = static_cast<const T*>(elements_of(value, kArrayType<T>, count, name));
  return std::vector<T>(first, first + count);
}

// Holds an array until the promise settles and returns its data. Only for arrays that nobody outside src/ has.
template <class T>
T* keep(Pending& pending, const Napi::Value& value, size_t count, const char* name) {
  T* data = static_cast<T*>(elements_of(value, kArrayType<T>, count, name));
  pending.kept.push_back(Napi::Persistent(value));
  return data;
}

// A packed batch (src/prompts/batch.ts) with arrays of its own, but for the embeds, which are kept.
struct OwnedInput {
  std::vector<int32_t> starts, indices, ids;
  std::vector<int32_t> positions;  // empty: the indices
  std::vector<uint8_t> visible;
  const float* embeds = nullptr;

  Input view() const;
};
std::shared_ptr<const OwnedInput> parse_input(Pending& pending, const Napi::Object& batch, size_t width);

// A map of rows [width]: { layers: { weight: Float32Array, bias?, rows, columns }[], residual }. Its tensors are views of `values`.
struct OwnedMap {
  std::vector<std::vector<float>> values;
  MapSpec spec;
};
std::shared_ptr<const OwnedMap> parse_map(const Napi::Object& object, int64_t width);

}  // namespace skrr::binding
