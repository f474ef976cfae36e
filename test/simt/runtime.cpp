// cuda/runtime.h on the emulated machine. Launches run at once, and so do copies, except those from staging buffers (staging.h).
// A graph notes its launches and repeats them with the arguments they had, as CUDA does; so a test sees a change between replays
// that must not be.
#include "cuda/runtime.h"

#include <cstdlib>
#include <cstring>

#include "engine/error.h"
#include "test/simt/device_memory.h"
#include "test/simt/machine.h"
#include "test/simt/report.h"
#include "test/simt/staging.h"

namespace skrr::cuda {
namespace {

class RecordedGraph final : public Graph {
 public:
  explicit RecordedGraph(simt::Recording recording) : recording_(std::move(recording)) {}
  void launch() override { recording_(); }

 private:
  const simt::Recording recording_;
};

constexpr size_t kCache = 64 * 1024;  // made up, and small: every byte of a copy is checked

void require_not_recording(const char* what) {
  if (simt::recording()) throw Error("ERR_ENGINE", std::string("CUDA: ") + what + " while a graph is recorded");
}

}  // namespace

GpuFacts gpu_facts(int index) {
  if (index != 0) {
    throw Error("ERR_DEVICE", "device cuda:" + std::to_string(index) + ": found 1 device, expected an index from 0 to 0");
  }
  const char* wanted = std::getenv("SKRR_SIMT_DEVICE");
  if (wanted && std::string(wanted) == "hopper") return {"emulated Hopper", 4, 227 * 1024, true, kCache};
  return {"emulated", 4, 99 * 1024, false, kCache};  // shared memory of consumer cards: the min that kernels must do with
}

struct Gpu::State {
  GpuFacts facts;
};

Gpu::Gpu(int index, const std::string& products) : state_(new State{gpu_facts(index)}) {
  state_->facts.products = product_path(products, state_->facts);
}
Gpu::~Gpu() = default;

void Gpu::use() const {}
const GpuFacts& Gpu::facts() const { return state_->facts; }
Stream Gpu::stream() const { return nullptr; }

void* Gpu::allocate(size_t bytes, const std::string& what) {
  require_not_recording("an allocation");
  if (void* memory = simt::allocate_device(bytes)) return memory;
  throw Error("ERR_ENGINE", out_of_memory_message(what, bytes, free_bytes()));
}

size_t Gpu::free_bytes() const { return simt::device_memory_limit() - simt::device_bytes_in_use(); }

void Gpu::release(void* memory) noexcept { simt::free_device(memory); }

void Gpu::upload(void* device, const void* host, size_t bytes) {
  require_not_recording("a copy");
  simt::mark_initialised(device, bytes);
  std::memcpy(device, host, bytes);
}

void Gpu::download(void* host, const void* device, size_t bytes) {
  require_not_recording("a copy");
  simt::check_host_read(device, bytes, simt::Place::here());
  std::memcpy(host, device, bytes);
}

void Gpu::copy(void* to, const void* from, size_t bytes) {
  simt::check_host_read(from, bytes, simt::Place::here());
  upload(to, from, bytes);
}

void Gpu::clear(void* device, size_t bytes) {
  require_not_recording("a copy");
  simt::mark_initialised(device, bytes);
  std::memset(device, 0, bytes);
}

void Gpu::wait() { simt::make_staged_copies(); }

std::unique_ptr<Graph> Gpu::record(const std::function<void()>& work) {
  simt::start_recording();
  work();
  return std::make_unique<RecordedGraph>(simt::stop_recording());
}

}  // namespace skrr::cuda
