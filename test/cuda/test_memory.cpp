// The CUDA backend when device memory runs out, which the emulated machine can be told to.
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
  CHECK(message.find("1000 are free. Use a plan with fewer sub-blocks") != std::string::npos);
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

// Everything on the device while a batch is computed, to the byte, and within what the backend promises above its weights.
void an_estimate_is_what_is_taken(const Geometry& g, int tokens, int longest) {
  const Fixture fixture(g);
  std::vector<int> planned;  // without the first attention, whose bias stays
  for (int s = 1; s < g.sub_blocks(); s++) planned.push_back(s);
  const Estimate promised = cuda::estimate(cuda::device_facts(0), g, planned, tokens, longest);

  Backend* backend = nullptr;
  Encoder encoder = fixture.open(
      [&](const Geometry& geometry, const FixedTensors& fixed) {
        auto made = on_cuda(geometry, fixed);
        backend = made.get();
        return made;
      },
      Precision::kBF16);
  load(encoder, planned);
  LayerTable table = dense(g);
  table[0].slot = kSkipped;
  std::vector<int32_t> starts, positions;
  for (int t = 0; t < tokens; t++) positions.push_back(t % longest);
  for (int start = 0; start < tokens; start += longest) starts.push_back(start);
  starts.push_back(tokens);
  const std::vector<uint8_t> visible(size_t(tokens), 1);
  const std::vector<float> embeds = random_floats(size_t(tokens) * size_t(g.width), 3);
  const Batch batch{int(starts.size()) - 1, tokens, starts.data(), positions.data(), visible.data()};
  const auto states = backend->begin(batch, embeds.data());
  backend->run(table, 0, g.sub_blocks(), *states, CancelFlag());

  CHECK(backend->weight_bytes() == promised.weights);
  CHECK(simt::device_bytes_in_use() == promised.weights + promised.workspace);
}

// T5-XXL under its largest plan, a whole micro-batch at once: weights + 3 % + 64 MB.
void the_workspace_of_t5_xxl_keeps_the_promise() {
  const Geometry xxl{24, 4096, 64, 64, 10240, 0, 32, 128, 1e-6f, Activation::kGeluTanh, true, false};
  std::vector<int> planned;
  for (int s = 0; s < 27; s++) planned.push_back(s);
  for (const int processors : {46, 108, 132}) {
    const Estimate bytes = cuda::estimate({"", processors, 99 * 1024, false}, xxl, planned, 1024, 1024);
    CHECK_AT_MOST(double(bytes.workspace), 0.03 * double(bytes.weights) + 64e6);
  }
}

}  // namespace

int main() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  a_sub_block_that_does_not_fit_leaves_nothing_behind(fixture, sample);
  a_batch_that_does_not_fit_leaves_an_encoder_that_works(fixture, sample);
  a_second_encoder_that_does_not_fit_is_an_error(fixture);
  an_estimate_is_what_is_taken(kT5, 50, 40);
  an_estimate_is_what_is_taken(kUmt5, 200, 200);
  an_estimate_is_what_is_taken({1, 64, 2, 64, 2048, 50, 32, 128, 1e-6f, Activation::kRelu, true, false}, 20, 20);
  the_workspace_of_t5_xxl_keeps_the_promise();
  CHECK(simt::device_bytes_in_use() == 0);
  check_findings();
  return finish("cuda memory");
}
