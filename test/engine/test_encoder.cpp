// The whole engine on the CPU backend: what every backend must do (encoder_suite.h), and what is the CPU's own.
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "cpu/cpu_backend.h"
#include "engine/mapped_file.h"
#include "test/engine/encoder_suite.h"

using namespace skrr;
using namespace encoder_suite;

namespace {

Encoder::MakeBackend on_cpu(int threads) {
  return [=](const Geometry& g, const FixedTensors& fixed) {
    return std::make_unique<cpu::CpuBackend>(g, fixed, threads);
  };
}

// Rows are rounded where the hardware multiplies such numbers. A float32 and a double on two sides of a rounding edge
// become two bf16 numbers, 1/256 apart, or two int8 numbers: in few places.
Subject subject(Precision precision) {
  const cpu::TileKernel& kernel = cpu::tile_kernel(cpu::kernels(), precision);
  reference::Rows rows = reference::Rows::kExact;
  if (precision == Precision::kBF16 && kernel.a_size == sizeof(uint16_t)) rows = reference::Rows::kBF16;
  if (kernel.most > 0) rows = reference::Rows::kIntegers;
  return {on_cpu(2), precision, rows, kernel.most, false, rows == reference::Rows::kExact ? 1e-5 : 1e-2};
}

// Nor does it matter what else is in the batch: each element is one sum in one order.
void threads_and_company_do_not_change_a_bit(Precision precision) {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder one = fixture.open(on_cpu(1), precision), three = fixture.open(on_cpu(3), precision);
  load(one, all(kT5)), load(three, all(kT5));
  const std::vector<float> together = encode(one, sample, dense(kT5), kT5.width);
  CHECK(together == encode(three, sample, dense(kT5), kT5.width));

  const int first = sample.starts[2], count = sample.starts[3] - first;
  const std::vector<int32_t> starts{0, count};
  const size_t offset = size_t(first) * size_t(kT5.width), floats = size_t(count) * size_t(kT5.width);
  std::vector<float> alone(floats);
  three.encode({{1, count, starts.data(), &sample.positions[size_t(first)], &sample.visible[size_t(first)]},
                nullptr, &sample.embeds[offset]},
               dense(kT5), nullptr, {OutputType::kF32, alone.data(), sample.rows.data()}, CancelFlag());
  CHECK(std::equal(alone.begin(), alone.end(), together.begin() + std::ptrdiff_t(offset)));
}

void the_estimate_is_what_is_loaded(Precision precision) {
  const Fixture fixture(kT5);
  Encoder encoder = fixture.open(on_cpu(2), precision);
  load(encoder, {0, 1});
  CHECK(cpu::estimate(kT5, {0, 1}, precision, 0, 2, 50, 50).weights == encoder.memory().weights);
  const std::vector<float> factors(3 * size_t(kT5.width));
  const size_t bytes = encoder.backend().load_compensation(factors.data(), factors.data(), 3)->bytes();
  CHECK(cpu::estimate(kT5, {0, 1}, precision, 3, 2, 50, 50).weights == encoder.memory().weights + bytes);
}

// T5-11B's feed-forward, the deepest there is, with every integer of a row and of a weight at its most: no sum overflows. One number
// in each rotated block makes them all equal.
void the_largest_sums_fit(Precision precision) {
  const int64_t k = 65536, rows = 2;
  cpu::Context context(1);
  const cpu::TileKernel& kernel = cpu::tile_kernel(context.kernels, precision);
  const cpu::Rotation rotation(k);
  std::vector<float> x(size_t(rows * k));
  for (size_t i = 0; i < x.size(); i++) x[i] = i / size_t(rotation.lanes) % size_t(rotation.block) == 0 ? 1.0f : 0.0f;
  const Tensor tensor{"w", reinterpret_cast<const std::byte*>(x.data()), DType::kF32, rows, k, 1};
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

// Slots of several precisions in one table give what encoders of one precision give sub-block by sub-block; a sub-block
// that is held twice is counted twice, and each copy can go.
void a_slot_has_a_precision_of_its_own() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  const int n = kT5.sub_blocks();
  const auto slot = [&](int sub_block, Precision precision) { return sub_block + n * (1 + int(precision)); };
  LayerTable mixed = dense(kT5);
  for (int s = 0; s < n; s += 2) mixed[size_t(s)].slot = slot(s, Precision::kInt8);
  std::vector<int> slots;
  for (const TableEntry& entry : mixed) slots.push_back(entry.slot);

  Encoder both = fixture.open(on_cpu(2), Precision::kBF16);
  load(both, slots);
  const size_t held = both.memory().weights;
  CHECK(cpu::estimate(kT5, slots, Precision::kBF16, 0, 2, 50, 50).weights == held);
  const std::vector<float> whole = encode(both, sample, mixed, kT5.width);

  std::vector<float> piece(whole.size());
  const auto stepped = both.begin({sample.batch(), nullptr, sample.embeds.data()});
  for (int s = 0; s < n; s++) {
    Encoder one = fixture.open(on_cpu(2), s % 2 == 0 ? Precision::kInt8 : Precision::kBF16);
    load(one, {s});
    one.advance(*stepped, dense(kT5), s, s + 1, CancelFlag());
  }
  both.backend().finish(*stepped, nullptr, rows_to(piece.data(), kT5.width));
  CHECK(piece == whole);

  load(both, all(kT5));
  CHECK(both.memory().weights > held);
  both.keep_only(slots);
  CHECK(both.memory().weights == held && encode(both, sample, mixed, kT5.width) == whole);
}

// A matrix used where it lies multiplies like the one that was packed.
void packed_weights_are_used_in_place() {
  cpu::Context context(2);
  const int64_t n = 70, k = 130, m = 9;
  const std::vector<float> w = random_floats(size_t(n * k), 3), x = random_floats(size_t(m * k), 4);
  const Tensor tensor{"w", reinterpret_cast<const std::byte*>(w.data()), DType::kF32, n, k, 1};
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

// Of this process, bytes of files that are mapped and in memory. 0 where the system is not Linux.
int64_t resident_file_bytes() {
  int64_t size = 0, resident = 0, shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;
  return shared * sysconf(_SC_PAGESIZE);
}

// A checkpoint's pages are ours while its matrices are packed, and only those at hand.
void a_checkpoint_leaves_memory_as_it_is_packed() {
  const int64_t rows = 32768, columns = 512, header = 33333;
  const std::string path = "test_encoder." + std::to_string(getpid()) + ".bin";
  const std::vector<char> row(size_t(columns) * sizeof(uint16_t), 1);
  std::ofstream out(path, std::ios::binary);
  out.write(std::vector<char>(header).data(), header);
  for (int64_t r = 0; r < rows; r++) out.write(row.data(), std::streamsize(row.size()));
  out.close();
  const MappedFile file(path);
  std::remove(path.c_str());
  cpu::Context context(2);
  const int64_t before = resident_file_bytes();
  const Tensor tensor{"w", file.data() + header, DType::kBF16, rows, columns, 1, true};
  const cpu::PackedMatrix w(context, context.kernels.int8, {&tensor}, cpu::PackedMatrix::Order::kStacked, CancelFlag());
  CHECK_AT_MOST(double(resident_file_bytes() - before), 4 << 20);
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  run_all(subject(Precision::kF32));
  for (Precision precision : {Precision::kBF16, Precision::kInt8, Precision::kInt4}) {
    for (const Geometry& geometry : {kT5, kV10, kUmt5}) matches_the_reference(subject(precision), geometry);
  }
  for (Precision precision : {Precision::kF32, Precision::kBF16, Precision::kInt8, Precision::kInt4}) {
    threads_and_company_do_not_change_a_bit(precision);
    the_estimate_is_what_is_loaded(precision);
  }
  for (Precision precision : {Precision::kInt8, Precision::kInt4}) the_largest_sums_fit(precision);
  packed_weights_are_used_in_place();
  a_checkpoint_leaves_memory_as_it_is_packed();
  a_slot_has_a_precision_of_its_own();
  return finish("encoder");
}
