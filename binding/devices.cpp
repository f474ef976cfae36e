#include "binding/devices.h"

#include <charconv>

#include "binding/jobs.h"
#include "binding/parse.h"
#include "cpu/device.h"
#include "cpu/kernels.h"
#include "engine/agreement.h"
#include "engine/cuda_library.h"
#include "engine/packed_layout.h"
#include "engine/processors.h"

namespace skrr::binding {
namespace {

template <class List, class Name>
Napi::Array js_names(Napi::Env env, const List& list, Name name) {
  Napi::Array names = Napi::Array::New(env);
  for (const auto& each : list) names.Set(names.Length(), name(each));
  return names;
}

Napi::Object js_panel(Napi::Env env) {
  Napi::Object panel = Napi::Object::New(env);
  panel.Set("columns", packed::kColumns);
  panel.Set("depth", packed::kDepth);
  panel.Set("int8Block", packed::kInt8Block);
  panel.Set("int4Block", packed::kInt4Block);
  return panel;
}

}  // namespace

// The N of "cuda:N".
static std::optional<int> cuda_number(const std::string& device) {
  if (device.rfind("cuda:", 0) != 0) return std::nullopt;
  const char* const end = device.data() + device.size();
  int number = -1;
  const auto [parsed, error] = std::from_chars(device.data() + 5, end, number);
  if (error != std::errc() || parsed != end || number < 0) return std::nullopt;
  return number;
}

DeviceOptions parse_device_options(const Napi::Object& object) {
  DeviceOptions options;
  const Napi::Value threads = object.Get("threads");
  if (threads.IsNumber()) options.threads = threads.ToNumber();
  const Napi::Value named = object.Get("device");
  if (named.IsUndefined()) return options;
  const std::string device = named.ToString();
  if (device == "cuda") {
    options.cuda = 0;
  } else if (const std::optional<int> number = cuda_number(device)) {
    options.cuda = number;
  } else if (device != "cpu") {
    throw Napi::TypeError::New(object.Env(), "device: found " + device);
  }
  return options;
}

std::unique_ptr<Device> make_device(const DeviceOptions& options) {
  if (options.cuda) return cuda_device(cuda_library_path(), *options.cuda);
  return cpu::make_device(options.threads);
}

std::unique_ptr<Regression> make_regression(int width, int threads) { return cpu::make_regression(width, threads); }

Napi::Value describe(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Object object = Napi::Object::New(env);
  object.Set("isa", cpu::kernels().isa);
  object.Set("isas", js_names(env, cpu::isas(), [](const std::string& name) { return name; }));
  object.Set("threads", available_threads());
  object.Set("packedLayout", packed::kVersion);
  object.Set("roles", js_names(env, kRoleFacts, [](const RoleFacts& role) { return role.name; }));
  object.Set("precisions", js_names(env, kPrecisionNames, [](const char* name) { return name; }));
  object.Set("encodings", js_names(env, encodings(), [](const EncodingFacts& facts) { return facts.name; }));
  object.Set("activations", js_names(env, kActivationNames, [](const char* name) { return name; }));
  object.Set("panel", js_panel(env));
  return object;
}

Napi::Value estimate(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Architecture architecture = parse_architecture(info[0].As<Napi::Object>());
  const DeviceOptions options = parse_device_options(info[1].As<Napi::Object>());
  const std::vector<int> slots = parse_slots(info[2], size_t(slot_count(architecture)));
  const int rank = info[3].ToNumber();
  const Extent extent{info[4].ToNumber(), info[5].ToNumber()};
  const auto bytes = std::make_shared<Estimate>();
  auto pending = std::make_unique<Pending>();
  pending->result = [bytes](Napi::Env env) -> Napi::Value {
    Napi::Object object = Napi::Object::New(env);
    object.Set("weights", double(bytes->weights));
    object.Set("workspace", double(bytes->workspace));
    return object;
  };
  return EngineThread::of(env).submit(env, std::make_shared<CancelFlag>(), std::move(pending), [=](Pending&) {
    *bytes = make_device(options)->estimate(architecture, slots, rank, extent);
  });
}

Napi::Value cuda_library_file(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), cuda_library_path());
}

Napi::Value probe_cuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::unique_ptr<Device> device = cuda_device(info[0].As<Napi::String>().Utf8Value(), info[1].ToNumber());
  if (info[2].ToBoolean()) require_agreement(*cpu::make_device(0), *device);
  return Napi::String::New(env, device->facts().name);
}

}  // namespace skrr::binding
