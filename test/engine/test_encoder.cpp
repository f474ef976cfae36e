// The whole engine on a checkpoint file of random weights: against the reference in double, under plans, and through
// its life: loading, switching, cancelling, failing.
#include "engine/encoder.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "cpu/cpu_backend.h"
#include "engine/numeric.h"
#include "test/engine/check.h"
#include "test/engine/reference.h"

using namespace skrr;

namespace {

// Writes tensors one after the other into a file and remembers them for the reference too.
struct Fixture {
  Geometry geometry;
  std::string path = "test_encoder." + std::to_string(getpid()) + ".bin";
  EncoderSpec spec;
  reference::Model model;
  std::ofstream file;
  uint64_t offset = 0;
  unsigned seed = 1;

  explicit Fixture(const Geometry& g) : geometry(g), file(path, std::ios::binary) {
    spec.geometry = g;
    spec.files = {path};
    model.geometry = g;
    const size_t width = size_t(g.width), inner = size_t(g.inner()), ff = size_t(g.ff);
    const size_t buckets = size_t(g.buckets), heads = size_t(g.heads);
    add(spec.embedding, nullptr, size_t(g.vocab), width, 1);
    add(spec.final_norm, &model.final_norm, 1, width, 1);
    if (!g.bias_per_block) add(spec.bias, &model.bias, buckets, heads, 1);
    for (int s = 0; s < g.sub_blocks(); s++) {
      SubBlockSource& source = spec.sub_blocks.emplace_back();
      reference::SubBlock& w = model.sub_blocks.emplace_back();
      add(source.norm, &w.norm, 1, width, 1);
      if (is_attention(s)) {
        add(source.q, &w.q, inner, width, 0.2f), add(source.k, &w.k, inner, width, 0.2f);
        add(source.v, &w.v, inner, width, 0.2f), add(source.o, &w.o, width, inner, 0.2f);
        if (g.bias_per_block) add(source.bias, &w.bias, buckets, heads, 1);
      } else {
        add(source.wi_0, &w.wi_0, ff, width, 0.2f);
        if (g.gated) add(source.wi_1, &w.wi_1, ff, width, 0.2f);
        add(source.wo, &w.wo, width, ff, 0.2f);
      }
    }
    file.close();
  }
  ~Fixture() { std::remove(path.c_str()); }

  void add(TensorSource& source, reference::Matrix* copy, size_t rows, size_t columns, float scale) {
    const std::vector<float> values = random_floats(rows * columns, seed++, scale);
    source = {"tensor " + std::to_string(seed), 0, offset, DType::kF32, int64_t(rows), int64_t(columns), 1};
    file.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * 4));
    offset += values.size() * 4;
    if (copy) copy->assign(values.begin(), values.end());
  }

  // What the engine does to matrices when it packs them, and to the rows they meet where the hardware multiplies such
  // numbers; norms and biases stay float32.
  void round_reference_to(Precision precision) {
    const cpu::TileKernel& kernel = cpu::tile_kernel(cpu::kernels(), precision);
    if (precision == Precision::kBF16 && kernel.a_size == sizeof(uint16_t)) model.rows = reference::Rows::kBF16;
    if (precision == Precision::kInt8 && kernel.integers) model.rows = reference::Rows::kInt8;
    for (reference::SubBlock& w : model.sub_blocks) {
      for (reference::Matrix* matrix : {&w.q, &w.k, &w.v, &w.o, &w.wi_0, &w.wi_1, &w.wo}) {
        const bool reads_width = matrix != &w.o && matrix != &w.wo;
        const int k = reads_width ? geometry.width : matrix == &w.o ? geometry.inner() : geometry.ff;
        if (precision == Precision::kInt8) reference::round_to_int8(*matrix, size_t(k));
        if (precision != Precision::kBF16) continue;
        for (double& value : *matrix) value = double(from_bf16(to_bf16(float(value))));
      }
    }
  }

  Encoder open(int threads = 2, Precision precision = Precision::kF32) const {
    return Encoder(spec, [=](const Geometry& g, const FixedTensors& fixed) {
      return std::make_unique<cpu::CpuBackend>(g, fixed, cpu::Options{precision, threads});
    });
  }
};

// Three sequences: 5 tokens, 1 token, 40 tokens with a hole in what is visible; a fourth in which nothing is visible.
struct Sample {
  std::vector<int32_t> starts{0, 5, 6, 46, 50}, positions, rows;
  std::vector<uint8_t> visible;
  std::vector<float> embeds;
  Sample(int width, int first_row = 0) : embeds(random_floats(50 * size_t(width), 99)) {
    for (size_t s = 0; s + 1 < starts.size(); s++) {
      for (int t = starts[s]; t < starts[s + 1]; t++) {
        positions.push_back(t - starts[s] + (s == 2 ? 3 : 0));
        visible.push_back(s == 3 ? 0 : !(s == 2 && t > 20 && t < 30));
        rows.push_back(first_row + t);
      }
    }
  }
  Batch batch() const { return {4, 50, starts.data(), positions.data(), visible.data()}; }
};

std::vector<int> all(const Geometry& g) {
  std::vector<int> sub_blocks;
  for (int s = 0; s < g.sub_blocks(); s++) sub_blocks.push_back(s);
  return sub_blocks;
}

void load(Encoder& encoder, const std::vector<int>& sub_blocks) {
  encoder.load(sub_blocks, [](uint64_t, uint64_t) {}, CancelFlag());
}

std::vector<float> encode(Encoder& encoder, const Sample& sample, const LayerTable& table, int width) {
  std::vector<float> out(50 * size_t(width));
  encoder.encode({sample.batch(), nullptr, sample.embeds.data()}, table,
                 {OutputType::kF32, out.data(), sample.rows.data()}, CancelFlag());
  return out;
}

LayerTable dense(const Geometry& g) {
  LayerTable table;
  for (int s : all(g)) table.push_back({s, 1});
  return table;
}

const Geometry kT5{3, 40, 5, 24, 72, 50, 20, 50, 1e-5f, Activation::kGeluTanh, true, false};
const Geometry kV10{2, 32, 4, 8, 96, 50, 32, 128, 1e-6f, Activation::kRelu, false, false};
const Geometry kUmt5{2, 64, 4, 16, 112, 50, 32, 128, 1e-6f, Activation::kGeluTanh, true, true};

void matches_the_reference(const Geometry& g, Precision precision) {
  Fixture fixture(g);
  fixture.round_reference_to(precision);
  // A float32 and a double on two sides of a rounding edge become two bf16 numbers, 1/256 apart, or two int8 numbers:
  // in few places.
  const double bound = fixture.model.rows == reference::Rows::kExact ? 1e-5 : 1e-2;
  const Sample sample(g.width);
  Encoder encoder = fixture.open(2, precision);
  load(encoder, all(g));
  std::vector<LayerTable> tables{dense(g), dense(g), LayerTable(size_t(g.sub_blocks()))};
  tables[1][0] = {2, 0.5f};     // re-used, damped
  tables[1][1] = {kSkipped, 1};  // skipped
  for (const LayerTable& table : tables) {
    const reference::Matrix expected = reference::encode(
        fixture.model, table, sample.batch(), reference::Matrix(sample.embeds.begin(), sample.embeds.end()));
    CHECK_AT_MOST(relative_error(encode(encoder, sample, table, g.width), expected), bound);
  }
}

// Nor does it matter what else is in the batch: each element is one sum in one order.
void threads_and_company_do_not_change_a_bit(Precision precision) {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder one = fixture.open(1, precision), three = fixture.open(3, precision);
  load(one, all(kT5)), load(three, all(kT5));
  const std::vector<float> together = encode(one, sample, dense(kT5), kT5.width);
  CHECK(together == encode(three, sample, dense(kT5), kT5.width));

  const int first = sample.starts[2], count = sample.starts[3] - first;
  const std::vector<int32_t> starts{0, count};
  const size_t offset = size_t(first) * size_t(kT5.width), floats = size_t(count) * size_t(kT5.width);
  std::vector<float> alone(floats);
  three.encode({{1, count, starts.data(), &sample.positions[size_t(first)], &sample.visible[size_t(first)]},
                nullptr, &sample.embeds[offset]},
               dense(kT5), {OutputType::kF32, alone.data(), sample.rows.data()}, CancelFlag());
  CHECK(std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(offset)));
}

void slots_are_counted_freed_and_needed() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder encoder = fixture.open();
  load(encoder, {0, 1});
  const size_t two = encoder.memory().weights;
  load(encoder, all(kT5));
  CHECK(encoder.memory().weights > two);
  bool refused = false;
  encoder.keep_only({0, 1});
  CHECK(encoder.memory().weights == two);
  try {
    encode(encoder, sample, dense(kT5), kT5.width);
  } catch (const Error& error) {
    refused = std::string(error.what()).find("sub-block 2 is in the layer table but not loaded") != std::string::npos;
  }
  CHECK(refused);
  for (Precision precision : {Precision::kF32, Precision::kBF16, Precision::kInt8}) {
    Encoder other = fixture.open(2, precision);
    load(other, {0, 1});
    CHECK(cpu::estimate(kT5, {0, 1}, {precision, 2}, 50, 50).weights == other.memory().weights);
  }
}

void cancelling_leaves_an_encoder_that_works() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder encoder = fixture.open();
  CancelFlag cancel;
  bool cancelled = false;
  try {
    encoder.load(all(kT5), [&](uint64_t done, uint64_t total) { if (done > total / 2) cancel.raise(); }, cancel);
  } catch (const Cancelled&) {
    cancelled = true;
  }
  CHECK(cancelled);
  load(encoder, all(kT5));
  const std::vector<float> result = encode(encoder, sample, dense(kT5), kT5.width);
  CHECK(std::isfinite(result[0]));
}

void bad_ids_and_nan_are_errors() {
  const Fixture fixture(kT5);
  Sample sample(kT5.width);
  Encoder encoder = fixture.open();
  load(encoder, all(kT5));
  std::vector<float> out(50 * size_t(kT5.width));
  const std::vector<int32_t> ids(50, kT5.vocab);
  int refused = 0;
  try {
    encoder.encode({sample.batch(), ids.data(), nullptr}, dense(kT5), {OutputType::kF32, out.data(), sample.rows.data()},
                   CancelFlag());
  } catch (const Error& error) {
    refused += std::string(error.code) == "ERR_INPUT";
  }
  sample.embeds[7] = NAN;
  try {
    encode(encoder, sample, dense(kT5), kT5.width);
  } catch (const Error& error) {
    refused += std::string(error.what()).find("NaN or infinite") != std::string::npos;
  }
  CHECK(refused == 2);
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  for (const Geometry& geometry : {kT5, kV10, kUmt5}) {
    matches_the_reference(geometry, Precision::kF32);
    matches_the_reference(geometry, Precision::kBF16);
    matches_the_reference(geometry, Precision::kInt8);
  }
  for (Precision precision : {Precision::kF32, Precision::kBF16, Precision::kInt8}) {
    threads_and_company_do_not_change_a_bit(precision);
  }
  slots_are_counted_freed_and_needed();
  cancelling_leaves_an_encoder_that_works();
  bad_ids_and_nan_are_errors();
  return finish("encoder");
}
