// The whole engine on the CPU backend: what every backend must do (encoder_suite.h), and what is the CPU's own.
#include <algorithm>

#include "cpu/cpu_backend.h"
#include "test/engine/encoder_suite.h"

using namespace skrr;
using namespace encoder_suite;

namespace {

Encoder::MakeBackend on_cpu(int threads, Precision precision) {
  return [=](const Geometry& g, const FixedTensors& fixed) {
    return std::make_unique<cpu::CpuBackend>(g, fixed, cpu::Options{precision, threads});
  };
}

// Rows are rounded where the hardware multiplies such numbers. A float32 and a double on two sides of a rounding edge
// become two bf16 numbers, 1/256 apart, or two int8 numbers: in few places.
Subject subject(Precision precision) {
  const cpu::TileKernel& kernel = cpu::tile_kernel(cpu::kernels(), precision);
  reference::Rows rows = reference::Rows::kExact;
  if (precision == Precision::kBF16 && kernel.a_size == sizeof(uint16_t)) rows = reference::Rows::kBF16;
  if (precision == Precision::kInt8 && kernel.integers) rows = reference::Rows::kInt8;
  return {on_cpu(2, precision), precision, rows, false, rows == reference::Rows::kExact ? 1e-5 : 1e-2};
}

// Nor does it matter what else is in the batch: each element is one sum in one order.
void threads_and_company_do_not_change_a_bit(Precision precision) {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder one = fixture.open(on_cpu(1, precision)), three = fixture.open(on_cpu(3, precision));
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

void the_estimate_is_what_is_loaded(Precision precision) {
  const Fixture fixture(kT5);
  Encoder encoder = fixture.open(on_cpu(2, precision));
  load(encoder, {0, 1});
  CHECK(cpu::estimate(kT5, {0, 1}, {precision, 2}, 50, 50).weights == encoder.memory().weights);
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  run_all(subject(Precision::kF32));
  for (Precision precision : {Precision::kBF16, Precision::kInt8}) {
    for (const Geometry& geometry : {kT5, kV10, kUmt5}) matches_the_reference(subject(precision), geometry);
  }
  for (Precision precision : {Precision::kF32, Precision::kBF16, Precision::kInt8}) {
    threads_and_company_do_not_change_a_bit(precision);
    the_estimate_is_what_is_loaded(precision);
  }
  return finish("encoder");
}
