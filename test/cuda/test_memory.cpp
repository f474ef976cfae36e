// The CUDA backend's memory on the emulated machine, which counts allocations and can be told to have no more: what runs out,
// what is kept for the next batch, and what was promised.
#include "cuda/cuda_backend.h"
#include "test/cuda/findings.h"
#include "test/engine/encoder_suite.h"
#include "test/simt/device_memory.h"

using namespace skrr;
using namespace encoder_suite;

namespace {

std::unique_ptr<Backend> on_cuda(const Geometry& g, const FixedTensors& fixed) {
  return std::make_unique<cuda::CudaBackend>(g, fixed, cuda::Options{});
}

std::string failure(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void no_memory_for_more() { simt::limit_device_memory(simt::device_bytes_in_use() + 1000); }
void memory_again() { simt::limit_device_memory(~size_t(0)); }

void a_sub_block_that_does_not_fit_leaves_nothing_behind(const Fixture& fixture, const Sample& sample) {
  Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
  load(encoder, {0});
  const size_t with_one = simt::device_bytes_in_use();
  no_memory_for_more();
  const std::string message = failure([&] { load(encoder, all(kT5)); });
  CHECK(message.find("out of device memory: sub-block 1 needs") == 0);
  CHECK(message.find("1000 are free. Use a plan with fewer sub-blocks, device 'cpu'") != std::string::npos);
  CHECK(simt::device_bytes_in_use() == with_one);

  memory_again();
  load(encoder, all(kT5));
  CHECK(std::isfinite(encode(encoder, sample, dense(kT5), kT5.width)[0]));
}

void a_batch_that_does_not_fit_leaves_an_encoder_that_works(const Fixture& fixture, const Sample& sample) {
  Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
  load(encoder, all(kT5));
  no_memory_for_more();
  CHECK(failure([&] { encode(encoder, sample, dense(kT5), kT5.width); }).find("out of device memory") == 0);
  memory_again();
  CHECK(std::isfinite(encode(encoder, sample, dense(kT5), kT5.width)[0]));
}

void a_second_encoder_that_does_not_fit_is_an_error(const Fixture& fixture) {
  Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
  simt::limit_device_memory(simt::device_bytes_in_use() + 100);
  CHECK(failure([&] { fixture.open(on_cuda, Precision::kBF16); }).find("out of device memory") == 0);
  memory_again();
}

// So many tokens in sequences of `longest`, the last one shorter.
struct Extent {
  int tokens, longest;
};

std::unique_ptr<States> computed(Encoder& encoder, const LayerTable& table, const Extent& e, int width) {
  std::vector<int32_t> starts, positions;
  for (int t = 0; t < e.tokens; t++) positions.push_back(t % e.longest);
  for (int start = 0; start < e.tokens; start += e.longest) starts.push_back(start);
  starts.push_back(e.tokens);
  const std::vector<uint8_t> visible(size_t(e.tokens), 1);
  const std::vector<float> embeds = random_floats(size_t(e.tokens) * size_t(width), 3);
  const Batch batch{int(starts.size()) - 1, e.tokens, starts.data(), positions.data(), visible.data()};
  auto states = encoder.backend().begin(batch, rows_from(embeds.data(), width));
  encoder.advance(*states, table, 0, int(table.size()), CancelFlag());
  return states;
}

// Everything on the device while a batch is computed, to the byte; and the most there ever was, while batches of other extents
// came before and after it.
void an_estimate_is_what_is_taken(const Geometry& g, const Extent& largest, const std::vector<Extent>& others) {
  const Fixture fixture(g);
  std::vector<int> planned;  // without the first attention, whose bias stays
  for (int s = 1; s < g.sub_blocks(); s++) planned.push_back(s);
  const Estimate promised = cuda::estimate(cuda::device_facts(0), g, planned, 3, largest.tokens, largest.longest);
  LayerTable table = dense(g);
  table[0].slot = kSkipped;

  simt::forget_device_history();
  Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
  load(encoder, planned);
  const std::vector<float> factors(3 * size_t(g.width));
  const auto compensation = encoder.backend().load_compensation(factors.data(), factors.data(), 3);
  const auto compute = [&](const Extent& extent) {
    const auto states = computed(encoder, table, extent, g.width);
    std::vector<float> out(size_t(extent.tokens) * size_t(g.width));
    encoder.backend().finish(*states, compensation.get(), rows_to(out.data(), g.width));
    return simt::device_bytes_in_use();
  };
  for (const Extent& extent : others) compute(extent);
  CHECK(compute(largest) == promised.weights + promised.workspace);
  for (const Extent& extent : others) compute(extent);
  CHECK(encoder.backend().weight_bytes() + compensation->bytes() == promised.weights);
  CHECK(simt::most_device_bytes() == promised.weights + promised.workspace);
  CHECK(encoder.backend().workspace_bytes() == promised.workspace);  // what is kept for the next batch included
}

// A batch as long as one before, or shorter, is computed without an allocation; so are a search's candidates.
void repeated_work_allocates_nothing() {
  const Fixture fixture(kT5);
  Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
  load(encoder, all(kT5));
  const auto encoded = [&](const Extent& extent) {
    const auto states = computed(encoder, dense(kT5), extent, kT5.width);
    std::vector<float> out(size_t(extent.tokens) * size_t(kT5.width));
    encoder.backend().finish(*states, nullptr, rows_to(out.data(), kT5.width));
  };
  const auto root = computed(encoder, dense(kT5), {50, 40}, kT5.width);
  const auto reference = encoder.backend().features(*root, nullptr, nullptr, CancelFlag());
  const auto candidate = [&] {
    const auto states = root->clone();
    encoder.advance(*states, dense(kT5), 2, 4, CancelFlag());
    encoder.backend().compare(*reference, *encoder.backend().features(*states, nullptr, nullptr, CancelFlag()));
  };
  encoded({50, 40}), candidate();
  simt::forget_device_history();
  encoded({50, 40}), encoded({7, 7}), candidate(), encoded({50, 40}), candidate();
  CHECK(simt::device_allocations() == 0);
}

// Idle memory is no reason to fail: it is freed for what does not fit beside it.
void idle_memory_makes_room() {
  const Fixture fixture(kT5);
  Encoder encoder = fixture.open(on_cuda, Precision::kBF16);
  load(encoder, all(kT5));
  const auto kept = computed(encoder, dense(kT5), {60, 60}, kT5.width);  // the workspace need not grow after this
  std::vector<std::unique_ptr<Features>> features;
  for (int i = 0; i < 3; i++) features.push_back(encoder.backend().features(*kept, nullptr, nullptr, CancelFlag()));
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
  const Geometry xxl{24, 4096, 64, 64, 10240, 0, 32, 128, 1e-6f, Activation::kGeluTanh, true, false};
  const cuda::DeviceFacts cards[] = {{"RTX 3060", 28, 99 << 10, false}, {"RTX 4090", 128, 99 << 10, false},
                                     {"A100", 108, 163 << 10, false}, {"H100", 132, 227 << 10, true}};
  for (const cuda::DeviceFacts& card : cards) {
    for (const int sub_blocks : {27, 48}) {
      std::vector<int> planned;
      for (int s = 0; s < sub_blocks; s++) planned.push_back(s);
      for (const int tokens : {77, 512, 1024}) {
        const Estimate bytes = cuda::estimate(card, xxl, planned, 32, tokens, tokens);
        CHECK_AT_MOST(double(bytes.workspace), 0.03 * double(bytes.weights) + 64e6);
      }
    }
  }
}

}  // namespace

int main() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  a_sub_block_that_does_not_fit_leaves_nothing_behind(fixture, sample);
  a_batch_that_does_not_fit_leaves_an_encoder_that_works(fixture, sample);
  a_second_encoder_that_does_not_fit_is_an_error(fixture);
  an_estimate_is_what_is_taken(kT5, {50, 40}, {{7, 7}, {40, 40}, {30, 11}});
  an_estimate_is_what_is_taken(kUmt5, {130, 130}, {{77, 77}, {90, 60}, {1, 1}});
  const Geometry deep{1, 64, 2, 64, 2048, 50, 32, 128, 1e-6f, Activation::kRelu, true, false};  // K is split
  an_estimate_is_what_is_taken(deep, {20, 20}, {{1, 1}, {19, 10}});
  repeated_work_allocates_nothing();
  idle_memory_makes_room();
  the_workspace_of_t5_xxl_keeps_the_promise();
  CHECK(simt::device_bytes_in_use() == 0);
  check_findings();
  return finish("cuda memory");
}
