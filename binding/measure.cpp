// The encoder's methods for a search of plans.
#include <vector>

#include "binding/encoder.h"
#include "binding/handle.h"
#include "binding/parse.h"

namespace skrr::binding {

namespace {

using Comparisons = std::shared_ptr<std::vector<Comparison>>;

// [sequences, 4] as Float64Array: squared error, sum of cosines, squares of a, squares of b
Napi::Value to_array(Napi::Env env, const std::vector<Comparison>& comparisons) {
  Napi::Float64Array array = Napi::Float64Array::New(env, comparisons.size() * 4);
  for (size_t s = 0; s < comparisons.size(); s++) {
    const Comparison& c = comparisons[s];
    const double row[4] = {c.squared_error, c.cosine, c.squares_a, c.squares_b};
    for (size_t i = 0; i < 4; i++) array[s * 4 + i] = row[i];
  }
  return array;
}

Napi::Value submit_comparison(Napi::Env env, std::shared_ptr<CancelFlag> cancel,
                              std::function<std::vector<Comparison>()> compare) {
  auto pending = std::make_unique<Pending>();
  const Comparisons result = std::make_shared<std::vector<Comparison>>();
  pending->result = [result](Napi::Env env) { return to_array(env, *result); };
  return EngineThread::of(env).submit(env, std::move(cancel), std::move(pending),
                                      [result, compare = std::move(compare)](Pending&) { *result = compare(); });
}

struct Range {
  int from, to;
};

Range parse_range(const Napi::Value& from, const Napi::Value& to, size_t positions) {
  const Range range{from.ToNumber().Int32Value(), to.ToNumber().Int32Value()};
  if (range.from < 0 || range.from > range.to || size_t(range.to) > positions) {
    throw Napi::RangeError::New(from.Env(), "from, to: expected 0 <= from <= to <= positions");
  }
  return range;
}

}  // namespace

Napi::Value EncoderObject::begin(const Napi::CallbackInfo& info) {
  auto pending = std::make_unique<Pending>();
  const std::shared_ptr<const OwnedInput> input = parse_input(*pending, info[0].As<Napi::Object>(), size_t(width_));
  return submit_handle<States>(info.Env(), std::move(pending), flag_of(info[1]), encoder(info.Env()),
                               &EngineThread::states_class, [input](StatesHandle::Held& held, Pending&) {
                                 held.value = held.encoder->begin(input->view());
                                 held.bytes = held.value->bytes();
                               });
}

Napi::Value EncoderObject::advance(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Encoder> owner = encoder(info.Env());
  const std::shared_ptr<States> states = StatesHandle::unwrap(info[0], owner);
  const std::shared_ptr<LoadedPlan> plan = LoadedPlanHandle::unwrap(info[1], owner);
  const Range range = parse_range(info[2], info[3], positions_);
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[4]);
  return submit_handle<States>(info.Env(), std::make_unique<Pending>(), cancel, owner,
                               &EngineThread::states_class, [=](StatesHandle::Held& held, Pending&) {
                                 std::shared_ptr<States> copy = states->clone();
                                 held.encoder->advance(*copy, *plan, range.from, range.to, *cancel);
                                 held.value = std::move(copy);
                                 held.bytes = held.value->bytes();
                               });
}

Napi::Value EncoderObject::features(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Encoder> owner = encoder(info.Env());
  const std::shared_ptr<States> states = StatesHandle::unwrap(info[0], owner);
  const std::shared_ptr<LoadedPlan> plan = optional_handle<LoadedPlan>(info[1], owner);
  const std::shared_ptr<Map> projection = optional_handle<Map>(info[2], owner);
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[3]);
  return submit_handle<Features>(info.Env(), std::make_unique<Pending>(), cancel, owner,
                                 &EngineThread::features_class, [=](FeaturesHandle::Held& held, Pending&) {
                                   const Maps maps{plan ? plan->map() : nullptr, projection.get()};
                                   held.value = owner->backend().features(*states, maps, *cancel);
                                   held.bytes = held.value->bytes();
                                 });
}

Napi::Value EncoderObject::measure(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Encoder> owner = encoder(info.Env());
  const std::shared_ptr<States> states = StatesHandle::unwrap(info[0], owner);
  const std::shared_ptr<LoadedPlan> plan = LoadedPlanHandle::unwrap(info[1], owner);
  const Range range = parse_range(info[2], Napi::Number::New(info.Env(), double(positions_)), positions_);
  const std::shared_ptr<Map> projection = optional_handle<Map>(info[3], owner);
  const std::shared_ptr<Features> reference = FeaturesHandle::unwrap(info[4], owner);
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[5]);
  return submit_comparison(info.Env(), cancel, [=] {
    const std::unique_ptr<States> end = states->clone();
    owner->advance(*end, *plan, range.from, range.to, *cancel);
    Backend& backend = owner->backend();
    return backend.compare(*backend.features(*end, {plan->map(), projection.get()}, *cancel), *reference);
  });
}

Napi::Value EncoderObject::compare_states(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Encoder> owner = encoder(info.Env());
  const std::shared_ptr<States> a = StatesHandle::unwrap(info[0], owner), b = StatesHandle::unwrap(info[1], owner);
  return submit_comparison(info.Env(), std::make_shared<CancelFlag>(),
                           [=] { return owner->backend().compare(*a, *b); });
}

Napi::Value EncoderObject::compare_features(const Napi::CallbackInfo& info) {
  const std::shared_ptr<Encoder> owner = encoder(info.Env());
  const std::shared_ptr<Features> a = FeaturesHandle::unwrap(info[0], owner), b = FeaturesHandle::unwrap(info[1], owner);
  return submit_comparison(info.Env(), std::make_shared<CancelFlag>(),
                           [=] { return owner->backend().compare(*a, *b); });
}

}  // namespace skrr::binding
