// The JavaScript class Encoder: each method copies what it is given (parse.h), submits a job and returns a promise.
#pragma once

#include <napi.h>

#include <memory>

#include "binding/jobs.h"
#include "engine/encoder.h"

namespace skrr::binding {

class EncoderObject : public Tagged<EncoderObject> {
 public:
  static constexpr Kind kKind = kind("Encoder", 2);
  static Napi::Function define(Napi::Env env);

  // open(spec, options, cancel): Promise<Encoder>. Opens the files; loads no sub-block.
  static Napi::Value open(const Napi::CallbackInfo& info);

  explicit EncoderObject(const Napi::CallbackInfo& info);
  ~EncoderObject() override;

 private:
  // loadPlan({ slots: Int32Array, scales: Float32Array, map? }, cancel, onProgress | undefined): Promise<LoadedPlan>
  Napi::Value load_plan(const Napi::CallbackInfo& info);
  // trim(): Promise<void>; frees weights that no loaded plan needs
  Napi::Value trim(const Napi::CallbackInfo& info);
  // copyPacked(slot, which: 'in' | 'out', data: Uint8Array, scales: Float32Array): Promise<void>
  Napi::Value copy_packed(const Napi::CallbackInfo& info);
  // encode(batch, plan, { data, type, rows, after, norm, projected, stride, first, step }[], cancel): Promise<void>; see Output
  Napi::Value encode(const Napi::CallbackInfo& info);

  // loadMap({ layers, residual }): Promise<Map>
  Napi::Value load_map(const Napi::CallbackInfo& info);

  // For the search of plans (measure.cpp). States are never changed: advance() makes new ones.
  // begin(batch, cancel): Promise<States>
  Napi::Value begin(const Napi::CallbackInfo& info);
  // advance(states, plan, from, to, cancel): Promise<States>
  Napi::Value advance(const Napi::CallbackInfo& info);
  // features(states, plan | undefined, projection | undefined, cancel): Promise<Features>, of the plan's map and the projection
  Napi::Value features(const Napi::CallbackInfo& info);
  // measure(states, plan, from, projection | undefined, reference, cancel): Promise<Float64Array>
  // runs positions [from, end) on a copy and compares its features with the reference's; [sequences, 4] sums
  Napi::Value measure(const Napi::CallbackInfo& info);
  // compareStates(a, b), compareFeatures(a, b): Promise<Float64Array>
  Napi::Value compare_states(const Napi::CallbackInfo& info);
  Napi::Value compare_features(const Napi::CallbackInfo& info);

  // The fit of a compensation, on the CPU whatever the encoder's device (fit.cpp).
  // newRegression(): Promise<Regression>
  Napi::Value new_regression(const Napi::CallbackInfo& info);
  // addTo(regression, states of a plan, states of the dense encoder, weight, cancel): Promise<void>
  Napi::Value add_to(const Napi::CallbackInfo& info);
  // fit(regression, ridge, metric: Float32Array | undefined, down: Float32Array, up: Float32Array, rank, cancel): Promise<void>;
  // metric [features, width], down, up [rank, width]
  Napi::Value fit(const Napi::CallbackInfo& info);

  // memory(): { weights, embedding, workspace } in bytes
  Napi::Value memory(const Napi::CallbackInfo& info);
  // dispose(): Promise<number>, the bytes freed. The object is unusable from the call on.
  Napi::Value dispose(const Napi::CallbackInfo& info);

  template <Napi::Value (EncoderObject::*method)(const Napi::CallbackInfo&)>
  Napi::Value entry_of(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&] { return (this->*method)(info); });
  }

  std::shared_ptr<Encoder> encoder(Napi::Env env) const;  // throws ERR_DISPOSED

  std::shared_ptr<Encoder> encoder_;
  int width_ = 0, projected_ = 0;  // columns of a row, and of a projected one
  size_t positions_ = 0;
  int threads_ = 0;  // of the CPU; 0: all this process may use
};

}  // namespace skrr::binding
