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
  Encoder encoder = fixture.open(on_cuda);
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
  Encoder encoder = fixture.open(on_cuda);
  load(encoder, all(kT5));
  no_memory_for_more();
  CHECK(failure([&] { encode(encoder, sample, dense(kT5), kT5.width); }).find("out of device memory") == 0);
  memory_again();
  CHECK(std::isfinite(encode(encoder, sample, dense(kT5), kT5.width)[0]));
}

void a_second_encoder_that_does_not_fit_is_an_error(const Fixture& fixture) {
  Encoder encoder = fixture.open(on_cuda);
  simt::limit_device_memory(simt::device_bytes_in_use() + 100);
  CHECK(failure([&] { fixture.open(on_cuda); }).find("out of device memory") == 0);
  memory_again();
}

}  // namespace

int main() {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  a_sub_block_that_does_not_fit_leaves_nothing_behind(fixture, sample);
  a_batch_that_does_not_fit_leaves_an_encoder_that_works(fixture, sample);
  a_second_encoder_that_does_not_fit_is_an_error(fixture);
  CHECK(simt::device_bytes_in_use() == 0);
  check_findings();
  return finish("cuda memory");
}
