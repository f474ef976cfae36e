// The CUDA backend as the engine uses it: the suite every backend passes, and what is its own: padding, recorded passes
// under changing plans.
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "engine/agreement.h"
#include "test/cuda/findings.h"
#include "test/engine/encoder_suite.h"

using namespace skrr;
using namespace encoder_suite;

namespace {

std::unique_ptr<Backend> on_cuda(const Geometry& g, const FixedTensors& fixed) {
  return std::make_unique<cuda::CudaBackend>(g, fixed, cuda::Options{});
}

// Operands are rounded to bf16 where the reference's are; a sum that falls on the other side of a rounding makes the rest.
constexpr double kTolerance = 2.5e-3;
const Subject kCuda{on_cuda, Precision::kBF16, reference::Rows::kBF16, 0, true, kTolerance};

// Nothing is a multiple of what kernels work in.
const Geometry kOdd{2, 43, 3, 20, 53, 50, 32, 128, 1e-6f, Activation::kGeluTanh, true, false};
// Deep enough for K to be split.
const Geometry kDeep{2, 64, 2, 64, 2048, 50, 32, 128, 1e-6f, Activation::kRelu, true, false};

void a_recorded_pass_follows_the_plan() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder kept = fixture.open(on_cuda, Precision::kBF16);
  load(kept, all(kT5));
  std::vector<LayerTable> tables{dense(kT5), dense(kT5), dense(kT5)};
  tables[1][2] = {0, 0.25f}, tables[1][3] = {kSkipped, 1};
  tables[2][4] = {kSkipped, 1};
  for (const LayerTable& table : tables) {
    Encoder fresh = fixture.open(on_cuda, Precision::kBF16);
    load(fresh, all(kT5));
    CHECK(encode(kept, sample, table, kT5.width) == encode(fresh, sample, table, kT5.width));
  }
  check_findings();
}

// A second extent, a larger one that moves the workspace, the first again.
void batches_of_any_extent_follow_each_other() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
  load(encoder, all(kT5));
  std::vector<int32_t> two{0, 3, 10}, one{0, 60}, positions, rows;
  for (int t = 0; t < 60; t++) positions.push_back(t), rows.push_back(t);
  const std::vector<uint8_t> visible(60, 1);
  const std::vector<float> embeds = random_floats(60 * size_t(kT5.width), 3);
  const auto run = [&](int sequences, int tokens, const std::vector<int32_t>& starts) {
    std::vector<float> out(60 * size_t(kT5.width));
    const Batch batch{sequences, tokens, starts.data(), positions.data(), visible.data()};
    encoder.encode({batch, nullptr, embeds.data()}, dense(kT5), nullptr, {OutputType::kF32, out.data(), rows.data()}, CancelFlag());
    return out;
  };
  const std::vector<float> first = run(2, 10, two);
  run(1, 60, one);
  CHECK(run(2, 10, two) == first);
  check_findings();
}

void states_outlive_their_encoder() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  std::unique_ptr<States> states;
  {
    Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
    states = encoder.begin({sample.batch(), nullptr, sample.embeds.data()});
  }
  CHECK(states->clone()->tokens() == 50);
  check_findings();
}

// What `auto` asks of a device before it picks it, half of what it allows.
void auto_would_trust_the_device() {
  const auto on_cpu = [](const Geometry& g, const FixedTensors& fixed) { return std::make_unique<cpu::CpuBackend>(g, fixed, 1); };
  CHECK_AT_MOST(disagreement({on_cpu, Precision::kF32}, {on_cuda, Precision::kBF16}), 0.015);
  check_findings();
}

void what_has_no_kernel_is_an_error() {
  Geometry wide = kT5;
  wide.head_dim = 130;
  std::string message;
  try {
    on_cuda(wide, FixedTensors());
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message == "head dimension: found 130, expected at most 128 on device cuda");
  message.clear();
  try {
    cuda::CudaBackend(kT5, FixedTensors(), cuda::Options{3});
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.find("cuda:3") != std::string::npos);
}

}  // namespace

int main() {
  skip_without_device();
  run_all(kCuda);
  matches_the_reference(kCuda, kOdd);
  matches_the_reference(kCuda, kDeep);
  check_findings();
  a_recorded_pass_follows_the_plan();
  batches_of_any_extent_follow_each_other();
  states_outlive_their_encoder();
  auto_would_trust_the_device();
  what_has_no_kernel_is_an_error();
  CHECK(products_went_the_wanted_way());
  CHECK(ldmatrix_conflicts() == 0);
  return finish("cuda backend");
}
