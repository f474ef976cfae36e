#include "binding/parse.h"

#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "binding/limits.h"

namespace skrr::binding {
namespace {

Napi::Value field(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined()) throw Napi::TypeError::New(object.Env(), std::string(name) + ": missing");
  return value;
}

double number(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsNumber()) throw Napi::TypeError::New(object.Env(), std::string(name) + ": expected a number");
  return value.As<Napi::Number>().DoubleValue();
}

Napi::RangeError out_of_range(const Napi::Env& env, const std::string& name, const std::string& found, const Range& range) {
  return Napi::RangeError::New(env, name + ": found " + found + ", expected an integer from " + std::to_string(range.min) +
                                        " to " + std::to_string(range.max));
}

// Casting a double that an int cannot hold is undefined: it is compared before it is cast.
int64_t integer(const Napi::Object& object, const char* name, const Range& range) {
  const double value = number(object, name);
  if (value >= double(range.min) && value <= double(range.max) && value == std::floor(value)) return int64_t(value);
  throw out_of_range(object.Env(), name, std::to_string(value), range);
}

int small(const Napi::Object& object, const char* name, const Range& range) { return int(integer(object, name, range)); }

// Above 0 and finite, also as a float.
float factor(const Napi::Object& object, const char* name) {
  const double value = number(object, name);
  if (value <= double(std::numeric_limits<float>::max()) && float(value) > 0) return float(value);
  throw Napi::RangeError::New(object.Env(),
                              std::string(name) + ": found " + std::to_string(value) + ", expected a finite number above 0");
}

std::string text(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsString()) throw Napi::TypeError::New(object.Env(), std::string(name) + ": expected a string");
  return value.As<Napi::String>().Utf8Value();
}

Napi::Array list(const Napi::Object& object, const char* name) {
  const Napi::Value value = field(object, name);
  if (!value.IsArray()) throw Napi::TypeError::New(object.Env(), std::string(name) + ": expected an array");
  return value.As<Napi::Array>();
}

bool flag(const Napi::Object& object, const char* name) { return field(object, name).ToBoolean(); }

// The object under `name`, or null where there is none.
std::optional<Napi::Object> optional_object(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (!value.IsObject()) return std::nullopt;
  return value.As<Napi::Object>();
}

// The index of the one of `list` that has this name.
template <class List, class Name>
int index_of(const Napi::Env& env, const char* what, const std::string& wanted, const List& list, Name name) {
  int index = 0;
  for (const auto& each : list) {
    if (wanted == name(each)) return index;
    index++;
  }
  throw Napi::TypeError::New(env, std::string(what) + ": found " + wanted);
}

Norm parse_norm(const Napi::Object& object) {
  const std::string kind = text(object, "kind");
  if (kind != "rms" && kind != "layer") throw Napi::TypeError::New(object.Env(), "norm: found " + kind);
  return {kind == "layer" ? Norm::Kind::kLayer : Norm::Kind::kRms, factor(object, "epsilon")};
}

std::optional<Norm> parse_optional_norm(const Napi::Object& object, const char* name) {
  const std::optional<Napi::Object> norm = optional_object(object, name);
  if (!norm) return std::nullopt;
  return parse_norm(*norm);
}

Distance parse_distance(const Napi::Object& object) {
  Distance distance;
  if (const std::optional<Napi::Object> buckets = optional_object(object, "buckets")) {
    distance.buckets = small(*buckets, "count", kBuckets);
    // beyond the exact distances, a quarter of the buckets, the others are spread up to `max`
    distance.max_distance = small(*buckets, "max", {distance.buckets / 4 + 1, kDistance.max});
  }
  if (object.Get("ahead").IsNumber()) distance.ahead = small(object, "ahead", kDistance);
  if (object.Get("back").IsNumber()) distance.back = small(object, "back", kDistance);
  return distance;
}

Rope parse_rope(const Napi::Object& object, int head_dim) {
  Rope rope;
  const Napi::Value frequencies = object.Get("frequencies");
  const size_t pairs = length_of(frequencies, "rope.frequencies");
  if (pairs == 0 || 2 * pairs > size_t(head_dim)) {
    throw Napi::RangeError::New(object.Env(), "rope.frequencies: found " + std::to_string(pairs) + ", expected 1 to headDim / 2");
  }
  rope.frequencies = copied<double>(frequencies, pairs, "rope.frequencies");
  for (const double frequency : rope.frequencies) {
    if (!(frequency >= 0 && frequency <= 1)) throw Napi::RangeError::New(object.Env(), "rope.frequencies: expected numbers from 0 to 1");
  }
  rope.interleaved = flag(object, "interleaved");
  rope.magnitude = factor(object, "magnitude");
  if (const std::optional<Napi::Object> query = optional_object(object, "query")) {
    rope.query_beta = factor(*query, "beta");
    rope.query_period = small(*query, "period", kDistance);
  }
  return rope;
}

Bias parse_bias(const Napi::Object& object) {
  constexpr std::array<const char*, 3> names{"none", "qkv", "all"};
  return Bias(index_of(object.Env(), "bias", text(object, "bias"), names, [](const char* name) { return name; }));
}

Attention parse_attention(const Napi::Object& object) {
  Attention a;
  a.norm = parse_norm(field(object, "norm").ToObject());
  a.post_norm = parse_optional_norm(object, "postNorm");
  a.heads = small(object, "heads", kHeads);
  a.key_heads = small(object, "keyHeads", {1, a.heads});
  if (a.heads % a.key_heads != 0) throw Napi::RangeError::New(object.Env(), "keyHeads: expected a divisor of heads");
  a.head_dim = small(object, "headDim", kHeadDim);
  a.bias = parse_bias(object);
  a.head_norm = parse_optional_norm(object, "headNorm");
  a.scale = factor(object, "scale");
  if (object.Get("softcap").IsNumber()) a.softcap = factor(object, "softcap");
  a.distance = parse_distance(field(object, "distance").ToObject());
  if (const std::optional<Napi::Object> rope = optional_object(object, "rope")) a.rope = parse_rope(*rope, a.head_dim);
  a.unseeing = text(object, "unseeing") == "zero" ? Unseeing::kZero : Unseeing::kMean;
  return a;
}

FeedForward parse_feed_forward(const Napi::Object& object) {
  FeedForward f;
  f.norm = parse_norm(field(object, "norm").ToObject());
  f.post_norm = parse_optional_norm(object, "postNorm");
  f.inner = small(object, "inner", kInner);
  f.gated = flag(object, "gated");
  f.activation = Activation(index_of(object.Env(), "activation", text(object, "activation"), kActivationNames,
                                     [](const char* name) { return name; }));
  f.bias = flag(object, "bias");
  return f;
}

void require_within(const Napi::Env& env, const char* name, int64_t value, const Range& range) {
  if (value < range.min || value > range.max) throw out_of_range(env, name, std::to_string(value), range);
}

// Sizes that are sound one by one make matrices: no index into one overflows an int.
void require_sound_matrices(const Napi::Env& env, const Architecture& a) {
  require_within(env, "vocab x width", int64_t(a.vocab) * a.width, kMatrix);
  require_within(env, "positions x width", int64_t(a.positions) * a.width, kMatrix);
  for (const Block& block : a.blocks) {
    require_within(env, "heads x headDim x width", int64_t(block.attention.inner()) * a.width, kMatrix);
    require_within(env, "inner x width", int64_t(block.feed_forward.inner) * a.width, kMatrix);
  }
}

// The tensor under `role`, or an absent one.
TensorSource parse_tensor(const Napi::Object& tensors, const char* role) {
  const std::optional<Napi::Object> object = optional_object(tensors, role);
  if (!object) return {};
  TensorSource source;
  source.name = text(*object, "name");
  source.file = small(*object, "file", kFiles);
  source.offset = uint64_t(integer(*object, "offset", kOffset));
  source.encoding = Encoding(index_of(object->Env(), "encoding", text(*object, "encoding"), encodings(),
                                      [](const EncodingFacts& facts) { return facts.name; }));
  source.rows = integer(*object, "rows", kRows);
  source.columns = integer(*object, "columns", kColumns);
  require_within(object->Env(), "rows x columns", source.rows * source.columns, kElements);
  source.scale = factor(*object, "scale");
  if (object->Get("plus").IsNumber()) source.plus = float(number(*object, "plus"));
  return source;
}

SubBlockSource parse_sub_block(const Napi::Object& tensors) {
  SubBlockSource source;
  for (size_t role = 0; role < source.all.size(); role++) source.all[role] = parse_tensor(tensors, kRoleFacts[role].name);
  return source;
}

}  // namespace

Architecture parse_architecture(const Napi::Object& object) {
  Architecture a;
  a.width = small(object, "width", kWidth);
  const Napi::Array sub_blocks = list(object, "subBlocks");
  require_within(object.Env(), "subBlocks", sub_blocks.Length(), kSubBlocks);
  if (sub_blocks.Length() % 2 != 0) throw Napi::TypeError::New(object.Env(), "subBlocks: expected two for each block");
  for (uint32_t i = 0; i < sub_blocks.Length(); i += 2) {
    const Napi::Object attention = sub_blocks.Get(i).ToObject(), feed_forward = sub_blocks.Get(i + 1).ToObject();
    if (text(attention, "kind") != "attention" || text(feed_forward, "kind") != "feedForward") {
      throw Napi::TypeError::New(object.Env(), "subBlocks: expected an attention and a feed-forward in turns");
    }
    a.blocks.push_back({parse_attention(attention), parse_feed_forward(feed_forward)});
  }
  const Napi::Object input = field(object, "input").ToObject();
  a.vocab = small(input, "vocab", kVocab);
  if (input.Get("scale").IsNumber()) a.input_scale = factor(input, "scale");
  if (input.Get("positions").IsNumber()) a.positions = small(input, "positions", kPositions);
  a.output_norm = parse_norm(field(field(object, "output").ToObject(), "norm").ToObject());
  require_sound_matrices(object.Env(), a);
  return a;
}

EncoderSpec parse_spec(const Napi::Object& object) {
  EncoderSpec spec;
  spec.architecture = parse_architecture(field(object, "architecture").ToObject());
  spec.mapped = flag(object, "mapped");
  const Napi::Array files = list(object, "files");
  for (uint32_t i = 0; i < files.Length(); i++) spec.files.push_back(files.Get(i).ToString().Utf8Value());
  const Napi::Object fixed = field(object, "fixed").ToObject();
  spec.embedding = parse_tensor(fixed, "embedding");
  spec.positions = parse_tensor(fixed, "positions");
  spec.final_norm = parse_tensor(fixed, "finalNorm");
  spec.final_norm_bias = parse_tensor(fixed, "finalNormBias");
  spec.projection = parse_tensor(fixed, "projection");
  const Napi::Array sub_blocks = list(object, "subBlocks");
  for (uint32_t i = 0; i < sub_blocks.Length(); i++) {
    spec.sub_blocks.push_back(parse_sub_block(sub_blocks.Get(i).ToObject()));
  }
  if (spec.sub_blocks.size() != size_t(spec.architecture.sub_blocks())) {
    throw Napi::TypeError::New(object.Env(), "subBlocks: expected as many as the architecture has");
  }
  return spec;
}

size_t length_of(const Napi::Value& value, const char* name) {
  if (value.IsTypedArray()) return value.As<Napi::TypedArray>().ElementLength();
  throw Napi::TypeError::New(value.Env(), std::string(name) + ": expected a typed array");
}

void* elements_of(const Napi::Value& value, napi_typedarray_type type, size_t count, const char* name) {
  napi_typedarray_type found{};
  size_t length = 0;
  void* data = nullptr;  // stands for a SharedArrayBuffer too, which Napi::TypedArray::ArrayBuffer() does not take
  if (value.IsTypedArray() &&
      napi_get_typedarray_info(value.Env(), value, &found, &length, &data, nullptr, nullptr) == napi_ok && found == type &&
      length == count) {
    return data;
  }
  throw Napi::TypeError::New(value.Env(), std::string(name) + ": expected a typed array of " + std::to_string(count));
}

std::vector<int> parse_ints(const Napi::Value& value, const char* name) {
  return copied<int32_t>(value, length_of(value, name), name);
}

static Napi::Error bad_slot(const Napi::Value& value, int slot) {
  return Napi::RangeError::New(value.Env(), "slots: found " + std::to_string(slot));
}

std::vector<int> parse_slots(const Napi::Value& value, size_t count) {
  std::vector<int> slots = parse_ints(value, "slots");
  for (const int slot : slots) {
    if (slot < 0 || size_t(slot) >= count) throw bad_slot(value, slot);
  }
  return slots;
}

LayerTable parse_table(const Napi::Value& slots, const Napi::Value& scales, size_t positions) {
  const std::vector<int32_t> slot = copied<int32_t>(slots, positions, "slots");
  const std::vector<float> scale = copied<float>(scales, positions, "scales");
  LayerTable table(positions);
  for (size_t p = 0; p < positions; p++) {
    const bool valid = slot[p] >= 0 && size_t(slot[p]) < positions * size_t(kPrecisions) &&
                       is_attention(sub_block_of(slot[p])) == is_attention(int(p));
    if (!valid && slot[p] != kSkipped) throw bad_slot(slots, slot[p]);
    table[p] = {slot[p], scale[p]};
  }
  return table;
}

std::shared_ptr<const OwnedMap> parse_map(const Napi::Object& object, int64_t width) {
  auto map = std::make_shared<OwnedMap>();
  int64_t inputs = width;
  map->spec.residual = flag(object, "residual");
  const Napi::Array layers = list(object, "layers");
  const auto view = [&](const Napi::Value& array, const char* name, int64_t rows, int64_t columns) {
    const std::vector<float>& own = map->values.emplace_back(copied<float>(array, size_t(rows * columns), name));
    return view_of(name, own.data(), rows, columns);
  };
  for (uint32_t i = 0; i < layers.Length(); i++) {
    const Napi::Object given = layers.Get(i).ToObject();
    const int64_t rows = integer(given, "rows", kWidth), columns = integer(given, "columns", kWidth);
    if (columns != inputs) {
      throw Napi::RangeError::New(object.Env(), "layers: found one of " + std::to_string(rows) + " x " + std::to_string(columns));
    }
    inputs = rows;
    MapLayer& layer = map->spec.layers.emplace_back();
    layer.weight = view(given.Get("weight"), "a map's weight", rows, columns);
    if (given.Get("bias").IsTypedArray()) layer.bias = view(given.Get("bias"), "a map's bias", 1, rows);
  }
  if (map->spec.layers.empty()) throw Napi::RangeError::New(object.Env(), "layers: expected at least one");
  if (map->spec.residual && inputs != width) throw Napi::RangeError::New(object.Env(), "layers: a residual map keeps the width");
  return map;
}

namespace {

void require_sound_batch(const Napi::Env& env, const OwnedInput& input) {
  const std::vector<int32_t>& starts = input.starts;
  bool ascending = starts.size() >= 2 && starts.front() == 0 && size_t(starts.back()) == input.indices.size();
  for (size_t s = 1; ascending && s < starts.size(); s++) ascending = starts[s] > starts[s - 1];
  if (!ascending) throw Napi::RangeError::New(env, "starts: expected ascending offsets from 0 to the number of tokens");
  for (const int32_t index : input.indices) require_within(env, "indices", index, kRow);
  for (const int32_t position : input.positions) require_within(env, "positions", position, kRow);
}

}  // namespace

std::shared_ptr<const OwnedInput> parse_input(Pending& pending, const Napi::Object& batch, size_t width) {
  auto input = std::make_shared<OwnedInput>();
  const size_t tokens = length_of(batch.Get("indices"), "indices");
  input->starts = copied<int32_t>(batch.Get("starts"), length_of(batch.Get("starts"), "starts"), "starts");
  input->indices = copied<int32_t>(batch.Get("indices"), tokens, "indices");
  if (batch.Get("positions").IsTypedArray()) input->positions = copied<int32_t>(batch.Get("positions"), tokens, "positions");
  input->visible = copied<uint8_t>(batch.Get("visible"), tokens, "visible");
  require_sound_batch(batch.Env(), *input);
  if (batch.Get("embeds").IsTypedArray()) {
    input->embeds = keep<float>(pending, batch.Get("embeds"), tokens * width, "embeds");
  } else {
    input->ids = copied<int32_t>(batch.Get("ids"), tokens, "ids");
  }
  return input;
}

Input OwnedInput::view() const {
  Input input;
  const int32_t* given = positions.empty() ? nullptr : positions.data();
  input.batch = {int(starts.size()) - 1, int(indices.size()), starts.data(), indices.data(), visible.data(), given};
  input.ids = ids.empty() ? nullptr : ids.data();
  input.embeds = embeds;
  return input;
}

}  // namespace skrr::binding
