// The CUDA backend's memory on the emulated machine, which counts allocations and can be told to have no more: what runs out,
// what is kept for the next batch, and what was promised.
#include "cuda/device.h"
#include "test/cuda/architectures.h"
#include "test/cuda/findings.h"
#include "test/engine/encoder_suite.h"
#include "test/simt/device_memory.h"

using namespace skrr;
using namespace encoder_suite;

namespace {

std::unique_ptr<Backend> on_cuda(const Architecture& a, const FixedTensors& fixed) {
  return cuda::make_device(0)->open(a, fixed, "");
}

const LayerTable kAll = dense(kSmall, Precision::kBF16);

void no_memory_for_more() { simt::limit_device_memory(simt::device_bytes_in_use() + 1000); }
void memory_again() { simt::limit_device_memory(~size_t(0)); }

void a_sub_block_that_does_not_fit_leaves_nothing_behind(const Fixture& fixture, const Sample& sample) {
  Encoder encoder = fixture.open(on_cuda);
  LayerTable one(kAll.size());
  one[0] = kAll[0];
  const auto first = load(encoder, one);
  const size_t with_one = simt::device_bytes_in_use();
  no_memory_for_more();
  const std::string message = failure([&] { load(encoder, kAll); });
  CHECK(message.find("out of device memory: sub-block 1 needs") == 0);
  CHECK(message.find("1000 are free. Use a plan with fewer sub-blocks, device 'cpu'") != std::string::npos);
  CHECK(simt::device_bytes_in_use() == with_one);

  memory_again();
  Encoder fresh = fixture.open(on_cuda);
  CHECK(encode(encoder, sample, *load(encoder, kAll), kSmall.width) == encode(fresh, sample, *load(fresh, kAll), kSmall.width));
}

void a_batch_that_does_not_fit_leaves_an_encoder_that_works(const Fixture& fixture, const Sample& sample) {
  Encoder encoder = fixture.open(on_cuda), fresh = fixture.open(on_cuda);
  const auto plan = load(encoder, kAll);
  const std::vector<float> expected = encode(fresh, sample, *load(fresh, kAll), kSmall.width);
  no_memory_for_more();
  CHECK(failure([&] { encode(encoder, sample, *plan, kSmall.width); }).find("out of device memory") == 0);
  memory_again();
  CHECK(encode(encoder, sample, *plan, kSmall.width) == expected);
}

void a_second_encoder_that_does_not_fit_is_an_error(const Fixture& fixture) {
  Encoder encoder = fixture.open(on_cuda);
  simt::limit_device_memory(simt::device_bytes_in_use() + 100);
  CHECK(failure([&] { fixture.open(on_cuda); }).find("out of device memory") == 0);
  memory_again();
}

// So many tokens in sequences of `longest`, the last one shorter.
std::unique_ptr<States> computed(Encoder& encoder, const LoadedPlan& plan, const Extent& e, int width) {
  std::vector<int32_t> starts, indices;
  for (int t = 0; t < e.tokens; t++) indices.push_back(t % e.longest);
  for (int start = 0; start < e.tokens; start += e.longest) starts.push_back(start);
  starts.push_back(e.tokens);
  const std::vector<uint8_t> visible(size_t(e.tokens), 1);
  const std::vector<float> embeds = random_floats(size_t(e.tokens) * size_t(width), 3);
  const Batch batch{int(starts.size()) - 1, e.tokens, starts.data(), indices.data(), visible.data()};
  auto states = encoder.backend().begin(batch, rows_from(embeds.data(), width));
  encoder.advance(*states, plan, 0, int(plan.table().size()), CancelFlag());
  return states;
}

// Everything on the device while a batch is computed is what was promised, to the byte; so is the peak over batches of other
// extents before and after it.
void an_estimate_is_what_is_taken(const Architecture& a, const Extent& largest, const std::vector<Extent>& others) {
  const Fixture fixture(a);
  LayerTable table = dense(a, Precision::kBF16);
  table[0].slot = kSkipped;
  const Estimate promised = cuda::make_device(0)->estimate(a, slots_of(table), 3, largest);

  simt::forget_device_history();
  Encoder encoder = fixture.open(on_cuda);
  const LowRank map(a.width, 3, 1);
  const auto plan = load(encoder, table, &map.spec);
  const auto compute = [&](const Extent& extent) {
    const auto states = computed(encoder, *plan, extent, a.width);
    std::vector<float> out(size_t(extent.tokens) * size_t(a.width));
    encoder.backend().read(*states, true, {plan->map()}, rows_to(out.data(), a.width));
    return simt::device_bytes_in_use();
  };
  for (const Extent& extent : others) compute(extent);
  CHECK(compute(largest) == promised.weights + promised.workspace);
  for (const Extent& extent : others) compute(extent);
  CHECK(encoder.backend().weight_bytes() + plan->bytes() == promised.weights);
  CHECK(simt::peak_device_bytes() == promised.weights + promised.workspace);
  CHECK(encoder.backend().workspace_bytes() == promised.workspace);  // what is kept for the next batch included
}

// A batch no longer than one before is computed without an allocation; so are a search's candidates.
void repeated_work_allocates_nothing() {
  const Fixture fixture(kSmall);
  Encoder encoder = fixture.open(on_cuda);
  const auto plan = load(encoder, kAll);
  const auto encoded = [&](const Extent& extent) {
    const auto states = computed(encoder, *plan, extent, kSmall.width);
    std::vector<float> out(size_t(extent.tokens) * size_t(kSmall.width));
    encoder.backend().read(*states, true, {}, rows_to(out.data(), kSmall.width));
  };
  const auto root = computed(encoder, *plan, {50, 40}, kSmall.width);
  const auto reference = encoder.backend().features(*root, {}, CancelFlag());
  const auto candidate = [&] {
    const auto states = root->clone();
    encoder.advance(*states, *plan, 2, 4, CancelFlag());
    encoder.backend().compare(*reference, *encoder.backend().features(*states, {}, CancelFlag()));
  };
  encoded({50, 40}), candidate();
  simt::forget_device_history();
  encoded({50, 40}), encoded({7, 7}), candidate(), encoded({50, 40}), candidate();
  CHECK(simt::device_allocations() == 0);
}

// Idle memory is freed for what does not fit beside it.
void idle_memory_makes_room() {
  const Fixture fixture(kSmall);
  Encoder encoder = fixture.open(on_cuda);
  const auto plan = load(encoder, kAll);
  const auto kept = computed(encoder, *plan, {60, 60}, kSmall.width);  // the workspace need not grow after this
  std::vector<std::unique_ptr<Features>> features;
  for (int i = 0; i < 3; i++) features.push_back(encoder.backend().features(*kept, {}, CancelFlag()));
  const size_t in_use = simt::device_bytes_in_use();
  features.clear();
  CHECK(simt::device_bytes_in_use() == in_use);
  simt::limit_device_memory(in_use);
  CHECK(kept->clone()->tokens() == 60);
  memory_again();
  CHECK(simt::device_bytes_in_use() < in_use);
}

// T5-XXL, dense and under its largest plan, from a short prompt to a whole micro-batch: weights + 3 % + 64 MB.
void the_workspace_of_t5_xxl_keeps_the_promise() {
  const Architecture xxl = architecture_of({24, 4096, 64, 64, 10240});
  const cuda::GpuFacts cards[] = {{"RTX 3060", 28, 99 << 10, false}, {"RTX 4090", 128, 99 << 10, false},
                                     {"A100", 108, 163 << 10, false}, {"H100", 132, 227 << 10, true}};
  for (const cuda::GpuFacts& card : cards) {
    for (const int sub_blocks : {27, 48}) {
      std::vector<int> planned;
      for (int s = 0; s < sub_blocks; s++) planned.push_back(slot_of(s, Precision::kBF16));
      for (const int tokens : {77, 512, 1024}) {
        const Estimate bytes = cuda::estimate(card, xxl, planned, 32, {tokens, tokens});
        CHECK_AT_MOST(double(bytes.workspace), 0.03 * double(bytes.weights) + 64e6);
      }
    }
  }
}

}  // namespace

int main() {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  a_sub_block_that_does_not_fit_leaves_nothing_behind(fixture, sample);
  a_batch_that_does_not_fit_leaves_an_encoder_that_works(fixture, sample);
  a_second_encoder_that_does_not_fit_is_an_error(fixture);
  an_estimate_is_what_is_taken(kSmall, {50, 40}, {{7, 7}, {40, 40}, {30, 11}});
  an_estimate_is_what_is_taken(kGated, {130, 130}, {{77, 77}, {90, 60}, {1, 1}});
  const Architecture deep = architecture_of({1, 64, 2, 64, 2048, 32, 128, 1e-6f, Activation::kRelu});  // K is split
  an_estimate_is_what_is_taken(deep, {20, 20}, {{1, 1}, {19, 10}});
  an_estimate_is_what_is_taken(models::decoder(), {50, 40}, {{7, 7}, {40, 40}, {30, 11}});
  an_estimate_is_what_is_taken(models::causal(), {50, 40}, {{7, 7}, {40, 40}});
  repeated_work_allocates_nothing();
  idle_memory_makes_room();
  the_workspace_of_t5_xxl_keeps_the_promise();
  CHECK(simt::device_bytes_in_use() == 0);
  check_findings();
  return finish("cuda memory");
}
