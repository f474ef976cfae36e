#include "engine/buffer.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "engine/error.h"

namespace skrr {

namespace {

constexpr size_t kLine = 64, kHugePage = 2 << 20;

// A buffer smaller than a huge page comes from the heap, which keeps its pages for the next one of its size: new pages for each
// batch of 77 tokens took a twentieth of its time (in a virtual machine: cpu-kernels-2026-11.md).
void* allocate(size_t bytes) {
  if (bytes < kHugePage) {
    void* data = std::aligned_alloc(kLine, (bytes + kLine - 1) / kLine * kLine);
    return data ? std::memset(data, 0, bytes) : nullptr;
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);  // fewer TLB misses while weights stream; only whole 2 MB ranges become huge pages
#endif
  return data;
}

}  // namespace

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  data_ = allocate(bytes);
  if (!data_) throw Error("ERR_ENGINE", "out of memory: " + std::to_string(bytes) + " bytes could not be allocated");
}

Buffer::~Buffer() {
  if (bytes_ < kHugePage) std::free(data_);
  else if (data_) munmap(data_, bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace skrr
