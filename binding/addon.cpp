// What the .node file exports. src/native/addon.ts is the only JavaScript that sees it.
#include <napi.h>

#include "binding/bench.h"
#include "binding/devices.h"
#include "binding/encoder.h"
#include "binding/handle.h"
#include "binding/jobs.h"
#include "binding/lock.h"

namespace skrr::binding {
namespace {

Napi::Object init(Napi::Env env, Napi::Object exports) {
  EngineThread::install(env);
  exports.Set("CancelToken", CancelToken::define(env));
  exports.Set("Encoder", EncoderObject::define(env));
  EngineThread& engine = EngineThread::of(env);
  engine.states_class = Napi::Persistent(StatesHandle::define(env));
  engine.features_class = Napi::Persistent(FeaturesHandle::define(env));
  engine.map_class = Napi::Persistent(MapHandle::define(env));
  engine.loaded_plan_class = Napi::Persistent(LoadedPlanHandle::define(env));
  engine.regression_class = Napi::Persistent(RegressionHandle::define(env));
  exports.Set("open", Napi::Function::New<entry<EncoderObject::open>>(env, "open"));
  exports.Set("estimate", Napi::Function::New<entry<estimate>>(env, "estimate"));
  exports.Set("cudaLibraryPath", Napi::Function::New<entry<cuda_library_file>>(env, "cudaLibraryPath"));
  exports.Set("probeCuda", Napi::Function::New<entry<probe_cuda>>(env, "probeCuda"));
  exports.Set("bench", Napi::Function::New<entry<bench>>(env, "bench"));
  exports.Set("lockFile", Napi::Function::New<entry<lock_file>>(env, "lockFile"));
  exports.Set("describe", Napi::Function::New<entry<describe>>(env, "describe"));
  return exports;
}

}  // namespace
}  // namespace skrr::binding

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) { return skrr::binding::init(env, exports); }
NODE_API_MODULE(skrr, init_addon)
