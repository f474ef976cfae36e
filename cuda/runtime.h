// The sliver of a GPU runtime the backend needs. Two implementations: the CUDA runtime (runtime.cu), and the machine of
// test/simt, on which the whole backend is tested where there is no GPU.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "cuda/types.h"

namespace skrr::cuda {

// Work that was recorded once and is launched as a whole. It keeps the addresses and numbers it was recorded with.
class Graph {
 public:
  virtual ~Graph() = default;
  virtual void launch() = 0;
};

// Which kernels compute products: the cheapest by the model of gemm_tiling.cpp, or all by one, for tests and benchmarks.
enum class ProductPath { kCheapest, kMma, kHopper };

// What tilings and memory estimates follow from. Asking takes no memory on the device.
struct GpuFacts {
  std::string name;
  int sms;               // streaming multiprocessors
  size_t shared_memory;  // bytes a block may have
  bool hopper;           // compute capability 9.0: hopper_gemm.cu runs there, and nowhere else
  size_t cache = 0;      // bytes of L2
  double memory_rate = 0;     // bytes of device memory a cycle of the SMs; 0: unknown
  double tensor_rate = 1024;  // max multiplications of mma.sync a cycle and SM
  ProductPath products = ProductPath::kCheapest;
};
// Throws ERR_DEVICE where the driver or the device is missing or too old.
GpuFacts gpu_facts(int index);

// mma or hopper; empty: what SKRR_CUDA_GEMM names, else the cheapest. Throws ERR_DEVICE for what the device has no kernels for.
ProductPath product_path(const std::string& name, const GpuFacts& facts);

// One GPU and one queue of work on it. Everything queued runs in order; use() makes the device current on this thread.
class Gpu {
 public:
  // Throws what gpu_facts() and product_path() do.
  explicit Gpu(int index, const std::string& products = "");
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  void use() const;
  const GpuFacts& facts() const;
  const std::string& name() const { return facts().name; }
  size_t shared_memory() const { return facts().shared_memory; }
  bool hopper() const { return facts().hopper; }
  Stream stream() const;

  // Throws ERR_ENGINE with the bytes needed for `what` and the bytes free.
  void* allocate(size_t bytes, const std::string& what);
  void release(void* memory) noexcept;
  size_t free_bytes() const;  // on the device, for any program

  void upload(void* device, const void* host, size_t bytes);     // `host` may be reused at once
  void download(void* host, const void* device, size_t bytes);   // waits for the result
  void copy(void* to, const void* from, size_t bytes);           // on the device
  void clear(void* device, size_t bytes);                        // to zeros
  void wait();  // until all that is queued is over; throws ERR_ENGINE when some of it failed

  std::unique_ptr<Graph> record(const std::function<void()>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Page-locked host memory: a copy from it to the device runs while the host goes on. One thread uses it at a time; several
// threads may start copies of several buffers.
class StagingBuffer {
 public:
  StagingBuffer(Gpu& device, size_t bytes);  // throws ERR_ENGINE where the system has no memory to lock
  ~StagingBuffer();                             // after its last copy
  StagingBuffer(const StagingBuffer&) = delete;
  StagingBuffer& operator=(const StagingBuffer&) = delete;

  // The memory, once its last copy is over.
  void* wait();
  // Starts a copy of its first bytes, behind what is queued. The memory may not be written before wait().
  void upload(void* to, size_t bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Both implementations say it in the same words.
inline std::string out_of_memory_message(const std::string& what, size_t needed, size_t free) {
  return "out of device memory: " + what + " needs " + std::to_string(needed) + " bytes, " + std::to_string(free) +
         " are free. Use a plan with fewer sub-blocks, device 'cpu', or free memory other programs hold on this device";
}
inline std::string out_of_locked_memory_message(size_t needed) {
  return "out of page-locked host memory: loading weights needs " + std::to_string(needed) +
         " bytes at a time. Free memory of this machine, or raise its limit on locked memory (ulimit -l)";
}

// Device memory that is freed with the object.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Gpu& device, size_t bytes, const std::string& what)
      : device_(&device), data_(bytes > 0 ? device.allocate(bytes, what) : nullptr), bytes_(bytes) {}
  ~Buffer() {
    if (data_) device_->release(data_);
  }
  Buffer(Buffer&& other) noexcept
      : device_(other.device_), data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(device_, other.device_), std::swap(data_, other.data_), std::swap(bytes_, other.bytes_);
    return *this;
  }

  size_t bytes() const { return bytes_; }
  template <class T>
  T* as(size_t offset_bytes = 0) const {
    return reinterpret_cast<T*>(static_cast<char*>(data_) + offset_bytes);
  }

 private:
  Gpu* device_ = nullptr;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace skrr::cuda
