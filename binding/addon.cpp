// What the .node file exports. src/native/addon.ts is the only JavaScript that sees it.
#include <napi.h>

#include "binding/bench.h"
#include "binding/cuda.h"
#include "binding/encoder.h"
#include "binding/handle.h"
#include "binding/jobs.h"
#include "binding/parse.h"

namespace skrr::binding {
namespace {

// estimate(geometry, slots: Int32Array, options, rank, tokens, longest): { weights, workspace } in bytes
Napi::Value estimate(const Napi::CallbackInfo& info) {
  const EngineOptions options = parse_options(info[2].As<Napi::Object>());
  return js_estimate(info.Env(), cpu::estimate(parse_geometry(info[0].As<Napi::Object>()), parse_slots(info[1]),
                                               options.precision, info[3].ToNumber(), options.threads,
                                               info[4].ToNumber(), info[5].ToNumber()));
}

// describe(): { isa, isas, threads, packedLayout }, isas being all that run here; throws ERR_DEVICE when SKRR_CPU_ISA asks for
// what this processor lacks
Napi::Value describe(const Napi::CallbackInfo& info) {
  Napi::Object object = Napi::Object::New(info.Env());
  try {
    object.Set("isa", cpu::kernels().isa);
  } catch (const Error& failure) {
    throw js_error(info.Env(), failure.code, failure.what());
  }
  Napi::Array isas = Napi::Array::New(info.Env());
  for (const std::string& isa : cpu::isas()) isas.Set(isas.Length(), isa);
  object.Set("isas", isas);
  object.Set("threads", cpu::available_threads());
  object.Set("packedLayout", cpu::packed::kVersion);
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
  engine.compensation_class = Napi::Persistent(CompensationHandle::define(env, "Compensation"));
  engine.regression_class = Napi::Persistent(RegressionHandle::define(env, "Regression"));
  exports.Set("open", Napi::Function::New<EncoderObject::open>(env, "open"));
  exports.Set("estimate", Napi::Function::New<estimate>(env, "estimate"));
  exports.Set("cudaLibraryPath", Napi::Function::New<cuda_library_file>(env, "cudaLibraryPath"));
  exports.Set("probeCuda", Napi::Function::New<probe_cuda>(env, "probeCuda"));
  exports.Set("estimateCuda", Napi::Function::New<estimate_cuda>(env, "estimateCuda"));
  exports.Set("bench", Napi::Function::New<bench>(env, "bench"));
  exports.Set("describe", Napi::Function::New<describe>(env, "describe"));
  return exports;
}

}  // namespace
}  // namespace skrr::binding

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return skrr::binding::init(env, exports); }
NODE_API_MODULE(skrr, init_addon)
