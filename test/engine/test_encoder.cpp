// The whole engine on the CPU backend: what every backend must do (encoder_suite.h), and what is the CPU's own.
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "engine/weight_file.h"
#include "test/engine/encoder_suite.h"
#include "test/engine/on_cpu.h"

using namespace skrr;
using namespace encoder_suite;

namespace {

// Neither threads nor the rest of the batch change a bit: each element is one sum in one order.
void threads_and_company_do_not_change_a_bit(Precision precision) {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  Encoder one = fixture.open(on_cpu::make(1)), three = fixture.open(on_cpu::make(3));
  const LayerTable table = dense(kSmall, precision);
  const auto plan_of_one = load(one, table), plan_of_three = load(three, table);
  const std::vector<float> together = encode(one, sample, *plan_of_one, kSmall.width);
  CHECK(together == encode(three, sample, *plan_of_three, kSmall.width));

  const int first = sample.starts[2], count = sample.starts[3] - first;
  const std::vector<int32_t> starts{0, count};
  const size_t offset = size_t(first) * size_t(kSmall.width), floats = size_t(count) * size_t(kSmall.width);
  std::vector<float> alone(floats);
  three.encode({{1, count, starts.data(), &sample.indices[size_t(first)], &sample.visible[size_t(first)]},
                nullptr, &sample.embeds[offset]},
               *plan_of_three, embeddings_to(alone.data(), sample.rows.data(), *plan_of_three, kSmall.width), CancelFlag());
  CHECK(std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(offset)));
}

// Whatever takes memory: norms with biases, norms of heads and of results, biases, key heads, a width that fills no panel.
Architecture with_everything() {
  Architecture a = architecture_of({2, 72, 6, 24, 100, 20, 50, 1e-5f});
  a.output_norm.kind = Norm::Kind::kLayer;
  for (Block& block : a.blocks) {
    block.attention.norm.kind = block.feed_forward.norm.kind = Norm::Kind::kLayer;
    block.attention.post_norm = block.feed_forward.post_norm = block.attention.head_norm = Norm{Norm::Kind::kRms, 1e-5f};
    block.attention.bias = Bias::kAll, block.feed_forward.bias = true;
    block.attention.key_heads = 2;
    block.attention.rope = Rope{{1, 0.1, 0.01}};
  }
  return a;
}

void the_estimate_is_what_is_loaded(Precision precision, const Architecture& a) {
  const Fixture fixture(a);
  Encoder encoder = fixture.open(on_cpu::make(2));
  LayerTable table = dense(a, precision);
  for (size_t p = 2; p < table.size(); p++) table[p].slot = kSkipped;
  const auto device = cpu::make_device(2);
  const auto plan = load(encoder, table);
  const Estimate estimate = device->estimate(a, slots_of(table), 0, {50, 50});
  CHECK(estimate.weights == encoder.memory().weights);
  const Sample sample(a.width);
  encode(encoder, sample, *plan, a.width);
  const size_t streams = 2 * sample.embeds.size() * sizeof(float);  // they count in workspace, and are not the backend's
  CHECK(encoder.memory().workspace + streams <= estimate.workspace);
  const LowRank map(a.width, 3, 1);
  const auto mapped = load(encoder, table, &map.spec);
  CHECK(device->estimate(a, slots_of(table), 3, {50, 50}).weights == encoder.memory().weights + mapped->bytes());
}

// T5-11B's feed-forward, the largest k there is, with every integer of a row and of a weight at its maximum: no sum overflows. One
// number in each rotated block makes them all equal.
void the_largest_sums_fit(Precision precision) {
  const int64_t k = 65536, rows = 2;
  cpu::Context context(1);
  const cpu::TileKernel& kernel = cpu::tile_kernel(context.kernels, precision);
  const Rotation rotation(k);
  std::vector<float> x(size_t(rows * k));
  for (size_t i = 0; i < x.size(); i++) x[i] = i / size_t(rotation.lanes) % size_t(rotation.block) == 0 ? 1.0f : 0.0f;
  const Tensor tensor = view_of("w", x.data(), rows, k);
  const cpu::PackedMatrix w(context, kernel, {&tensor}, cpu::PackedMatrix::Order::kStacked, CancelFlag());
  cpu::PackedRows packed;
  packed.pack(context, kernel, rows, k, CancelFlag(), [&](int64_t r, float* out) { std::copy_n(&x[size_t(r * k)], k, out); });
  cpu::multiply<1>(context, packed, w, CancelFlag(), [&](int64_t, int valid, int64_t, float* const* tiles) {
    for (int r = 0; r < valid; r++) {
      const double expected = double(k / rotation.block);
      CHECK_AT_MOST(std::abs(double(tiles[0][r * kernel.columns]) / expected - 1), precision == Precision::kInt4 ? 0.1 : 1e-6);
    }
  });
}

// Slots of several precisions in one layer table give what encoders of one precision give sub-block by sub-block; a sub-block
// that is held twice is counted twice, and each copy can go.
void a_slot_has_a_precision_of_its_own() {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  const LayerTable bf16 = dense(kSmall, Precision::kBF16), int8 = dense(kSmall, Precision::kInt8);
  LayerTable mixed = bf16;
  for (size_t s = 0; s < mixed.size(); s += 2) mixed[s] = int8[s];

  Encoder both = fixture.open(on_cpu::make(2));
  const auto plan = load(both, mixed);
  const size_t held = both.memory().weights;
  CHECK(cpu::make_device(2)->estimate(kSmall, slots_of(mixed), 0, {50, 50}).weights == held);
  const std::vector<float> whole = encode(both, sample, *plan, kSmall.width);

  std::vector<float> piece(whole.size());
  const auto stepped = both.begin({sample.batch(), nullptr, sample.embeds.data()});
  for (size_t s = 0; s < mixed.size(); s++) {
    Encoder one = fixture.open(on_cpu::make(2));
    const auto alone = load(one, s % 2 == 0 ? int8 : bf16);
    one.advance(*stepped, *alone, int(s), int(s) + 1, CancelFlag());
  }
  both.backend().read(*stepped, true, {}, rows_to(piece.data(), kSmall.width));
  CHECK(piece == whole);

  load(both, bf16);
  CHECK(both.memory().weights > held);
  both.trim();
  CHECK(both.memory().weights == held && encode(both, sample, *plan, kSmall.width) == whole);
}

// A matrix that is used where it lies multiplies like the one it was packed from.
void packed_weights_are_used_in_place() {
  cpu::Context context(2);
  const int64_t n = 70, k = 130, m = 9;
  const std::vector<float> w = random_floats(size_t(n * k), 3), x = random_floats(size_t(m * k), 4);
  const Tensor tensor = view_of("w", w.data(), n, k);
  for (const cpu::TileKernel* kernel : {&context.kernels.int8, &context.kernels.int4}) {
    const cpu::PackedMatrix packed(context, *kernel, {&tensor}, cpu::PackedMatrix::Order::kStacked, CancelFlag());
    CHECK(packed.bytes() == cpu::PackedMatrix::bytes_for(*kernel, n, k));
    std::vector<char> file(1 + packed.bytes());  // nothing needs to be aligned
    const size_t scale_bytes = size_t(packed.panels() * kernel->columns) * sizeof(float);
    std::memcpy(&file[1], packed.panel(0, 0), packed.bytes() - scale_bytes);
    const std::vector<float> scales(packed.scales(0), packed.scales(packed.panels()));
    const cpu::PackedMatrix mapped(*kernel, &file[1], scales.data(), k, packed.panels());
    CHECK(mapped.bytes() == packed.bytes() && mapped.k() == packed.k());

    cpu::PackedRows rows;
    rows.pack(context, *kernel, m, k, CancelFlag(), [&](int64_t r, float* out) {
      std::memcpy(out, &x[size_t(r * k)], size_t(k) * sizeof(float));
    });
    std::vector<float> products[2];
    for (int i = 0; i < 2; i++) {
      products[i].resize(size_t(m * packed.panels() * kernel->columns));
      cpu::multiply<1>(context, rows, i == 0 ? packed : mapped, CancelFlag(),
                       [&](int64_t first, int valid, int64_t panel, float* const* tiles) {
                         float* out = &products[i][size_t((panel * m + first) * kernel->columns)];
                         std::memcpy(out, tiles[0], size_t(valid * kernel->columns) * sizeof(float));
                       });
    }
    CHECK(products[0] == products[1] && products[0][0] != 0);
  }
}

// The message of the ERR_CHECKPOINT that `work` throws.
template <class Work>
std::string checkpoint_error(Work work) {
  try {
    work();
  } catch (const Error& error) {
    CHECK(std::string(error.code) == "ERR_CHECKPOINT");
    return error.what();
  }
  return "none";
}

// Where a file is cut while it is open, reading it is an error: at its end, behind it, in the midst of a range.
void a_file_that_shrinks_is_an_error() {
  const std::string path = "test_encoder." + std::to_string(getpid()) + ".bin";
  const std::vector<float> values = random_floats(1 << 16, 1);
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * 4));
  const auto file = std::make_unique<WeightFile>(path);
  const Tensor tensor{"w", nullptr, Encoding::kF32, 256, 256, 1, file.get(), 0};
  std::vector<float> read(values.size());
  read_floats(tensor, 0, int64_t(read.size()), read.data());
  CHECK(read == values);
  CHECK(truncate(path.c_str(), 100000) == 0);
  const std::string shrunken = "w: found a file that is 100000 bytes by now, expected the ";
  read_floats(tensor, 0, 25000, read.data());
  CHECK(checkpoint_error([&] { read_floats(tensor, 0, int64_t(read.size()), read.data()); }).rfind(shrunken, 0) == 0);
  CHECK(checkpoint_error([&] { read_floats(tensor, 60000, 1, read.data()); }).rfind(shrunken, 0) == 0);
  CHECK(checkpoint_error([&] { file->require("w", 0, tensor.bytes()); }).rfind(shrunken, 0) == 0);
  CHECK(checkpoint_error([&] { file->map("w", 99999, 2); }).rfind(shrunken, 0) == 0);
  CHECK(file->map("w", 99996, 4) != nullptr);
  std::remove(path.c_str());
}

// Bytes of mapped files that this process has in memory. 0 where the system is not Linux.
int64_t resident_file_bytes() {
  int64_t size = 0, resident = 0, shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;
  return shared * sysconf(_SC_PAGESIZE);
}

// While its matrices are packed, only the pages at hand of a checkpoint count as ours.
void a_checkpoint_leaves_memory_as_it_is_packed() {
  const int64_t rows = 32768, columns = 512, header = 33333;
  const std::string path = "test_encoder." + std::to_string(getpid()) + ".bin";
  const std::vector<char> row(size_t(columns) * sizeof(uint16_t), 1);
  std::ofstream out(path, std::ios::binary);
  out.write(std::vector<char>(header).data(), header);
  for (int64_t r = 0; r < rows; r++) out.write(row.data(), std::streamsize(row.size()));
  out.close();
  const WeightFile file(path);
  std::remove(path.c_str());
  cpu::Context context(2);
  const int64_t before = resident_file_bytes();
  const Tensor tensor{"w", nullptr, Encoding::kBF16, rows, columns, 1, &file, header};
  const cpu::PackedMatrix w(context, context.kernels.int8, {&tensor}, cpu::PackedMatrix::Order::kStacked, CancelFlag());
  CHECK_AT_MOST(double(resident_file_bytes() - before), 4 << 20);
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  run_all(on_cpu::subject(Precision::kF32));
  for (Precision precision : {Precision::kBF16, Precision::kInt8, Precision::kInt4}) {
    for (const Architecture& a : {kSmall, kUngated, kGated}) matches_the_reference(on_cpu::subject(precision), a);
  }
  for (Precision precision : {Precision::kF32, Precision::kBF16, Precision::kInt8, Precision::kInt4}) {
    threads_and_company_do_not_change_a_bit(precision);
    for (const Architecture& a : {kSmall, with_everything()}) the_estimate_is_what_is_loaded(precision, a);
  }
  for (Precision precision : {Precision::kInt8, Precision::kInt4}) the_largest_sums_fit(precision);
  packed_weights_are_used_in_place();
  a_file_that_shrinks_is_an_error();
  a_checkpoint_leaves_memory_as_it_is_packed();
  a_slot_has_a_precision_of_its_own();
  return finish("encoder");
}
