#include "binding/encoder.h"

#include <cmath>
#include <string>

#include "binding/devices.h"
#include "binding/handle.h"
#include "binding/parse.h"

namespace skrr::binding {
namespace {

// What open() hands to the constructor through a Napi::External.
struct Opened {
  std::shared_ptr<Encoder> encoder;
  int width, projected;  // columns of a row, and of a projected one; 0: no projection
  size_t positions;
  int threads;
};

Napi::Value nothing(Napi::Env env) { return env.Undefined(); }

// Where results go; their rows in copies.
struct OwnedOutputs {
  std::vector<std::vector<int32_t>> rows;
  std::vector<Output> outputs;
};

int64_t integer_of(const Napi::Object& object, const char* name, int64_t max) {
  const Napi::Value value = object.Get(name);
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
  if (number >= 0 && number <= double(max) && number == std::floor(number)) return int64_t(number);
  throw Napi::RangeError::New(object.Env(), std::string(name) + ": expected an integer from 0 to " + std::to_string(max));
}

// { data, type, rows, after, norm, projected, stride, first, step }: see Output. `columns` of a row are written.
Output parse_output(Pending& pending, const Napi::Object& object, const std::vector<int32_t>& rows, int positions, int64_t columns) {
  constexpr int64_t kMaxStride = int64_t(1) << 31;
  Output output;
  const Napi::Value array = object.Get("data");
  const std::string type = object.Get("type").ToString().Utf8Value();
  output.after = int(integer_of(object, "after", positions));
  output.norm = object.Get("norm").ToBoolean();
  output.projected = object.Get("projected").ToBoolean();
  output.rows = rows.data();
  output.stride = integer_of(object, "stride", kMaxStride);
  output.first = integer_of(object, "first", kMaxStride);
  output.step = integer_of(object, "step", kMaxStride);
  const size_t elements = length_of(array, "output");
  const int64_t end = output.first + (columns - 1) * output.step;  // the last element of a row that is written
  if (end >= output.stride) throw Napi::RangeError::New(object.Env(), "stride: a row is longer");
  for (const int32_t row : rows) {
    if (row < -1 || (row >= 0 && size_t(row * output.stride + end) >= elements)) {
      throw Napi::RangeError::New(object.Env(), "rows: found " + std::to_string(row));
    }
  }
  if (type == "f32") {
    output.data = keep<float>(pending, array, elements, "output");
  } else {
    output.type = type == "bf16" ? OutputType::kBF16 : OutputType::kF16;
    output.data = keep<uint16_t>(pending, array, elements, "output");
  }
  return output;
}

// What an encoder's results are measured by.
struct Extents {
  int width, projected;  // columns of a row, and of a projected one; 0: the encoder has no projection
  int positions;         // of its layer table
};

std::shared_ptr<const OwnedOutputs> parse_outputs(Pending& pending, const Napi::Value& value, size_t tokens, const Extents& extents) {
  if (!value.IsArray()) throw Napi::TypeError::New(value.Env(), "outputs: expected an array");
  const Napi::Array given = value.As<Napi::Array>();
  auto owned = std::make_shared<OwnedOutputs>();
  owned->rows.reserve(given.Length());  // outputs point into them
  for (uint32_t i = 0; i < given.Length(); i++) {
    const Napi::Object object = given.Get(i).ToObject();
    const std::vector<int32_t>& rows = owned->rows.emplace_back(copied<int32_t>(object.Get("rows"), tokens, "rows"));
    const bool projected = object.Get("projected").ToBoolean();
    if (projected && extents.projected == 0) throw Napi::RangeError::New(value.Env(), "projected: the encoder has no projection");
    const Output output = parse_output(pending, object, rows, extents.positions, projected ? extents.projected : extents.width);
    if (!owned->outputs.empty() && output.after < owned->outputs.back().after) {
      throw Napi::RangeError::New(value.Env(), "outputs: expected in the order of `after`");
    }
    owned->outputs.push_back(output);
  }
  return owned;
}

}  // namespace

Napi::Function EncoderObject::define(Napi::Env env) {
  const Napi::Function function = DefineClass(env, "Encoder",
                                              {InstanceMethod<&EncoderObject::entry_of<&EncoderObject::load_plan>>("loadPlan"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::trim>>("trim"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::copy_packed>>("copyPacked"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::encode>>("encode"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::load_map>>("loadMap"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::begin>>("begin"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::advance>>("advance"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::features>>("features"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::measure>>("measure"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::compare_states>>("compareStates"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::compare_features>>("compareFeatures"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::new_regression>>("newRegression"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::add_to>>("addTo"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::fit>>("fit"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::memory>>("memory"),
                                               InstanceMethod<&EncoderObject::entry_of<&EncoderObject::dispose>>("dispose")});
  EngineThread::of(env).encoder_class = Napi::Persistent(function);
  return function;
}

Napi::Value EncoderObject::open(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const EncoderSpec spec = parse_spec(info[0].As<Napi::Object>());
  const DeviceOptions options = parse_device_options(info[1].As<Napi::Object>());
  const auto opened = std::make_shared<Opened>(
      Opened{nullptr, spec.architecture.width, int(spec.projection.rows), size_t(spec.architecture.sub_blocks()), options.threads});
  auto pending = std::make_unique<Pending>();
  pending->result = [opened](Napi::Env env) -> Napi::Value {
    return EngineThread::of(env).encoder_class.New({Napi::External<Opened>::New(env, opened.get())});
  };
  return EngineThread::of(env).submit(env, flag_of(info[2]), std::move(pending), [=](Pending&) {
    const std::unique_ptr<Device> device = make_device(options);
    opened->encoder = std::make_shared<Encoder>(spec, [&](const Architecture& architecture, const FixedTensors& fixed) {
      return device->open(architecture, fixed, "");
    });
  });
}

EncoderObject::EncoderObject(const Napi::CallbackInfo& info) : Tagged<EncoderObject>(info) {
  if (!info[0].IsExternal()) throw Napi::TypeError::New(info.Env(), "Encoder: use open()");
  Opened& opened = *info[0].As<Napi::External<Opened>>().Data();
  encoder_ = std::move(opened.encoder);
  width_ = opened.width, projected_ = opened.projected;
  positions_ = opened.positions;
  threads_ = opened.threads;
}

// Collected without dispose(): gigabytes are unmapped on the engine thread, not in the garbage collector's pause.
EncoderObject::~EncoderObject() {
  EngineThread* engine = Env().GetInstanceData<EngineThread>();
  if (encoder_ && engine) engine->submit_detached([encoder = std::move(encoder_)] {});
}

std::shared_ptr<Encoder> EncoderObject::encoder(Napi::Env env) const {
  if (encoder_) return encoder_;
  throw js_error(env, "ERR_DISPOSED", "the encoder was disposed");
}

Napi::Value EncoderObject::load_plan(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object plan = info[0].As<Napi::Object>();
  const LayerTable table = parse_table(plan.Get("slots"), plan.Get("scales"), positions_);
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[1]);
  auto pending = std::make_unique<Pending>();
  if (info[2].IsFunction()) pending->on_progress = Napi::Persistent(info[2].As<Napi::Function>());
  std::shared_ptr<const OwnedMap> map;
  if (plan.Get("map").IsObject()) map = parse_map(plan.Get("map").As<Napi::Object>(), width_);
  return submit_handle<LoadedPlan>(env, std::move(pending), cancel, encoder(env), &EngineThread::loaded_plan_class,
                                   [=](LoadedPlanHandle::Held& held, Pending& job) {
                                     const auto progress = [&](uint64_t done, uint64_t total) { job.report(done, total); };
                                     held.value = held.encoder->load_plan(table, map ? &map->spec : nullptr, progress, *cancel);
                                     held.bytes = held.value->bytes();
                                   });
}

Napi::Value EncoderObject::trim(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto pending = std::make_unique<Pending>();
  pending->result = nothing;
  return EngineThread::of(env).submit(env, std::make_shared<CancelFlag>(), std::move(pending),
                                      [encoder = encoder(env)](Pending&) { encoder->trim(); });
}

Napi::Value EncoderObject::load_map(const Napi::CallbackInfo& info) {
  auto pending = std::make_unique<Pending>();
  const std::shared_ptr<const OwnedMap> map = parse_map(info[0].As<Napi::Object>(), width_);
  return submit_handle<Map>(info.Env(), std::move(pending), std::make_shared<CancelFlag>(), encoder(info.Env()),
                            &EngineThread::map_class, [map](MapHandle::Held& held, Pending&) {
                              held.value = held.encoder->backend().load_map(map->spec);
                              held.bytes = held.value->bytes();
                            });
}

Napi::Value EncoderObject::copy_packed(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const int slot = info[0].ToNumber();
  const bool out = info[1].As<Napi::String>().Utf8Value() == "out";
  const size_t bytes = length_of(info[2], "data"), scale_count = length_of(info[3], "scales");
  auto pending = std::make_unique<Pending>();
  pending->result = nothing;
  uint8_t* data = keep<uint8_t>(*pending, info[2], bytes, "data");
  float* scales = keep<float>(*pending, info[3], scale_count, "scales");
  return EngineThread::of(env).submit(
      env, std::make_shared<CancelFlag>(), std::move(pending), [=, encoder = encoder(env)](Pending&) {
        encoder->copy_packed(slot, out, reinterpret_cast<std::byte*>(data), bytes, scales, scale_count);
      });
}

Napi::Value EncoderObject::encode(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Napi::Object batch = info[0].As<Napi::Object>();
  const std::shared_ptr<Encoder> owner = encoder(env);
  const std::shared_ptr<LoadedPlan> plan = LoadedPlanHandle::unwrap(info[1], owner);
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[3]);
  auto pending = std::make_unique<Pending>();
  pending->result = nothing;
  const std::shared_ptr<const OwnedInput> input = parse_input(*pending, batch, size_t(width_));
  const std::shared_ptr<const OwnedOutputs> owned = parse_outputs(*pending, info[2], input->indices.size(), {width_, projected_, int(positions_)});
  return EngineThread::of(env).submit(env, cancel, std::move(pending),
                                      [=](Pending&) { owner->encode(input->view(), *plan, owned->outputs, *cancel); });
}

Napi::Value EncoderObject::memory(const Napi::CallbackInfo& info) {
  const Memory memory = encoder(info.Env())->memory();
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("weights", double(memory.weights));
  object.Set("embedding", double(memory.embedding));
  object.Set("workspace", double(memory.workspace));
  return object;
}

Napi::Value EncoderObject::dispose(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto freed = std::make_shared<double>(0);
  auto pending = std::make_unique<Pending>();
  pending->result = [freed](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *freed); };
  // Earlier jobs hold the encoder too; they are over when this one runs, which is then the last holder.
  auto holder = std::make_shared<std::shared_ptr<Encoder>>(encoder(env));
  encoder_.reset();
  return EngineThread::of(env).submit(env, std::make_shared<CancelFlag>(), std::move(pending), [holder, freed](Pending&) {
    const Memory memory = (*holder)->memory();
    *freed = double(memory.weights + memory.workspace);
    holder->reset();
  });
}

}  // namespace skrr::binding
