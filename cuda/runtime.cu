// cuda/runtime.h on the CUDA runtime, which is linked statically: a machine needs the driver and nothing else.
#include "cuda/runtime.h"

#include <cuda_runtime.h>

#include "cuda/check.cuh"
#include "engine/error.h"

namespace skrr::cuda {
namespace {

[[noreturn]] void no_device(int index, const std::string& why) {
  throw Error("ERR_DEVICE", "device cuda:" + std::to_string(index) + ": " + why);
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Throws for every way in which there is no device to work with, and says what to do about it.
cudaDeviceProp find_device(int index) {
  int driver = 0;
  // Without a driver this succeeds with 0, where cudaGetDeviceCount would call the driver too old.
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    no_device(index, "no NVIDIA driver was found. Install one, or use device 'cpu'");
  }
  constexpr int kNeeded = CUDART_VERSION / 1000 * 1000;  // drivers run all minor versions of their CUDA
  if (driver < kNeeded) {
    no_device(index, "the NVIDIA driver is too old: found one for CUDA " + version_text(driver) + ", expected " +
                         version_text(kNeeded) + " or newer. Update it, or use device 'cpu'");
  }
  int count = 0;
  const cudaError_t counted = cudaGetDeviceCount(&count);
  if (counted == cudaErrorNoDevice || (counted == cudaSuccess && count == 0)) {
    no_device(index, "the NVIDIA driver sees no device. Check CUDA_VISIBLE_DEVICES and nvidia-smi, or use device 'cpu'");
  }
  if (counted != cudaSuccess) no_device(index, std::string("the NVIDIA driver fails: ") + cudaGetErrorString(counted));
  if (index < 0 || index >= count) {
    no_device(index, "found " + std::to_string(count) + (count == 1 ? " device" : " devices") +
                         ", expected an index from 0 to " + std::to_string(count - 1));
  }
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index));
  if (properties.major < 8) {
    no_device(index, std::string(properties.name) + " has compute capability " + std::to_string(properties.major) + "." +
                         std::to_string(properties.minor) + ", expected 8.0 (Ampere) or newer. Use device 'cpu'");
  }
  return properties;
}

class CudaGraph final : public Graph {
 public:
  CudaGraph(cudaGraphExec_t executable, cudaStream_t stream) : executable_(executable), stream_(stream) {}
  ~CudaGraph() override { cudaGraphExecDestroy(executable_); }
  void launch() override { check(cudaGraphLaunch(executable_, stream_)); }

 private:
  const cudaGraphExec_t executable_;
  const cudaStream_t stream_;
};

}  // namespace

// Bytes a cycle of the SMs: nine tenths of what the memory's clock (kHz, two transfers a cycle) and width (bits) allow; 0 where a
// virtual device does not tell its clock.
static double memory_rate(int index) {
  int memory = 0, width = 0, clock = 0;
  check(cudaDeviceGetAttribute(&memory, cudaDevAttrMemoryClockRate, index));
  check(cudaDeviceGetAttribute(&width, cudaDevAttrGlobalMemoryBusWidth, index));
  check(cudaDeviceGetAttribute(&clock, cudaDevAttrClockRate, index));
  return clock > 0 ? 0.9 * 2 * memory * (width / 8.0) / clock : 0;
}

// Multiplications with float32 sums; GeForce cards have a quarter of the large chips' rate.
static double tensor_rate(const cudaDeviceProp& properties) {
  const bool large = properties.minor == 0 && properties.major < 12;
  return large ? 1024 : 256;
}

GpuFacts gpu_facts(int index) {
  const cudaDeviceProp properties = find_device(index);
  return {properties.name,
          properties.multiProcessorCount,
          properties.sharedMemPerBlockOptin,
          properties.major == 9 && properties.minor == 0,
          size_t(properties.l2CacheSize),
          memory_rate(index),
          tensor_rate(properties)};
}

struct Gpu::State {
  int index;
  GpuFacts facts;
  cudaStream_t stream = nullptr;
};

Gpu::Gpu(int index, const std::string& products) : state_(std::make_unique<State>()) {
  state_->index = index;
  state_->facts = gpu_facts(index);
  state_->facts.products = product_path(products, state_->facts);
  use();
  check(cudaStreamCreateWithFlags(&state_->stream, cudaStreamNonBlocking));
}

Gpu::~Gpu() { cudaStreamDestroy(state_->stream); }

void Gpu::use() const { check(cudaSetDevice(state_->index)); }
const GpuFacts& Gpu::facts() const { return state_->facts; }
Stream Gpu::stream() const { return state_->stream; }

void* Gpu::allocate(size_t bytes, const std::string& what) {
  void* memory = nullptr;
  const cudaError_t result = cudaMalloc(&memory, bytes);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error("ERR_ENGINE", out_of_memory_message(what, bytes, free_bytes()));
  }
  check(result);
  return memory;
}

size_t Gpu::free_bytes() const {
  size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total));
  return free;
}

void Gpu::release(void* memory) noexcept { cudaFree(memory); }

// From pageable memory the copy is staged before the call returns, or has been made.
void Gpu::upload(void* device, const void* host, size_t bytes) {
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, state_->stream));
}

void Gpu::download(void* host, const void* device, size_t bytes) {
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, state_->stream));
  wait();
}

void Gpu::copy(void* to, const void* from, size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, state_->stream));
}

void Gpu::clear(void* device, size_t bytes) { check(cudaMemsetAsync(device, 0, bytes, state_->stream)); }

void Gpu::wait() { check(cudaStreamSynchronize(state_->stream)); }

struct StagingBuffer::State {
  cudaStream_t stream;
  void* memory = nullptr;
  cudaEvent_t copied = nullptr;
};

StagingBuffer::StagingBuffer(Gpu& device, size_t bytes) : state_(new State{device.stream()}) {
  const cudaError_t result = cudaHostAlloc(&state_->memory, bytes, cudaHostAllocDefault);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    throw Error("ERR_ENGINE", out_of_locked_memory_message(bytes));
  }
  check(result);
  try {
    check(cudaEventCreateWithFlags(&state_->copied, cudaEventDisableTiming));
  } catch (...) {
    cudaFreeHost(state_->memory);
    throw;
  }
}

StagingBuffer::~StagingBuffer() {
  cudaEventSynchronize(state_->copied);
  cudaEventDestroy(state_->copied);
  cudaFreeHost(state_->memory);
}

void* StagingBuffer::wait() {
  check(cudaEventSynchronize(state_->copied));  // one that was never recorded is over
  return state_->memory;
}

void StagingBuffer::upload(void* to, size_t bytes) {
  check(cudaMemcpyAsync(to, state_->memory, bytes, cudaMemcpyHostToDevice, state_->stream));
  check(cudaEventRecord(state_->copied, state_->stream));
}

std::unique_ptr<Graph> Gpu::record(const std::function<void()>& work) {
  check(cudaStreamBeginCapture(state_->stream, cudaStreamCaptureModeThreadLocal));
  cudaGraph_t graph = nullptr;
  try {
    work();
  } catch (...) {
    cudaStreamEndCapture(state_->stream, &graph);
    if (graph) cudaGraphDestroy(graph);
    throw;
  }
  check(cudaStreamEndCapture(state_->stream, &graph));
  cudaGraphExec_t executable = nullptr;
  const cudaError_t result = cudaGraphInstantiate(&executable, graph, 0);
  cudaGraphDestroy(graph);
  check(result);
  return std::make_unique<CudaGraph>(executable, state_->stream);
}

}  // namespace skrr::cuda
