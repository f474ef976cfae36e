#include "binding/cuda.h"

#include "binding/jobs.h"
#include "binding/parse.h"
#include "engine/agreement.h"
#include "engine/cuda_library.h"

namespace skrr::binding {
namespace {

// Of embeddings in float32 from those of bf16 operands; the emulated device makes 0.0075, one wrong row of the batch's 139 0.11.
constexpr double kMostDisagreement = 0.03;

// Each way products are computed there, on a small model.
void require_agreement(const CudaLibrary& library, int device) {
  const BackendInQuestion cpu{[](const Geometry& geometry, const FixedTensors& fixed) {
                                return std::make_unique<cpu::CpuBackend>(geometry, fixed, 0);
                              },
                              Precision::kF32};
  const BackendInQuestion cuda{[&](const Geometry& geometry, const FixedTensors& fixed) {
                                 return library.open(device, geometry, fixed);
                               },
                               Precision::kBF16};
  for (const std::string& path : library.product_paths(device)) {
    setenv("SKRR_CUDA_GEMM", path.c_str(), 1);
    const double found = disagreement(cpu, cuda);
    if (found <= kMostDisagreement) continue;  // false for NaN
    throw Error("ERR_DEVICE", "device cuda:" + std::to_string(device) + ": " + library.device_name(device) +
                                  " computes otherwise than the CPU: found a relative difference of " + std::to_string(found) +
                                  " by " + path + " products, expected at most 0.03. Update the driver, or use device 'cpu'");
  }
}

}  // namespace

Napi::Value cuda_library_file(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), cuda_library_path());
}

Napi::Value probe_cuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    const CudaLibrary library(info[0].As<Napi::String>().Utf8Value());
    const int device = info[1].ToNumber();
    const std::string name = library.device_name(device);
    if (info[2].ToBoolean()) require_agreement(library, device);
    return Napi::String::New(env, name);
  } catch (const Error& failure) {
    throw js_error(env, failure.code, failure.what());
  }
}

Napi::Value estimate_cuda(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Geometry geometry = parse_geometry(info[0].As<Napi::Object>());
  const std::vector<int> sub_blocks = parse_slots(info[1]);
  const int device = parse_cuda_device(info[2].As<Napi::Object>()).value_or(0);
  const int rank = info[3].ToNumber(), tokens = info[4].ToNumber(), longest = info[5].ToNumber();
  const auto bytes = std::make_shared<Estimate>();
  auto pending = std::make_unique<Pending>(env);
  pending->result = [bytes](Napi::Env env) -> Napi::Value { return js_estimate(env, *bytes); };
  return EngineThread::of(env).submit(env, std::make_shared<CancelFlag>(), std::move(pending), [=](Pending&) {
    *bytes = CudaLibrary(cuda_library_path()).estimate(device, geometry, sub_blocks, rank, tokens, longest);
  });
}

}  // namespace skrr::binding
