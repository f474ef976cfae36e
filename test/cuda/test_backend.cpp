// The CUDA backend as the engine uses it: the suite every backend passes, and what is its own: padding, recorded passes
// under changing plans.
#include "cpu/device.h"
#include "cuda/device.h"
#include "engine/agreement.h"
#include "test/cuda/architectures.h"
#include "test/cuda/findings.h"
#include "test/engine/encoder_suite.h"

using namespace skrr;
using namespace encoder_suite;

namespace {

std::unique_ptr<Backend> on_cuda(const Architecture& a, const FixedTensors& fixed) {
  return cuda::make_device(0)->open(a, fixed, "");
}

// Operands are rounded to bf16 where the reference's are; a sum that falls on the other side of a rounding makes the rest: 5e-8
// to 4e-3 over the weights of six seeds.
constexpr double kTolerance = 5e-3;
const Subject kCuda{on_cuda, Precision::kBF16, reference::Rows::kBF16, 0, true, kTolerance};

// Nothing is a multiple of what kernels work in.
const Architecture kOdd = architecture_of({2, 43, 3, 20, 53});
// Deep enough for K to be split.
const Architecture kDeep = architecture_of({2, 64, 2, 64, 2048, 32, 128, 1e-6f, Activation::kRelu});

const Architecture kDecoder = decoder();
const Architecture kCausal = causal();

const LayerTable kAll = dense(kSmall, Precision::kBF16);

void a_recorded_pass_follows_the_plan() {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  Encoder kept = fixture.open(on_cuda);
  std::vector<LayerTable> tables{kAll, kAll, kAll};
  tables[1][2] = {kAll[0].slot, 0.25f}, tables[1][3] = {kSkipped, 1};
  tables[2][4] = {kSkipped, 1};
  for (const LayerTable& table : tables) {
    Encoder fresh = fixture.open(on_cuda);
    CHECK(encode(kept, sample, *load(kept, table), kSmall.width) == encode(fresh, sample, *load(fresh, table), kSmall.width));
  }
  check_findings();
}

// A second extent, a larger one that moves the workspace, the first again.
void batches_of_any_extent_follow_each_other() {
  const Fixture fixture(kSmall);
  Encoder encoder = fixture.open(on_cuda);
  const auto plan = load(encoder, kAll);
  std::vector<int32_t> two{0, 3, 10}, one{0, 60}, indices, rows;
  for (int t = 0; t < 60; t++) indices.push_back(t), rows.push_back(t);
  const std::vector<uint8_t> visible(60, 1);
  const std::vector<float> embeds = random_floats(60 * size_t(kSmall.width), 3);
  const auto run = [&](int sequences, int tokens, const std::vector<int32_t>& starts) {
    std::vector<float> out(60 * size_t(kSmall.width));
    const Batch batch{sequences, tokens, starts.data(), indices.data(), visible.data()};
    encoder.encode({batch, nullptr, embeds.data()}, *plan, embeddings_to(out.data(), rows.data(), *plan, kSmall.width), CancelFlag());
    return out;
  };
  const std::vector<float> first = run(2, 10, two);
  run(1, 60, one);
  CHECK(run(2, 10, two) == first);
  check_findings();
}

void states_outlive_their_encoder() {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  std::unique_ptr<States> states;
  {
    Encoder encoder = fixture.open(on_cuda);
    states = encoder.begin({sample.batch(), nullptr, sample.embeds.data()});
  }
  CHECK(states->clone()->tokens() == 50);
  check_findings();
}

// What `auto` asks of a device before it picks it, half of what it allows.
void auto_would_trust_the_device() {
  CHECK_AT_MOST(disagreement(*cpu::make_device(1), *cuda::make_device(0), ""), 0.015);
  check_findings();
}

void what_has_no_kernel_is_an_error() {
  const auto gpu = cuda::make_device(0);
  Architecture wide = kSmall;
  for (Block& block : wide.blocks) block.attention.head_dim = 260;
  CHECK(failure([&] { gpu->open(wide, {}, ""); }) == "head dimension: found 260, expected at most 256 on device cuda");
  Architecture unequal = kSmall;
  unequal.blocks[1].attention.heads = unequal.blocks[1].attention.key_heads = 2;
  CHECK(failure([&] { gpu->open(unequal, {}, ""); }).find("sub-blocks of unequal heads") == 0);
  CHECK(failure([&] { cuda::make_device(3); }).find("cuda:3") != std::string::npos);
  CHECK(failure([&] { gpu->estimate(kSmall, {slot_of(3, Precision::kInt8)}, 0, {9, 9}); }) ==
        "the precision of sub-block 3: found int8, expected bf16, which is what device cuda:0 holds weights in");
}

}  // namespace

int main() {
  skip_without_device();
  run_all(kCuda);
  matches_the_reference(kCuda, kOdd);
  matches_the_reference(kCuda, kDeep);
  matches_the_reference(kCuda, kDecoder);
  matches_the_reference(kCuda, kCausal);
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
