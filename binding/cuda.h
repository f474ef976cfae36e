// What JavaScript asks about CUDA devices before it opens an encoder on one.
#pragma once

#include <napi.h>

namespace skrr::binding {

// cudaLibraryPath(): string, where the CUDA library is expected
Napi::Value cuda_library_file(const Napi::CallbackInfo& info);

// probeCuda(path, device, check): string, the device's name; with `check`, once it has computed what the CPU does. Loads the
// library and sets variables in this very process: src/native/probe.ts calls it in one of its own. Throws with a code.
Napi::Value probe_cuda(const Napi::CallbackInfo& info);

// estimateCuda(geometry, subBlocks: Int32Array, options, rank, tokens, longest): Promise<{ weights, workspace }>, in bytes
Napi::Value estimate_cuda(const Napi::CallbackInfo& info);

}  // namespace skrr::binding
