#include "binding/parse.h"

#include <cstdlib>
#include <string>

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

DType parse_dtype(const Napi::Env& env, const std::string& name) {
  if (name == "F32") return DType::kF32;
  if (name == "F16") return DType::kF16;
  if (name == "BF16") return DType::kBF16;
  if (name == "F8_E4M3") return DType::kF8E4M3;
  if (name == "int8") return DType::kInt8;
  if (name == "int4") return DType::kInt4;
  throw Napi::TypeError::New(env, "dtype: found " + name);
}

// The tensor under `role`, or an absent one.
TensorSource parse_tensor(const Napi::Object& tensors, const char* role) {
  const Napi::Value value = tensors.Get(role);
  if (!value.IsObject()) return {};
  const Napi::Object object = value.As<Napi::Object>();
  TensorSource source;
  source.name = text(object, "name");
  source.file = int(number(object, "file"));
  source.offset = uint64_t(number(object, "offset"));
  source.dtype = parse_dtype(object.Env(), text(object, "dtype"));
  source.rows = int64_t(number(object, "rows"));
  source.columns = int64_t(number(object, "columns"));
  source.scale = float(number(object, "scale"));
  return source;
}

SubBlockSource parse_sub_block(const Napi::Object& tensors) {
  SubBlockSource source;
  source.norm = parse_tensor(tensors, "norm");
  source.q = parse_tensor(tensors, "q");
  source.k = parse_tensor(tensors, "k");
  source.v = parse_tensor(tensors, "v");
  source.o = parse_tensor(tensors, "o");
  source.bias = parse_tensor(tensors, "bias");
  source.wi_0 = parse_tensor(tensors, tensors.Has("wi") ? "wi" : "wi_0");
  source.wi_1 = parse_tensor(tensors, "wi_1");
  source.wo = parse_tensor(tensors, "wo");
  source.in = parse_tensor(tensors, "in");
  source.in_scales = parse_tensor(tensors, "in_scales");
  source.out = parse_tensor(tensors, "out");
  source.out_scales = parse_tensor(tensors, "out_scales");
  return source;
}

}  // namespace

Geometry parse_geometry(const Napi::Object& object) {
  Geometry g;
  g.blocks = int(number(object, "blocks"));
  g.width = int(number(object, "width"));
  g.heads = int(number(object, "heads"));
  g.head_dim = int(number(object, "headDim"));
  g.ff = int(number(object, "ff"));
  g.vocab = int(number(object, "vocab"));
  g.buckets = int(number(object, "buckets"));
  g.max_distance = int(number(object, "maxDistance"));
  g.epsilon = float(number(object, "epsilon"));
  g.activation = text(object, "activation") == "relu" ? Activation::kRelu : Activation::kGeluTanh;
  g.gated = field(object, "gated").ToBoolean();
  g.bias_per_block = field(object, "biasPerBlock").ToBoolean();
  return g;
}

EncoderSpec parse_spec(const Napi::Object& object) {
  EncoderSpec spec;
  spec.geometry = parse_geometry(field(object, "geometry").ToObject());
  const Napi::Array files = list(object, "files");
  for (uint32_t i = 0; i < files.Length(); i++) spec.files.push_back(files.Get(i).ToString().Utf8Value());
  const Napi::Object fixed = field(object, "fixed").ToObject();
  spec.embedding = parse_tensor(fixed, "embedding");
  spec.final_norm = parse_tensor(fixed, "final_norm");
  spec.bias = parse_tensor(fixed, "bias");
  const Napi::Array sub_blocks = list(object, "subBlocks");
  for (uint32_t i = 0; i < sub_blocks.Length(); i++) {
    spec.sub_blocks.push_back(parse_sub_block(sub_blocks.Get(i).ToObject()));
  }
  if (spec.sub_blocks.size() != size_t(spec.geometry.sub_blocks())) {
    throw Napi::TypeError::New(object.Env(), "subBlocks: expected 2 * blocks of them");
  }
  return spec;
}

EngineOptions parse_options(const Napi::Object& object) {
  const std::string precision = text(object, "precision");
  const int threads = int(number(object, "threads"));
  if (precision == "f32") return {Precision::kF32, threads};
  if (precision == "bf16") return {Precision::kBF16, threads};
  if (precision == "int8") return {Precision::kInt8, threads};
  if (precision == "int4") return {Precision::kInt4, threads};
  throw Napi::TypeError::New(object.Env(), "precision: found " + precision);
}

std::optional<int> parse_cuda_device(const Napi::Object& object) {
  if (object.Get("device").IsUndefined()) return std::nullopt;
  const std::string device = text(object, "device");
  if (device == "cpu") return std::nullopt;
  if (device == "cuda") return 0;
  if (device.rfind("cuda:", 0) == 0 && device.size() <= 8) return std::atoi(device.c_str() + 5);
  throw Napi::TypeError::New(object.Env(), "device: found " + device);
}

std::vector<int> parse_slots(const Napi::Value& value) {
  if (!value.IsTypedArray()) throw Napi::TypeError::New(value.Env(), "slots: expected an Int32Array");
  const size_t count = value.As<Napi::TypedArray>().ElementLength();
  const int32_t* first = array_of<int32_t>(value, napi_int32_array, count, "slots");
  return std::vector<int>(first, first + count);
}

LayerTable parse_table(const Napi::Value& slots, const Napi::Value& scales, size_t positions) {
  const int32_t* slot = array_of<int32_t>(slots, napi_int32_array, positions, "slots");
  const float* scale = array_of<float>(scales, napi_float32_array, positions, "scales");
  const size_t count = (1 + kPrecisions) * positions;  // slot_count()
  LayerTable table(positions);
  for (size_t p = 0; p < positions; p++) {
    const bool valid = slot[p] == kSkipped || (slot[p] >= 0 && size_t(slot[p]) < count && (slot[p] - int(p)) % 2 == 0);
    if (!valid) throw Napi::RangeError::New(slots.Env(), "slots: found " + std::to_string(slot[p]));
    table[p] = {slot[p], scale[p]};
  }
  return table;
}

Napi::Object js_estimate(Napi::Env env, const Estimate& bytes) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("weights", double(bytes.weights));
  object.Set("workspace", double(bytes.workspace));
  return object;
}

// A packed batch (src/prompts/batch.ts); its arrays stay alive and in place until the promise settles.
Input parse_input(Pending& pending, const Napi::Object& batch, size_t width) {
  const size_t tokens = batch.Get("positions").As<Napi::TypedArray>().ElementLength();
  const size_t sequences = batch.Get("starts").As<Napi::TypedArray>().ElementLength() - 1;
  Input input;
  input.batch.sequences = int(sequences);
  input.batch.tokens = int(tokens);
  input.batch.starts = keep<int32_t>(pending, batch.Get("starts"), napi_int32_array, sequences + 1, "starts");
  input.batch.positions = keep<int32_t>(pending, batch.Get("positions"), napi_int32_array, tokens, "positions");
  input.batch.visible = keep<uint8_t>(pending, batch.Get("visible"), napi_uint8_array, tokens, "visible");
  if (batch.Get("embeds").IsTypedArray()) {
    input.embeds = keep<float>(pending, batch.Get("embeds"), napi_float32_array, tokens * width, "embeds");
  } else {
    input.ids = keep<int32_t>(pending, batch.Get("ids"), napi_int32_array, tokens, "ids");
  }
  return input;
}

}  // namespace skrr::binding
