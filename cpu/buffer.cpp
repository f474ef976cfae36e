#include "cpu/buffer.h"

#include <sys/mman.h>

#include <string>
#include <utility>

#include "engine/error.h"

namespace skrr::cpu {

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    throw Error("ERR_ENGINE", "out of memory: " + std::to_string(bytes) + " bytes could not be allocated");
  }
#ifdef MADV_HUGEPAGE
  madvise(data, bytes, MADV_HUGEPAGE);  // fewer TLB misses while weights stream; only whole 2 MB ranges take part
#endif
  data_ = data;
}

Buffer::~Buffer() {
  if (data_) munmap(data_, bytes_);
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

}  // namespace skrr::cpu
