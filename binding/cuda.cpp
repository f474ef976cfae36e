#include "binding/cuda.h"

#include "binding/jobs.h"
#include "binding/parse.h"
#include "engine/cuda_library.h"

namespace skrr::binding {

Napi::Value cuda_library_file(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), cuda_library_path());
}

Napi::Value probe_cuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    const CudaLibrary library(info[0].As<Napi::String>().Utf8Value());
    return Napi::String::New(env, library.device_name(info[1].ToNumber()));
  } catch (const Error& failure) {
    throw js_error(env, failure.code, failure.what());
  }
}

Napi::Value estimate_cuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Geometry geometry = parse_geometry(info[0].As<Napi::Object>());
  const std::vector<int> sub_blocks = parse_slots(info[1]);
  const int device = parse_cuda_device(info[2].As<Napi::Object>()).value_or(0);
  const int tokens = info[3].ToNumber(), longest = info[4].ToNumber();
  const auto bytes = std::make_shared<Estimate>();
  auto pending = std::make_unique<Pending>(env);
  pending->result = [bytes](Napi::Env env) -> Napi::Value { return js_estimate(env, *bytes); };
  return EngineThread::of(env).submit(env, std::make_shared<CancelFlag>(), std::move(pending), [=](Pending&) {
    *bytes = CudaLibrary(cuda_library_path()).estimate(device, geometry, sub_blocks, tokens, longest);
  });
}

}  // namespace skrr::binding
