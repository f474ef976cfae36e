#include "engine/bench.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "engine/numeric.h"

namespace skrr::bench {
namespace {

constexpr int kNotCounted = 2;

}  // namespace

Timing time_runs(int repeats, const std::function<void()>& between, const std::function<void()>& work) {
  std::vector<double> times;
  for (int r = 0; r < repeats + kNotCounted; r++) {
    between();
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (r >= kNotCounted) times.push_back(took.count());
  }
  return timing_of(std::move(times));
}

Timing timing_of(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() / 4], times[times.size() * 3 / 4]};
}

double min_seconds(const Row& row, const Ceilings& ceilings) {
  const double multiplying = (row.flops - row.float32_flops) / ceilings.multiply + row.float32_flops / ceilings.float32;
  return std::max(row.bytes / ceilings.memory, multiplying);
}

// --- random weights ---

RandomModel::RandomModel(const Architecture& a) : architecture_(a) {
  int64_t largest = a.width;
  for (const Block& block : a.blocks) {
    const int64_t inner = std::max(block.attention.inner(), block.feed_forward.inner);
    largest = std::max({largest, inner * a.width, int64_t(block.attention.distance.buckets) * block.attention.heads});
  }
  values_.resize(size_t(largest));
  std::mt19937 generator(1);
  // Both signs and no zeros, on which hardware is faster than on data; small, so that nothing overflows.
  for (uint16_t& value : values_) value = uint16_t(0x3c00u | (generator() & 0x80ffu));  // 0.008 to 0.03
}

Tensor RandomModel::matrix(int rows, int columns) const {
  return {"random", reinterpret_cast<const std::byte*>(values_.data()), Encoding::kBF16, rows, columns, 1};
}

FixedTensors RandomModel::fixed() const {
  const Tensor norm = matrix(1, architecture_.width);
  return {{}, {}, norm, architecture_.output_norm.kind == Norm::Kind::kLayer ? norm : Tensor()};
}

Weights RandomModel::sub_block(int index) const {
  const int width = architecture_.width;
  const bool attends = is_attention(index);
  const Norm& norm = attends ? architecture_.attention(index).norm : architecture_.feed_forward(index).norm;
  const auto& post_norm = attends ? architecture_.attention(index).post_norm : architecture_.feed_forward(index).post_norm;
  Weights w;
  w[Role::kNorm] = matrix(1, width);
  if (norm.kind == Norm::Kind::kLayer) w[Role::kNormBias] = w[Role::kNorm];
  if (post_norm) w[Role::kPostNorm] = w[Role::kNorm];
  if (attends) add_attention(architecture_.attention(index), w);
  else add_feed_forward(architecture_.feed_forward(index), w);
  return w;
}

void RandomModel::add_attention(const Attention& a, Weights& w) const {
  const int width = architecture_.width;
  w[Role::kQ] = matrix(a.inner(), width), w[Role::kO] = matrix(width, a.inner());
  w[Role::kK] = w[Role::kV] = matrix(a.key_inner(), width);
  if (a.bias != Bias::kNone) w[Role::kQBias] = matrix(1, a.inner()), w[Role::kKBias] = w[Role::kVBias] = matrix(1, a.key_inner());
  if (a.bias == Bias::kAll) w[Role::kOBias] = matrix(1, width);
  if (a.head_norm) w[Role::kQNorm] = w[Role::kKNorm] = matrix(1, a.head_dim);
  if (a.distance.buckets > 0) w[Role::kDistance] = matrix(a.distance.buckets, a.heads);
}

void RandomModel::add_feed_forward(const FeedForward& f, Weights& w) const {
  const int width = architecture_.width;
  w[Role::kUp] = matrix(f.inner, width), w[Role::kDown] = matrix(width, f.inner);
  if (f.bias) w[Role::kUpBias] = matrix(1, f.inner), w[Role::kDownBias] = matrix(1, width);
  if (f.gated) w[Role::kGate] = w[Role::kUp], w[Role::kGateBias] = w[Role::kUpBias];
}

std::vector<float> RandomModel::embeddings(int tokens) const {
  std::vector<float> rows(size_t(tokens) * size_t(architecture_.width));
  for (size_t i = 0; i < rows.size(); i++) rows[i] = from_bf16(values_[i * 7 % values_.size()]);
  return rows;
}

double matrix_parameters(const Architecture& a, int sub_block) {
  if (is_attention(sub_block)) return 2.0 * (a.attention(sub_block).inner() + a.attention(sub_block).key_inner()) * a.width;
  const FeedForward& f = a.feed_forward(sub_block);
  return (f.gated ? 3.0 : 2.0) * f.inner * a.width;
}

double product_flops(const Architecture& a, int sub_block, int tokens) { return 2.0 * tokens * matrix_parameters(a, sub_block); }

double attention_flops(const Architecture& architecture, int sub_block, int tokens) {
  if (!is_attention(sub_block)) return 0;
  const Attention& a = architecture.attention(sub_block);
  const auto within = [&](int limit, int there) { return limit == Distance::kUnlimited ? there : std::min(limit, there); };
  double pairs = 0;  // of a query and a key that it reaches
  for (int t = 0; t < tokens; t++) pairs += within(a.distance.back, t) + 1 + within(a.distance.ahead, tokens - 1 - t);
  return 4.0 * pairs * a.inner();
}

// --- a backend ---

BackendBench::BackendBench(Backend& backend, const Architecture& architecture, const RandomModel& model, std::function<void()> scrub)
    : backend_(backend),
      architecture_(architecture),
      model_(model),
      scrub_(std::move(scrub)),
      slot_bytes_(size_t(slot_count(architecture))) {}

void BackendBench::load(const std::vector<NamedTable>& tables, const CancelFlag& cancel) {
  for (const NamedTable& named : tables) {
    for (const TableEntry& entry : named.table) {
      if (entry.slot == kSkipped || slot_bytes_[size_t(entry.slot)] > 0) continue;
      const size_t before = backend_.weight_bytes();
      backend_.load(entry.slot, model_.sub_block(sub_block_of(entry.slot)), cancel);
      slot_bytes_[size_t(entry.slot)] = double(backend_.weight_bytes() - before);
      const int kind = sub_block_of(entry.slot) % 2;
      if (first_[kind] < 0) first_[kind] = entry.slot;
    }
  }
}

// The first loaded slot of a kind, at its kind's first position.
LayerTable BackendBench::one_of_kind(int kind) const {
  LayerTable table(size_t(architecture_.sub_blocks()));
  table[size_t(kind)] = {first_[kind], 1};
  return table;
}

// One sequence of random embeddings.
std::unique_ptr<States> BackendBench::begin(int tokens) const {
  std::vector<int32_t> starts{0, tokens}, indices;
  for (int t = 0; t < tokens; t++) indices.push_back(t);
  const std::vector<uint8_t> visible(size_t(tokens), 1);
  return backend_.begin({1, tokens, starts.data(), indices.data(), visible.data()},
                        rows_from(model_.embeddings(tokens).data(), architecture_.width));
}

Row BackendBench::time_table(const LayerTable& table, int from, int to, int tokens, int repeats, const CancelFlag& cancel) {
  const auto states = begin(tokens);
  Row row;
  row.tokens = tokens;
  row.time = time_runs(repeats, scrub_, [&] { backend_.run(table, from, to, *states, cancel); });
  for (int p = from; p < to; p++) {
    if (table[size_t(p)].slot == kSkipped) continue;
    row.bytes += slot_bytes_[size_t(table[size_t(p)].slot)];
    const int sub_block = sub_block_of(table[size_t(p)].slot);
    const double in_float32 = attention_flops(architecture_, sub_block, tokens);
    row.flops += product_flops(architecture_, sub_block, tokens) + in_float32;
    row.float32_flops += in_float32;
  }
  return row;
}

std::vector<Row> BackendBench::sub_blocks(const Request& request, const Progress& progress, const CancelFlag& cancel) {
  std::vector<Row> rows;
  const int total = 2 * int(request.tokens.size());
  for (const int kind : {0, 1}) {
    if (first_[kind] < 0) continue;  // every layer table skips them
    const LayerTable table = one_of_kind(kind);
    for (const int tokens : request.tokens) {
      progress(int(rows.size()), total);
      rows.push_back(time_table(table, kind, kind + 1, tokens, request.repeats, cancel));
      rows.back().what = kind == 0 ? "attention" : "feed-forward";
    }
  }
  return rows;
}

// What a part must read and compute. Products read their share of the slot; rows of activations come from caches.
Row BackendBench::row_of(const std::string& part, int tokens) const {
  const int attention = 0, feed_forward = 1;  // every sub-block of a kind counts as the first
  const FeedForward& f = architecture_.feed_forward(feed_forward);
  const Attention& a = architecture_.attention(attention);
  const double t = tokens, width = architecture_.width, inner = f.inner;
  const std::string name = part == kUp && !f.gated ? kUngatedUp : part;
  const auto product = [&](double n, double k, int kind) {
    const double share = n * k / matrix_parameters(architecture_, kind);
    return Row{name, "", tokens, {}, share * slot_bytes_[size_t(first_[kind])], 2 * t * n * k, 0};
  };
  if (part == kQkv) return product(a.inner() + 2 * a.key_inner(), width, attention);
  if (part == kO) return product(width, a.inner(), attention);
  if (part == kUp) return product((f.gated ? 2 : 1) * inner, width, feed_forward);
  if (part == kDown) return product(width, inner, feed_forward);
  const double in_float32 = part == kAttend ? attention_flops(architecture_, attention, tokens) : 3 * t * width;
  return {part, "", tokens, {}, 0, in_float32, in_float32};
}

std::vector<Row> BackendBench::parts(const Request& request, const Listen& listen, const Progress& progress,
                                     const CancelFlag& cancel) {
  using Clock = std::chrono::steady_clock;
  std::vector<Row> rows;
  int done = 0;
  for (const int kind : {0, 1}) {
    if (first_[kind] < 0) continue;
    const LayerTable table = one_of_kind(kind);
    for (const int tokens : request.tokens) {
      progress(done++, 2 * int(request.tokens.size()));
      std::vector<std::pair<std::string, std::vector<double>>> seconds;  // by part, in order
      Clock::time_point before;
      listen([&](const char* part) {
        const Clock::time_point now = Clock::now();
        const auto known = std::find_if(seconds.begin(), seconds.end(), [&](const auto& entry) { return entry.first == part; });
        auto& times = known != seconds.end() ? known->second : seconds.emplace_back(part, std::vector<double>()).second;
        times.push_back(std::chrono::duration<double>(now - before).count());
        before = Clock::now();
      });
      const auto states = begin(tokens);
      time_runs(request.repeats, scrub_, [&] {
        before = Clock::now();
        backend_.run(table, kind, kind + 1, *states, cancel);
      });
      listen(nullptr);
      for (auto& [part, times] : seconds) {
        if (kind == 1 && part == kNorm) continue;  // the attention's norm is the same
        rows.push_back(row_of(part, tokens));
        rows.back().time = timing_of({times.begin() + kNotCounted, times.end()});
      }
    }
  }
  return rows;
}

std::vector<Row> BackendBench::encoders(const Request& request, const Progress& progress, const CancelFlag& cancel) {
  std::vector<Row> rows;
  const int total = int(request.tables.size() * request.tokens.size());
  for (const NamedTable& named : request.tables) {
    for (const int tokens : request.tokens) {
      progress(int(rows.size()), total);
      rows.push_back(time_table(named.table, 0, architecture_.sub_blocks(), tokens, request.repeats, cancel));
      rows.back().what = "encoder", rows.back().plan = named.name;
    }
  }
  return rows;
}

}  // namespace skrr::bench
