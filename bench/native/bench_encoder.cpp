// Two blocks of T5-XXL with random weights, through the whole engine, at the sizes of the rivals' benchmark.
//   bench_encoder [precision] [seconds per size] [threads] [one size, such as 1x77]
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

#include "bench/native/common.h"
#include "cpu/device.h"
#include "cpu/kernels.h"
#include "engine/encoder.h"
#include "engine/numeric.h"
#include "engine/processors.h"

using namespace skrr;

namespace {

Architecture slice() {
  Block block;
  block.attention.norm = block.feed_forward.norm = {Norm::Kind::kRms, 1e-6f};
  block.attention.heads = block.attention.key_heads = 64, block.attention.head_dim = 64;
  block.attention.distance.buckets = 32, block.attention.distance.max_distance = 128;
  block.feed_forward.inner = 10240, block.feed_forward.gated = true;
  Architecture a;
  a.width = 4096, a.vocab = 1;
  a.blocks = {block, block};
  a.output_norm = block.attention.norm;
  return a;
}
const Architecture kSlice = slice();

// A checkpoint of seeded random weights in a temporary file, gone when the benchmark ends.
class Checkpoint {
 public:
  Checkpoint() : path_("bench_encoder." + std::to_string(getpid()) + ".bin"), file_(path_, std::ios::binary) {
    const int64_t width = kSlice.width, inner = kSlice.attention(0).inner(), ff = kSlice.feed_forward(1).inner;
    spec_.architecture = kSlice;
    spec_.files = {path_};
    spec_.embedding = add(1, width, 1);
    spec_.final_norm = add(1, width, 1);
    for (int s = 0; s < kSlice.sub_blocks(); s++) {
      SubBlockSource& source = spec_.sub_blocks.emplace_back();
      source[Role::kNorm] = add(1, width, 1);
      if (is_attention(s)) {
        source[Role::kQ] = add(inner, width, 0.003f);  // logits of a few units
        source[Role::kK] = add(inner, width, 0.03f), source[Role::kV] = add(inner, width, 0.03f);
        source[Role::kO] = add(width, inner, 0.03f);
        source[Role::kDistance] = add(kSlice.attention(s).distance.buckets, kSlice.attention(s).heads, 1);
      } else {
        source[Role::kGate] = add(ff, width, 0.03f), source[Role::kUp] = add(ff, width, 0.03f);
        source[Role::kDown] = add(width, ff, 0.03f);
      }
    }
    file_.close();
  }
  ~Checkpoint() { std::remove(path_.c_str()); }

  const EncoderSpec& spec() const { return spec_; }

 private:
  TensorSource add(int64_t rows, int64_t columns, float scale) {
    const std::vector<uint16_t> values = ::bench::random_bf16(size_t(rows * columns), ++seed_, scale);
    const TensorSource source{"w" + std::to_string(seed_), 0, offset_, Encoding::kBF16, rows, columns, 1};
    file_.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * 2));
    offset_ += values.size() * 2;
    return source;
  }

  EncoderSpec spec_;
  std::string path_;
  std::ofstream file_;
  uint64_t offset_ = 0;
  uint32_t seed_ = 0;
};

double flops(int sequences, int length) {
  const double tokens = double(sequences) * length, width = kSlice.width, inner = kSlice.attention(0).inner();
  const double block = tokens * 2 * width * (4 * inner + 3 * double(kSlice.feed_forward(1).inner)) + tokens * 4 * length * inner;
  return double(kSlice.blocks.size()) * block;
}

void run_size(Encoder& encoder, const LoadedPlan& plan, int sequences, int length, double seconds,
              const ::bench::Roofline& limit) {
  const int tokens = sequences * length;
  std::vector<int32_t> starts, indices, rows;
  std::vector<uint8_t> visible(size_t(tokens), 1);
  for (int s = 0; s <= sequences; s++) starts.push_back(s * length);
  for (int t = 0; t < tokens; t++) indices.push_back(t % length), rows.push_back(t);
  std::vector<float> embeds(size_t(tokens) * size_t(kSlice.width)), out(embeds.size());
  const std::vector<uint16_t> values = ::bench::random_bf16(embeds.size(), 99, 1);
  for (size_t i = 0; i < embeds.size(); i++) embeds[i] = from_bf16(values[i]);
  const Input input{{sequences, tokens, starts.data(), indices.data(), visible.data()}, nullptr, embeds.data()};
  Output embeddings;
  embeddings.after = int(plan.table().size());
  embeddings.data = out.data(), embeddings.rows = rows.data(), embeddings.stride = kSlice.width;
  const ::bench::Times times = ::bench::time_runs(seconds, [&](int) {
    encoder.encode(input, plan, {embeddings}, CancelFlag());
  });
  const double flop = flops(sequences, length);
  const double share = limit.share(double(encoder.memory().weights), flop, times.median);
  std::printf("%dx%-4d median %8.2f ms  min %8.2f ms  cpu %8.2f ms  %6.0f GFLOP/s  roofline %3.0f %%\n", sequences, length,
              times.median * 1e3, times.min * 1e3, times.cpu * 1e3, flop / times.median / 1e9, 100 * share);
  std::fflush(stdout);
}

}  // namespace

int main(int count, char** arguments) {
  const Precision precision = ::bench::parse_precision(count > 1 ? arguments[1] : "bf16");
  const double seconds = count > 2 ? std::atof(arguments[2]) : 3;
  const int threads = count > 3 ? std::atoi(arguments[3]) : 0;
  const Checkpoint checkpoint;
  Encoder encoder(checkpoint.spec(), [&](const Architecture& architecture, const FixedTensors& fixed) {
    return cpu::make_device(threads)->open(architecture, fixed, "");
  });
  LayerTable table;
  for (int s = 0; s < kSlice.sub_blocks(); s++) table.push_back({slot_of(s, precision), 1});
  const auto before = std::chrono::steady_clock::now();
  const auto plan = encoder.load_plan(table, nullptr, [](uint64_t, uint64_t) {}, CancelFlag());
  const double loading = std::chrono::duration<double>(std::chrono::steady_clock::now() - before).count();
  std::printf("isa %s, weights %.0f MiB, packed in %.2f s\n", cpu::kernels().isa,
              double(encoder.memory().weights) / (1 << 20), loading);
  const ::bench::Roofline limit = ::bench::roofline(precision, threads > 0 ? threads : available_threads());
  const std::string only = count > 4 ? arguments[4] : "";
  for (const auto& [sequences, length] : {std::pair{1, 77}, {1, 300}, {8, 128}, {1, 512}}) {
    const std::string name = std::to_string(sequences) + "x" + std::to_string(length);
    if (only.empty() || only == name) run_size(encoder, *plan, sequences, length, seconds, limit);
  }
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  std::printf("peak resident %.0f MiB\n", double(usage.ru_maxrss) / 1024);
}
