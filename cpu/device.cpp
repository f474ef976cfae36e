#include "cpu/device.h"

#include <algorithm>
#include <set>

#include "cpu/attention.h"
#include "cpu/cpu_backend.h"
#include "cpu/limits.h"
#include "engine/processors.h"

namespace skrr::cpu {
namespace {

// --- what an encoder will take, by the sums the backend allocates by ---

// The sizes of a sub-block's two products, [n, k] each.
struct Products {
  std::vector<int64_t> in_rows;  // in: of its matrices
  int64_t inner;                 // rows of activations between the two
  bool in_bias, out_bias;

  int64_t in_columns(int columns) const {  // in whole panels
    int64_t sum = 0;
    for (const int64_t rows : in_rows) sum += round_up(rows, columns);
    return sum;
  }
};

Products products_of(const Architecture& architecture, int sub_block) {
  if (is_attention(sub_block)) {
    const Attention& a = architecture.attention(sub_block);
    return {{a.inner(), a.key_inner(), a.key_inner()}, a.inner(), a.bias != Bias::kNone, a.bias == Bias::kAll};
  }
  const FeedForward& f = architecture.feed_forward(sub_block);
  return {std::vector<int64_t>(f.gated ? 2 : 1, f.inner), f.inner, f.bias, f.bias};
}

int64_t floats_of(const Norm& norm, int64_t width) { return norm.kind == Norm::Kind::kLayer ? 2 * width : width; }

// Floats of its norms and its distance table.
int64_t vectors_of(const Architecture& architecture, int sub_block) {
  const int64_t width = architecture.width;
  if (!is_attention(sub_block)) {
    const FeedForward& f = architecture.feed_forward(sub_block);
    return floats_of(f.norm, width) + (f.post_norm ? width : 0);
  }
  const Attention& a = architecture.attention(sub_block);
  return floats_of(a.norm, width) + (a.post_norm ? width : 0) + (a.head_norm ? 2 * a.head_dim : 0) +
         int64_t(a.distance.buckets) * a.heads;
}

size_t weights_of(const Architecture& a, const TileKernel& kernel, int sub_block) {
  const Products p = products_of(a, sub_block);
  const int64_t in = p.in_columns(kernel.columns), out = round_up(a.width, kernel.columns);
  const int64_t floats = vectors_of(a, sub_block) + (p.in_bias ? in : 0) + (p.out_bias ? out : 0);
  return size_t(floats) * sizeof(float) + PackedMatrix::bytes_for(kernel, in, a.width) + PackedMatrix::bytes_for(kernel, out, p.inner);
}

// The working memory of one sub-block. All sub-blocks use the same buffers, so each buffer grows to the largest.
struct Workspace {
  size_t rows = 0;      // bytes of a packed left operand
  int64_t wide = 0;     // floats: q|k|v, activations, or what is normed before it is added
  int64_t mixed = 0;    // floats: attention's result
  int64_t scratch = 0;  // floats of one worker: packing weights or rows, a product's tiles, one head of attention
};

Workspace workspace_of(const Architecture& a, const Kernels& kernels, const TileKernel& kernel, int sub_block,
                       const Extent& extent, int threads) {
  const int64_t tokens = extent.tokens, width = a.width;
  const Products p = products_of(a, sub_block);
  const bool attention = is_attention(sub_block);
  const int64_t max_k = std::max(width, p.inner), in_columns = p.in_columns(kernel.columns);
  const auto product = [&](int64_t columns, int64_t k, int together) {
    const int64_t panels = ceil_div(columns, kernel.columns);
    return Tiling(kernel, tokens, round_up(k, kernel.depth), panels, threads, together).scratch_floats(kernel);
  };
  Workspace w;
  w.rows = size_t(round_up(tokens, kernel.rows) * round_up(max_k, kernel.depth)) * kernel.a_size;
  w.wide = tokens * std::max(attention ? in_columns : round_up(p.inner, kernel.columns), width);
  w.mixed = attention ? tokens * p.inner : 0;
  const int64_t in = product(in_columns, width, attention ? 1 : int(p.in_rows.size()));
  const int64_t head = attention ? AttentionScratch(kernels.f32, extent.longest, a.attention(sub_block).head_dim).floats() : 0;
  w.scratch = std::max({kernel.columns * max_k, kernel.rows * max_k, in, product(width, p.inner, 1), head});
  return w;
}

size_t map_bytes(const Kernels& kernels, int64_t width, int64_t rank) {
  return PackedMatrix::bytes_for(kernels.f32, rank, width) + PackedMatrix::bytes_for(kernels.f32, width, rank);
}

class CpuDevice final : public Device {
 public:
  explicit CpuDevice(int threads) : threads_(threads > 0 ? threads : available_threads()) {}

  const DeviceFacts& facts() const override { return facts_; }

  Estimate estimate(const Architecture& a, const std::vector<int>& slots, int rank, const Extent& extent) const override {
    require_kernels(facts_, a);
    const Kernels& kernels = cpu::kernels();
    size_t weights = size_t(floats_of(a.output_norm, a.width)) * sizeof(float);
    if (rank > 0) weights += map_bytes(kernels, a.width, rank);
    Workspace max;
    max.mixed = int64_t(extent.tokens) * rank;  // between the layers of the map
    for (const int slot : slots) {
      const TileKernel& kernel = tile_kernel(kernels, precision_of(slot));
      weights += weights_of(a, kernel, sub_block_of(slot));
      const Workspace w = workspace_of(a, kernels, kernel, sub_block_of(slot), extent, threads_);
      max.rows = std::max(max.rows, w.rows), max.wide = std::max(max.wide, w.wide);
      max.mixed = std::max(max.mixed, w.mixed), max.scratch = std::max(max.scratch, w.scratch);
    }
    const size_t streams = 2 * size_t(extent.tokens) * size_t(a.width) * sizeof(float);  // residual stream, result
    return {weights, streams + max.rows + size_t(max.wide + max.mixed + threads_ * max.scratch) * sizeof(float)};
  }

  std::unique_ptr<Backend> open(const Architecture& architecture, const FixedTensors& fixed, const std::string&) const override {
    require_kernels(facts_, architecture);
    return std::make_unique<CpuBackend>(architecture, fixed, threads_);
  }

  bench::Report bench(const Architecture& architecture, const bench::Request& request, const bench::Progress& progress,
                      const CancelFlag& cancel) const override;

 private:
  const int threads_;
  const DeviceFacts facts_{"cpu", "the processor", {Precision::kF32, Precision::kBF16, Precision::kInt8, Precision::kInt4}, {}, all_attributes()};
};

// Raises the ceilings to what is timed now: before and after all rows, in case another program was busy at one of the two times.
// A plan may name several precisions; no share is above 1 by the fastest of them.
void time_ceilings(const Limits& limits, const std::vector<bench::NamedTable>& tables, const CancelFlag& cancel,
                   bench::Ceilings& ceilings) {
  const Kernels& kernels = cpu::kernels();
  std::set<Precision> precisions;
  for (const bench::NamedTable& named : tables) {
    for (const TableEntry& entry : named.table) {
      if (entry.slot != kSkipped) precisions.insert(precision_of(entry.slot));
    }
  }
  for (const Precision precision : precisions) {
    const double rate = limits.multiply_rate(tile_kernel(kernels, precision), cancel);
    if (rate <= ceilings.multiply) continue;
    ceilings.multiply = rate;
    ceilings.multiply_by = std::string(kernels.isa) + "'s instruction for " + kPrecisionNames[int(precision)] + ", from registers";
  }
  ceilings.float32 = std::max(ceilings.float32, limits.multiply_rate(kernels.f32, cancel));
  ceilings.memory = std::max(ceilings.memory, limits.read_rate(cancel));
  ceilings.memory_by = "a streaming read";
}

bench::Report CpuDevice::bench(const Architecture& architecture, const bench::Request& request, const bench::Progress& progress,
                               const CancelFlag& cancel) const {
  require_kernels(facts_, architecture);
  const bench::RandomModel model(architecture);
  CpuBackend backend(architecture, model.fixed(), threads_);
  const Limits limits(threads_);
  bench::BackendBench bench(backend, architecture, model, [&] { limits.scrub(); });
  bench.load(request.tables, cancel);
  bench::Report report;
  time_ceilings(limits, request.tables, cancel, report.ceilings);
  report.rows = bench.sub_blocks(request, progress, cancel);
  const auto listen = [&](std::function<void(const char*)> after) { backend.listen(std::move(after)); };
  for (bench::Row& row : bench.parts(request, listen, progress, cancel)) report.rows.push_back(std::move(row));
  for (bench::Row& row : bench.encoders(request, progress, cancel)) report.rows.push_back(std::move(row));
  time_ceilings(limits, request.tables, cancel, report.ceilings);
  return report;
}

}  // namespace

std::unique_ptr<Device> make_device(int threads) { return std::make_unique<CpuDevice>(threads); }

}  // namespace skrr::cpu
