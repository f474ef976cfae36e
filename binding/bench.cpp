#include "binding/bench.h"

#include "binding/devices.h"
#include "binding/jobs.h"
#include "binding/parse.h"

namespace skrr::binding {
namespace {

using bench::Report;
using bench::Request;

Request parse_request(const Napi::Object& object, int sub_blocks) {
  Request request;
  request.repeats = object.Get("repeats").ToNumber();
  request.tokens = parse_ints(object.Get("tokens"), "tokens");
  const Napi::Array tables = object.Get("tables").As<Napi::Array>();
  for (uint32_t i = 0; i < tables.Length(); i++) {
    const Napi::Object table = tables.Get(i).As<Napi::Object>();
    request.tables.push_back({table.Get("name").ToString(),
                              parse_table(table.Get("slots"), table.Get("scales"), size_t(sub_blocks))});
  }
  return request;
}

Napi::Object js_row(Napi::Env env, const bench::Row& row, const bench::Ceilings& ceilings) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("what", row.what);
  object.Set("plan", row.plan);
  object.Set("tokens", row.tokens);
  object.Set("seconds", row.time.median);
  object.Set("lower", row.time.lower);
  object.Set("upper", row.time.upper);
  object.Set("bytes", row.bytes);
  object.Set("flops", row.flops);
  object.Set("minSeconds", min_seconds(row, ceilings));
  return object;
}

Napi::Object js_report(Napi::Env env, const Report& report) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("memory", report.ceilings.memory);
  object.Set("memoryBy", report.ceilings.memory_by);
  object.Set("multiply", report.ceilings.multiply);
  object.Set("multiplyBy", report.ceilings.multiply_by);
  object.Set("float32", report.ceilings.float32);
  Napi::Array rows = Napi::Array::New(env);
  for (size_t i = 0; i < report.rows.size(); i++) rows.Set(uint32_t(i), js_row(env, report.rows[i], report.ceilings));
  object.Set("rows", rows);
  return object;
}

}  // namespace

Napi::Value bench(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Architecture architecture = parse_architecture(info[0].As<Napi::Object>());
  const DeviceOptions options = parse_device_options(info[1].As<Napi::Object>());
  const Request request = parse_request(info[2].As<Napi::Object>(), architecture.sub_blocks());
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[3]);
  const auto report = std::make_shared<Report>();
  auto pending = std::make_unique<Pending>();
  pending->result = [report](Napi::Env env) -> Napi::Value { return js_report(env, *report); };
  pending->on_progress = Napi::Persistent(info[4].As<Napi::Function>());
  return EngineThread::of(env).submit(env, cancel, std::move(pending), [=](Pending& job) {
    const auto progress = [&](int done, int total) { job.report(uint64_t(done), uint64_t(total)); };
    *report = make_device(options)->bench(architecture, request, progress, *cancel);
  });
}

}  // namespace skrr::binding
