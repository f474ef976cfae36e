// Devices by name. devices.cpp alone names both backends; everything else sees engine/device.h.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "engine/device.h"
#include "engine/regression.h"

namespace skrr::binding {

// What JavaScript asked for: { device: cpu, cuda or cuda:N, threads }.
struct DeviceOptions {
  std::optional<int> cuda;  // its index; absent: the CPU
  int threads = 0;          // of the CPU; 0: all this process may use
};
DeviceOptions parse_device_options(const Napi::Object& object);

// Runs on the engine thread, because opening a CUDA device is slow. Throws ERR_DEVICE.
std::unique_ptr<Device> make_device(const DeviceOptions& options);

// On the CPU, whatever device the encoder runs on.
std::unique_ptr<Regression> make_regression(int width, int threads);

// describe(): { isa, isas, threads, packedLayout, roles, precisions, encodings, activations, panel }: what this addon was built
// with; isas: those this processor runs. Throws ERR_DEVICE when SKRR_CPU_ISA names another.
Napi::Value describe(const Napi::CallbackInfo& info);

// estimate(architecture, options, slots: Int32Array, rank, tokens, longest): Promise<{ weights, workspace }>, in bytes
Napi::Value estimate(const Napi::CallbackInfo& info);

// cudaLibraryPath(): string, where the CUDA library is expected
Napi::Value cuda_library_file(const Napi::CallbackInfo& info);

// probeCuda(path, device, check): string, the device's name; with `check`, once it has computed what the CPU does. Loads the
// library in this very process: src/native/probe.ts calls it in one of its own. Throws with a code.
Napi::Value probe_cuda(const Napi::CallbackInfo& info);

}  // namespace skrr::binding
