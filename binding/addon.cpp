// What the .node file exports. src/native.ts is the only JavaScript that sees it.
#include <napi.h>

#include "binding/encoder.h"
#include "binding/jobs.h"
#include "binding/measure.h"
#include "binding/parse.h"

namespace skrr::binding {
namespace {

// estimate(geometry, subBlocks: Int32Array, options, tokens, longest): { weights, workspace } in bytes
Napi::Value estimate(const Napi::CallbackInfo& info) {
  const cpu::Estimate bytes =
      cpu::estimate(parse_geometry(info[0].As<Napi::Object>()), parse_sub_blocks(info[1]),
                    parse_cpu_options(info[2].As<Napi::Object>()), info[3].ToNumber(), info[4].ToNumber());
  Napi::Object object = Napi::Object::New(info.Env());
  object.Set("weights", double(bytes.weights));
  object.Set("workspace", double(bytes.workspace));
  return object;
}

// describe(): { isa, threads }; throws ERR_DEVICE when SKRR_CPU_ISA asks for what this processor lacks
Napi::Value describe(const Napi::CallbackInfo& info) {
  Napi::Object object = Napi::Object::New(info.Env());
  try {
    object.Set("isa", cpu::kernels().isa);
  } catch (const Error& failure) {
    const Napi::Error error = Napi::Error::New(info.Env(), failure.what());
    error.Set("code", Napi::String::New(info.Env(), failure.code));
    throw error;
  }
  object.Set("threads", cpu::available_threads());
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  EngineThread::install(env);
  exports.Set("CancelToken", CancelToken::define(env));
  exports.Set("Encoder", EncoderObject::define(env));
  EngineThread& engine = EngineThread::of(env);
  engine.states_class = Napi::Persistent(StatesHandle::define(env, "States"));
  engine.features_class = Napi::Persistent(FeaturesHandle::define(env, "Features"));
  engine.projection_class = Napi::Persistent(ProjectionHandle::define(env, "Projection"));
  exports.Set("open", Napi::Function::New<EncoderObject::open>(env, "open"));
  exports.Set("estimate", Napi::Function::New<estimate>(env, "estimate"));
  exports.Set("describe", Napi::Function::New<describe>(env, "describe"));
  return exports;
}

}  // namespace
}  // namespace skrr::binding

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return skrr::binding::init(env, exports); }
NODE_API_MODULE(skrr, init_addon)
