// `skrr bench`: how fast the engine is on a device.
#pragma once

#include <napi.h>

namespace skrr::binding {

// bench(architecture, options, request, cancel, onProgress): Promise<{ memory, memoryBy, multiply, multiplyBy, float32, rows }>
// request: { tables: { name, slots: Int32Array, scales: Float32Array }[], tokens: Int32Array, repeats }
// rows: { what, plan, tokens, seconds, lower, upper, bytes, flops, minSeconds }[]; rates are per second
Napi::Value bench(const Napi::CallbackInfo& info);

}  // namespace skrr::binding
