// The CUDA kernels and the whole encoder in T5-XXL's geometry, with random weights: milliseconds, achieved bandwidth and
// arithmetic, and what fraction of the measured copy rate. `--json` for machines, `--tiny` to see that it works at all.
//
// A product runs as a recorded graph of several launches that take turns over slots of weights too large for L2 together;
// times are medians over repeats, with the spread between quartiles.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <random>

#include "cuda/cuda_backend.h"
#include "cuda/tensor_map.h"
#include "engine/numeric.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

struct Settings {
  Geometry geometry{24, 4096, 64, 64, 10240, 0, 32, 128, 1e-6f, Activation::kGeluTanh, true, false};
  std::vector<int> tokens{1, 77, 128, 256, 512, 1024, 4096};
  int repeats = 20, launches = 16;
  size_t copy_bytes = size_t(1) << 30;
  bool json = false;
};

struct Timing {
  double median, lower, upper;  // milliseconds
};

// Of one call of `work` out of `launches` in it.
template <class Work>
Timing measure(Device& device, int repeats, int launches, Work work) {
  std::vector<double> times;
  for (int r = 0; r < repeats + 2; r++) {
    const auto start = std::chrono::steady_clock::now();
    work();
    device.wait();
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
    if (r >= 2) times.push_back(took.count() / launches);  // two to warm up
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() / 4], times[times.size() * 3 / 4]};
}

class Report {
 public:
  Report(bool json, const std::string& device, double copy_rate) : json_(json), copy_rate_(copy_rate) {
    if (json_) {
      std::printf("{\"device\": \"%s\", \"copyGBs\": %.1f, \"rows\": [", device.c_str(), copy_rate);
    } else {
      std::printf("%s, copies at %.0f GB/s (read + written)\n\n%-28s %7s %9s %9s %8s %8s %7s\n", device.c_str(), copy_rate,
                  "what", "tokens", "ms", "spread", "GB/s", "TFLOP/s", "of copy");
    }
  }
  ~Report() { std::printf(json_ ? "]}\n" : "\n"); }

  void row(const std::string& what, int tokens, const Timing& t, double bytes, double flops) {
    const double rate = bytes / t.median * 1e-6, tflops = flops / t.median * 1e-9;
    if (json_) {
      std::printf("%s\n{\"what\": \"%s\", \"tokens\": %d, \"ms\": %.5f, \"lower\": %.5f, \"upper\": %.5f, \"GBs\": %.1f, "
                  "\"TFLOPs\": %.2f}",
                  first_ ? "" : ",", what.c_str(), tokens, t.median, t.lower, t.upper, rate, tflops);
      first_ = false;
    } else {
      std::printf("%-28s %7d %9.4f %9.4f %8.0f %8.1f %6.0f%%\n", what.c_str(), tokens, t.median, t.upper - t.lower, rate,
                  tflops, 100 * rate / copy_rate_);
    }
    std::fflush(stdout);
  }

 private:
  const bool json_;
  const double copy_rate_;
  bool first_ = true;
};

// Both directions counted: what a kernel that reads and writes can reach.
double copy_rate(Device& device, const Settings& settings) {
  const Buffer from(device, settings.copy_bytes, "a copy"), to(device, settings.copy_bytes, "a copy");
  device.clear(from.as<char>(), from.bytes());
  const Timing t = measure(device, settings.repeats, 1, [&] { device.copy(to.as<char>(), from.as<char>(), to.bytes()); });
  return 2.0 * double(settings.copy_bytes) / t.median * 1e-6;
}

// Finite bf16 values of either sign: never zeros, on which hardware runs faster than on data.
std::vector<uint16_t> random_weights(size_t count) {
  std::mt19937 generator(1);
  std::vector<uint16_t> values(count);
  for (uint16_t& value : values) value = uint16_t(0x3c00u | (generator() & 0x80ffu));  // 0.008 to 0.016
  return values;
}

struct Product {
  const char* name;
  int n, k;
  bool out_weights;
  Finish finish;
};

void bench_products(Device& device, const Settings& settings, Report& report) {
  const Shape shape(settings.geometry);
  const Product products[] = {{"q|k|v", 3 * shape.inner, shape.width, false, Finish::kStore},
                              {"o + residual", shape.width, shape.inner, true, Finish::kAdd},
                              {"wi_0, wi_1, gelu, gate", shape.up, shape.width, false, Finish::kGate},
                              {"wo + residual", shape.width, shape.ff, true, Finish::kAdd}};
  constexpr int kSlots = 2;
  for (const Product& p : products) {
    const size_t weight_bytes = size_t(p.n) * size_t(p.k) * sizeof(bf16);
    const Buffer weights(device, kSlots * weight_bytes, "weights");
    const std::vector<uint16_t> values = random_weights(size_t(p.n) * size_t(p.k));
    const Buffer maps(device, 2 * kSlots * sizeof(TensorMap), "tensor maps");
    const Buffer norm(device, size_t(shape.width) * sizeof(float), "norm");
    device.clear(norm.as<float>(), norm.bytes());
    std::vector<Slot> slots;
    std::vector<Step> steps;
    for (int s = 0; s < kSlots; s++) {
      const bf16* at = weights.as<bf16>(size_t(s) * weight_bytes);
      device.upload(weights.as<bf16>(size_t(s) * weight_bytes), values.data(), weight_bytes);
      TensorMap* const slot_maps = maps.as<TensorMap>() + 2 * s;
      if (device.hopper()) {
        const TensorMap map = tensor_map(at, p.n, p.k), both[] = {map, map};
        device.upload(slot_maps, both, sizeof both);
      }
      slots.push_back({norm.as<float>(), at, at, nullptr, WeightFormat::kBF16, slot_maps});
      steps.push_back({s, 1e-3f, s});
    }
    const Buffer table(device, steps.size() * sizeof(Step), "table"), slot_table(device, slots.size() * sizeof(Slot), "slots");
    device.upload(table.as<Step>(), steps.data(), table.bytes());
    device.upload(slot_table.as<Slot>(), slots.data(), slot_table.bytes());
    for (const int tokens : settings.tokens) {
      const Workspace workspace(device, settings.geometry, tokens);
      const size_t m = size_t(tokens);
      const Buffer x(device, m * size_t(p.k) * sizeof(bf16), "x"), h(device, m * size_t(shape.width) * sizeof(float), "h");
      const std::vector<uint16_t> activations = random_weights(m * size_t(p.k));
      device.upload(x.as<bf16>(), activations.data(), x.bytes());
      device.clear(h.as<float>(), h.bytes());
      Gemm g{{}, p.out_weights, x.as<bf16>(), tokens, p.n, p.k, p.finish, settings.geometry.activation, workspace.wide(),
             h.as<float>(), workspace.partials(), {}, {}};
      if (p.finish == Finish::kAdd) {
        g.next = workspace.normed();
      } else {
        g.norm = {workspace.normed().squares, shape.width, settings.geometry.epsilon};
        device.clear(workspace.normed().squares, m * size_t(square_groups(shape.width)) * sizeof(float));
      }
      const GemmPlan plan =
          plan_gemm(tokens, p.n, p.k, p.finish == Finish::kAdd, device.facts());
      const auto graph = device.record([&] {
        for (int i = 0; i < settings.launches; i++) {
          g.at = {table.as<Step>(), slot_table.as<Slot>(), i % kSlots, kSlots};
          gemm(device.stream(), g, plan);
          if (plan.splits > 1) add_partials(device.stream(), g.at, g.partials, plan.splits, g.h, g.next, tokens, p.n);
        }
      });
      const Timing t = measure(device, settings.repeats, settings.launches, [&] { graph->launch(); });
      const double out = p.finish == Finish::kAdd ? 8 : p.finish == Finish::kGate ? 1 : 2;  // bytes a column, both ways
      const double bytes = double(weight_bytes) + double(m) * (p.k * 2.0 + p.n * out);
      report.row(p.name, tokens, t, bytes, 2.0 * double(m) * p.n * p.k);
    }
  }
}

Tensor tensor(const std::vector<uint16_t>& values, int rows, int columns) {
  return {"random", reinterpret_cast<const std::byte*>(values.data()), DType::kBF16, rows, columns, 1};
}

// Dense, and with 10 of 24 blocks' sub-blocks skipped (41.9 % of T5-XXL's parameters, the paper's largest plan).
void bench_encoder(const Settings& settings, Report& report) {
  const Geometry& g = settings.geometry;
  const std::vector<uint16_t> values = random_weights(size_t(g.width) * size_t(std::max(g.ff, g.inner())));
  const auto matrix = [&](int rows, int columns) { return tensor(values, rows, columns); };
  CudaBackend backend(g, {{}, matrix(1, g.width), matrix(g.buckets, g.heads)}, Options{});
  LayerTable dense, pruned;
  for (int s = 0; s < g.sub_blocks(); s++) {
    SubBlockTensors t;
    t.norm = matrix(1, g.width);
    if (is_attention(s)) {
      t.q = t.k = t.v = matrix(g.inner(), g.width), t.o = matrix(g.width, g.inner());
    } else {
      t.wi_0 = t.wi_1 = matrix(g.ff, g.width), t.wo = matrix(g.width, g.ff);
    }
    backend.load(s, Precision::kBF16, t, CancelFlag());
    dense.push_back({s, 1});
    const bool skipped = s / 2 * 10 / g.blocks != (s / 2 + 1) * 10 / g.blocks;
    pruned.push_back({skipped ? kSkipped : s, 1});
  }
  const double attention = 4.0 * g.inner() * g.width, feed_forward = 3.0 * g.ff * g.width;
  for (const auto& [name, table] : {std::pair{"encoder, dense", dense}, std::pair{"encoder, 10 blocks skipped", pruned}}) {
    double parameters = 0;
    for (size_t p = 0; p < table.size(); p++) {
      if (table[p].slot != kSkipped) parameters += p % 2 == 0 ? attention : feed_forward;
    }
    for (const int tokens : settings.tokens) {
      std::vector<int32_t> starts{0, tokens}, positions;
      for (int t = 0; t < tokens; t++) positions.push_back(t);
      const std::vector<uint8_t> visible(size_t(tokens), 1);
      std::vector<float> embeddings(size_t(tokens) * size_t(g.width));
      for (size_t i = 0; i < embeddings.size(); i++) embeddings[i] = from_bf16(values[i % values.size()]);
      const Batch batch{1, tokens, starts.data(), positions.data(), visible.data()};
      const auto states = backend.begin(batch, embeddings.data());
      Device& device = *static_cast<CudaStates&>(*states).device;
      const Timing t = measure(device, settings.repeats, 1, [&] {
        backend.run(table, 0, g.sub_blocks(), *states, CancelFlag());
      });
      const double scores = 4.0 * tokens * tokens * g.inner() * parameters / (attention + feed_forward);
      report.row(name, tokens, t, 2 * parameters, 2 * parameters * tokens + scores);
    }
  }
  if (!settings.json) {
    std::printf("\nweights %.3f GB, workspace %.1f MB\n", double(backend.weight_bytes()) * 1e-9,
                double(backend.workspace_bytes()) * 1e-6);
  }
}

}  // namespace

int main(int count, char** arguments) {
  Settings settings;
  for (int i = 1; i < count; i++) {
    if (std::strcmp(arguments[i], "--json") == 0) {
      settings.json = true;
    } else if (std::strcmp(arguments[i], "--tiny") == 0) {
      settings.geometry.blocks = 2, settings.geometry.width = 64, settings.geometry.heads = 1, settings.geometry.ff = 64;
      settings.tokens = {3};
      settings.repeats = settings.launches = 2;
      settings.copy_bytes = 1000;
    } else {
      std::fprintf(stderr, "usage: %s [--json] [--tiny]\n", arguments[0]);
      return 2;
    }
  }
  try {
    Device device(0);
    Report report(settings.json, device.name(), copy_rate(device, settings));
    bench_products(device, settings, report);
    bench_encoder(settings, report);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
