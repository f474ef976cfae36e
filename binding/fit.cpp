// The encoder's methods that fit a compensation.
#include "binding/devices.h"
#include "binding/encoder.h"
#include "binding/handle.h"
#include "binding/parse.h"

namespace skrr::binding {

Napi::Value EncoderObject::new_regression(const Napi::CallbackInfo& info) {
  return submit_handle<Regression>(info.Env(), std::make_unique<Pending>(), std::make_shared<CancelFlag>(),
                                   encoder(info.Env()), &EngineThread::regression_class,
                                   [width = width_, threads = threads_](RegressionHandle::Held& held, Pending&) {
                                     held.value = make_regression(width, threads);
                                     held.bytes = held.value->bytes();
                                   });
}

Napi::Value EncoderObject::add_to(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Encoder> owner = encoder(info.Env());
  const std::shared_ptr<Regression> regression = RegressionHandle::unwrap(info[0], owner);
  const std::shared_ptr<States> plan = StatesHandle::unwrap(info[1], owner), dense = StatesHandle::unwrap(info[2], owner);
  if (plan->tokens() != dense->tokens()) throw Napi::TypeError::New(info.Env(), "states of two batches");
  const double weight = info[3].ToNumber();
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[4]);
  auto pending = std::make_unique<Pending>();
  pending->result = [](Napi::Env env) { return env.Undefined(); };
  return EngineThread::of(info.Env()).submit(info.Env(), cancel, std::move(pending), [=, width = width_](Pending&) {
    std::vector<float> x(size_t(plan->tokens()) * size_t(width)), y(x.size());
    owner->backend().read(*plan, true, {}, rows_to(x.data(), width));
    owner->backend().read(*dense, true, {}, rows_to(y.data(), width));
    regression->add(x.data(), y.data(), plan->tokens(), weight, *cancel);
  });
}

Napi::Value EncoderObject::fit(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Regression> regression = RegressionHandle::unwrap(info[0], encoder(info.Env()));
  const double ridge = info[1].ToNumber();
  auto pending = std::make_unique<Pending>();
  pending->result = [](Napi::Env env) { return env.Undefined(); };
  std::vector<float> metric;  // empty: none
  if (info[2].IsTypedArray()) {
    metric = copied<float>(info[2], length_of(info[2], "metric"), "metric");
    if (metric.empty() || metric.size() % size_t(width_) != 0) {
      throw Napi::TypeError::New(info.Env(), "metric: expected rows of " + std::to_string(width_));
    }
  }
  const int rank = info[5].ToNumber();
  if (rank < 1 || rank > width_) throw Napi::RangeError::New(info.Env(), "rank: found " + std::to_string(rank));
  const size_t count = size_t(rank) * size_t(width_);
  float* down = keep<float>(*pending, info[3], count, "down");
  float* up = keep<float>(*pending, info[4], count, "up");
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[6]);
  return EngineThread::of(info.Env()).submit(info.Env(), cancel, std::move(pending), [=, width = width_](Pending&) {
    const Regression::Factors factors = regression->fit(rank, ridge, metric.empty() ? nullptr : metric.data(),
                                                          int(metric.size() / size_t(width)), *cancel);
    std::copy(factors.down.begin(), factors.down.end(), down);
    std::copy(factors.up.begin(), factors.up.end(), up);
  });
}

}  // namespace skrr::binding
