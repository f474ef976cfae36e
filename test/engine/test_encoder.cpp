// The whole engine on the CPU backend: what every backend must do (encoder_suite.h), and what is the CPU's own.
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

void threads_do_not_change_a_bit() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder one = fixture.open(on_cpu(1, Precision::kF32)), three = fixture.open(on_cpu(3, Precision::kF32));
  load(one, all(kT5)), load(three, all(kT5));
  CHECK(encode(one, sample, dense(kT5), kT5.width) == encode(three, sample, dense(kT5), kT5.width));
}

void the_estimate_is_what_is_loaded() {
  const Fixture fixture(kT5);
  Encoder encoder = fixture.open(on_cpu(2, Precision::kF32));
  load(encoder, {0, 1});
  const cpu::Estimate estimate = cpu::estimate(kT5, {0, 1}, {Precision::kF32, 2}, 50, 50);
  CHECK(estimate.weights == encoder.memory().weights);
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  run_all({on_cpu(2, Precision::kF32), false, false, 1e-5});
  for (const Geometry& geometry : {kT5, kV10, kUmt5}) {
    matches_the_reference({on_cpu(2, Precision::kBF16), true, false, 1e-5}, geometry);
  }
  threads_do_not_change_a_bit();
  the_estimate_is_what_is_loaded();
  return finish("encoder");
}
