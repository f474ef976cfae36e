#include "cuda/bench.h"

#include <algorithm>
#include <random>

#include "cuda/cuda_backend.h"
#include "cuda/device.h"
#include "cuda/tensor_map.h"
#include "engine/loaded_plan.h"

namespace skrr::cuda {
namespace {

using bench::Row;
using bench::Timing;

constexpr int kSlots = 2, kLaunches = 16;

// Weights of one product in slots that take turns, with everything that kernels look up.
class Slots {
 public:
  Slots(Gpu& device, const Architecture& architecture, const BenchProduct& p)
      : matrix_bytes_(size_t(p.n) * size_t(p.k) * sizeof(bf16)),
        weights_(random_matrix(device, kSlots * size_t(p.n) * size_t(p.k))),
        maps_(device, 2 * kSlots * sizeof(TensorMap), "tensor maps"),
        norm_(device, size_t(Shape(architecture).width) * sizeof(float), "a norm"),
        distance_(device, size_t(architecture.attention(0).distance.buckets) * size_t(architecture.attention(0).heads) * sizeof(float),
                  "a distance table"),
        table_(device, kSlots * sizeof(Step), "a layer table"),
        slots_(device, kSlots * sizeof(Slot), "slots") {
    device.clear(norm_.as<float>(), norm_.bytes());
    device.clear(distance_.as<float>(), distance_.bytes());
    for (int s = 0; s < kSlots; s++) {
      const bf16* matrix = weights_.as<bf16>(size_t(s) * matrix_bytes_);
      TensorMap* const maps = maps_.as<TensorMap>() + 2 * s;
      if (device.hopper()) {
        const TensorMap map = tensor_map(matrix, p.n, p.k), both[] = {map, map};
        device.upload(maps, both, sizeof both);
      }
      const Slot slot{norm_.as<float>(), matrix, matrix, distance_.bytes() > 0 ? distance_.as<float>() : nullptr, WeightFormat::kBF16, maps};
      const Step step{s, 1e-3f, s};
      device.upload(slots_.as<Slot>() + s, &slot, sizeof slot);
      device.upload(table_.as<Step>() + s, &step, sizeof step);
    }
  }

  StepRef at(int launch) const { return {table_.as<Step>(), slots_.as<Slot>(), launch % kSlots, kSlots}; }
  size_t matrix_bytes() const { return matrix_bytes_; }

 private:
  size_t matrix_bytes_;
  Buffer weights_, maps_, norm_, distance_, table_, slots_;
};

// The time of one of `kLaunches` calls of `queue(i)` in a graph.
Timing time_graph(Gpu& device, CacheScrub& scrub, int repeats, const std::function<void(int)>& queue) {
  const auto graph = device.record([&] {
    for (int i = 0; i < kLaunches; i++) queue(i);
  });
  const Timing t = bench::time_runs(repeats, [&] { scrub(); }, [&] {
    graph->launch();
    device.wait();
  });
  return {t.median / kLaunches, t.lower / kLaunches, t.upper / kLaunches};
}

// The stream and what kernels make of it, for `tokens` tokens in one sequence.
struct Pass {
  Pass(Gpu& device, const Architecture& architecture, int tokens)
      : shape(architecture),
        workspace(device, shape, tokens),
        h(device, size_t(tokens) * size_t(shape.width) * sizeof(float), "the stream"),
        x(random_matrix(device, size_t(tokens) * size_t(std::max({shape.width, shape.inner, shape.ff})))) {
    device.clear(h.as<float>(), h.bytes());
    const NormedRows rows = workspace.normed();
    device.clear(rows.squares, size_t(tokens) * size_t(square_groups(shape.width)) * sizeof(float));
  }
  Shape shape;
  Workspace workspace;
  Buffer h, x;
};

Row time_product(Gpu& device, CacheScrub& scrub, const Architecture& architecture, const BenchProduct& p, const Slots& slots,
                 int tokens, int repeats) {
  const Pass pass(device, architecture, tokens);
  Gemm g{};
  g.out_weights = p.out_weights;
  g.x = pass.x.as<bf16>();
  g.m = tokens, g.n = p.n, g.k = p.k;
  g.epilogue = p.epilogue, g.activation = pass.shape.activation;
  g.y = pass.workspace.wide(), g.h = pass.h.as<float>(), g.partials = pass.workspace.partials();
  if (p.epilogue == Epilogue::kAdd) {
    g.next = pass.workspace.normed();
  } else {
    g.norm = {pass.workspace.normed().squares, pass.shape.true_width, pass.shape.attention_norm.epsilon};
  }
  const GemmTiling tiling = tile_gemm(tokens, p.n, p.k, p.epilogue == Epilogue::kAdd, device.facts());
  Row row;
  row.what = p.name, row.tokens = tokens;
  row.time = time_graph(device, scrub, repeats, [&](int i) {
    g.at = slots.at(i);
    gemm(device.stream(), g, tiling);
    if (tiling.splits > 1) add_partials(device.stream(), g.at, g.partials, tiling.splits, g.h, g.next, tokens, p.n);
  });
  const double out = p.epilogue == Epilogue::kAdd ? 8 : p.epilogue == Epilogue::kGate ? 1 : 2;  // bytes a column, both ways
  row.bytes = double(slots.matrix_bytes()) + double(tokens) * (p.k * 2.0 + p.n * out);
  row.flops = 2.0 * tokens * p.n * p.k;
  return row;
}

// Times begin_rows, which makes what a product reads of the stream; elsewhere the kernel that writes the stream does.
Row time_norm(Gpu& device, CacheScrub& scrub, const Architecture& architecture, const Slots& slots, int tokens, int repeats) {
  const Pass pass(device, architecture, tokens);
  Row row;
  row.what = bench::kNorm, row.tokens = tokens;
  row.time = time_graph(device, scrub, repeats, [&](int i) {
    begin_rows(device.stream(), slots.at(i), pass.h.as<float>(), pass.workspace.normed(), tokens, pass.shape.width);
  });
  row.bytes = double(tokens) * pass.shape.width * (sizeof(float) + sizeof(bf16));
  row.flops = 3.0 * tokens * pass.shape.width;
  return row;
}

Row time_attention(Pool& pool, CacheScrub& scrub, const Architecture& architecture, const Slots& slots, int tokens, int repeats) {
  Gpu& device = pool.device();
  std::vector<int32_t> starts{0, tokens}, indices;
  for (int t = 0; t < tokens; t++) indices.push_back(t);
  const std::vector<uint8_t> visible(size_t(tokens), 1);
  const BatchRows rows(pool, Sights(architecture), {1, tokens, starts.data(), indices.data(), visible.data()});
  const Pass pass(device, architecture, tokens);
  const Buffer qkv = random_matrix(device, size_t(tokens) * size_t(pass.shape.qkv));
  const Rows view = BatchRows::view(rows.extent(), rows.data());
  Row row;
  row.what = bench::kAttend, row.tokens = tokens;
  row.time = time_graph(device, scrub, repeats, [&](int i) {
    attention(device.stream(), {slots.at(i), qkv.as<bf16>(), pass.workspace.mixed(), view, pass.shape.heads, pass.shape.table});
  });
  row.bytes = double(tokens) * (pass.shape.qkv + pass.shape.inner) * sizeof(bf16);
  row.flops = 4.0 * tokens * tokens * pass.shape.inner;
  return row;
}

// All slots that any layer table names, once.
std::vector<int> all_slots(const std::vector<bench::NamedTable>& tables) {
  LayerTable all;
  for (const bench::NamedTable& named : tables) all.insert(all.end(), named.table.begin(), named.table.end());
  return slots_of(all);
}

}  // namespace

std::vector<BenchProduct> bench_products(const Architecture& architecture) {
  const Shape shape(architecture);
  return {{bench::kQkv, shape.qkv, shape.width, false, Epilogue::kStore},
          {bench::kO, shape.width, shape.inner, true, Epilogue::kAdd},
          shape.gated ? BenchProduct{bench::kUp, shape.up, shape.width, false, Epilogue::kGate}
                  : BenchProduct{bench::kUngatedUp, shape.up, shape.width, false, Epilogue::kActivate},
          {bench::kDown, shape.width, shape.ff, true, Epilogue::kAdd}};
}

Buffer random_matrix(Gpu& device, size_t count) {
  std::mt19937 generator(1);
  std::vector<uint16_t> values(count);
  for (uint16_t& value : values) value = uint16_t(0x3c00u | (generator() & 0x80ffu));  // never zero: hardware is faster on it
  Buffer buffer(device, count * sizeof(bf16), "random numbers");
  device.upload(buffer.as<bf16>(), values.data(), buffer.bytes());
  return buffer;
}

CacheScrub::CacheScrub(Gpu& device) : device_(device), memory_(device, 2 * device.facts().cache, "what fills L2 between repeats") {}

void CacheScrub::operator()() {
  device_.clear(memory_.as<char>(), memory_.bytes());
  device_.wait();
}

double copy_rate(Gpu& device, int repeats) {
  const size_t size = 16 * device.facts().cache;  // no cache holds more than a sixteenth
  const Buffer from(device, size, "a copy"), to(device, size, "a copy");
  device.clear(from.as<char>(), from.bytes());
  const Timing t = bench::time_runs(repeats, [] {}, [&] {
    device.copy(to.as<char>(), from.as<char>(), to.bytes());
    device.wait();
  });
  return 2.0 * double(size) / t.median;
}

std::vector<Row> bench_kernels(Pool& pool, const Architecture& architecture, const std::vector<int>& tokens, int repeats,
                               const CancelFlag& cancel) {
  Gpu& device = pool.device();
  std::vector<Row> rows;
  CacheScrub scrub(device);
  for (const BenchProduct& product : bench_products(architecture)) {
    const Slots slots(device, architecture, product);
    for (const int n : tokens) {
      cancel.check();
      if (product.epilogue == Epilogue::kStore) rows.push_back(time_norm(device, scrub, architecture, slots, n, repeats));
      rows.push_back(time_product(device, scrub, architecture, product, slots, n, repeats));
      if (product.epilogue == Epilogue::kStore) rows.push_back(time_attention(pool, scrub, architecture, slots, n, repeats));
    }
  }
  return rows;
}

bench::Report run_bench(int index, const Architecture& architecture, const bench::Request& request,
                        const bench::Progress& progress, const CancelFlag& cancel) {
  const auto pool = std::make_shared<Pool>(index, "");
  Gpu& device = pool->device();
  device.use();
  bench::Report report;
  report.ceilings.memory = copy_rate(device, request.repeats);
  report.ceilings.memory_by = "a copy, read and written";
  report.rows = bench_kernels(*pool, architecture, request.tokens, request.repeats, cancel);
  for (const Row& row : report.rows) {
    if (row.flops / row.time.lower <= report.ceilings.multiply) continue;
    report.ceilings.multiply = row.flops / row.time.lower;
    report.ceilings.multiply_by = row.what + " of " + std::to_string(row.tokens) + " tokens";
  }
  report.ceilings.float32 = report.ceilings.multiply;  // attention is in bf16 too
  const bench::RandomModel model(architecture);
  CacheScrub scrub(device);
  pool->trim();
  const size_t free_before = device.free_bytes();
  CudaBackend backend(architecture, model.fixed(), Options{index});
  bench::BackendBench bench(backend, architecture, model, [&] { scrub(); });
  bench.load(request.tables, cancel);
  for (Row& row : bench.encoders(request, progress, cancel)) report.rows.push_back(std::move(row));
  const int longest = *std::max_element(request.tokens.begin(), request.tokens.end());
  const Estimate promised = estimate(device.facts(), architecture, all_slots(request.tables), 0, {longest, longest});
  report.memory = {double(promised.weights + promised.workspace), double(free_before - device.free_bytes())};
  return report;
}

}  // namespace skrr::cuda
