#include "binding/bench.h"

#include "binding/jobs.h"
#include "binding/parse.h"
#include "engine/bench.h"
#include "engine/cuda_library.h"

namespace skrr::binding {
namespace {

using bench::Report;
using bench::Request;

constexpr int kProductTokens = 1024;

Request parse_request(const Napi::Object& object, int sub_blocks) {
  Request request;
  request.repeats = object.Get("repeats").ToNumber();
  for (const int tokens : parse_slots(object.Get("tokens"))) request.tokens.push_back(tokens);
  const Napi::Array tables = object.Get("tables").As<Napi::Array>();
  for (uint32_t i = 0; i < tables.Length(); i++) {
    const Napi::Object table = tables.Get(i).As<Napi::Object>();
    request.tables.push_back({table.Get("name").ToString(),
                              parse_table(table.Get("slots"), table.Get("scales"), size_t(sub_blocks))});
  }
  return request;
}

Report bench_cpu(const Geometry& geometry, const EngineOptions& options, const Request& request,
                 const bench::BackendBench::Progress& progress, const CancelFlag& cancel) {
  const bench::RandomModel model(geometry);
  cpu::CpuBackend backend(geometry, model.fixed(), options.threads);
  const bench::HostMemory memory(options.threads > 0 ? options.threads : cpu::available_threads());
  bench::BackendBench bench(backend, geometry, options.precision, model, [&] { memory.scrub(); });
  bench.load(request.tables, cancel);
  Report report;
  report.ceilings.copy = memory.copy_rate(request.repeats);
  report.ceilings.multiply = bench.product_rate(kProductTokens, request.repeats, cancel);
  report.ceilings.product = "feed-forward of " + std::to_string(kProductTokens) + " tokens";
  report.rows = bench.sub_blocks(request, progress, cancel);
  const auto listen = [&](std::function<void(const char*)> after) { backend.listen(std::move(after)); };
  for (bench::Row& row : bench.parts(request, listen, progress, cancel)) report.rows.push_back(std::move(row));
  for (bench::Row& row : bench.encoders(request, progress, cancel)) report.rows.push_back(std::move(row));
  return report;
}

Napi::Object js_row(Napi::Env env, const bench::Row& row) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("what", row.what);
  object.Set("plan", row.plan);
  object.Set("tokens", row.tokens);
  object.Set("seconds", row.time.median);
  object.Set("lower", row.time.lower);
  object.Set("upper", row.time.upper);
  object.Set("bytes", row.bytes);
  object.Set("flops", row.flops);
  return object;
}

Napi::Object js_report(Napi::Env env, const Report& report) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("copy", report.ceilings.copy);
  object.Set("multiply", report.ceilings.multiply);
  object.Set("product", report.ceilings.product);
  Napi::Array rows = Napi::Array::New(env);
  for (size_t i = 0; i < report.rows.size(); i++) rows.Set(uint32_t(i), js_row(env, report.rows[i]));
  object.Set("rows", rows);
  return object;
}

}  // namespace

Napi::Value bench(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const Geometry geometry = parse_geometry(info[0].As<Napi::Object>());
  const EngineOptions options = parse_options(info[1].As<Napi::Object>());
  const std::optional<int> cuda = parse_cuda_device(info[1].As<Napi::Object>());
  const Request request = parse_request(info[2].As<Napi::Object>(), geometry.sub_blocks());
  const std::shared_ptr<CancelFlag> cancel = flag_of(info[3]);
  const auto report = std::make_shared<Report>();
  auto pending = std::make_unique<Pending>(env);
  pending->result = [report](Napi::Env env) -> Napi::Value { return js_report(env, *report); };
  pending->on_progress = Napi::Persistent(info[4].As<Napi::Function>());
  return EngineThread::of(env).submit(env, cancel, std::move(pending), [=](Pending& job) {
    const auto progress = [&](int done, int total) { job.report(uint64_t(done), uint64_t(total)); };
    *report = cuda ? CudaLibrary(cuda_library_path()).bench(*cuda, geometry, request, progress, *cancel)
                   : bench_cpu(geometry, options, request, progress, *cancel);
  });
}

}  // namespace skrr::binding
