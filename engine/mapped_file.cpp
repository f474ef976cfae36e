#include "engine/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/error.h"

namespace skrr {

static size_t size_of(int descriptor) {
  struct stat status;
  return fstat(descriptor, &status) == 0 ? size_t(status.st_size) : 0;
}

MappedFile::MappedFile(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw Error("ERR_CHECKPOINT", path + ": cannot be opened: " + std::strerror(errno));
  size_ = size_of(descriptor_);
  void* mapped = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor_, 0);
  if (mapped == MAP_FAILED) {
    const int reason = errno;
    close(descriptor_);
    throw Error("ERR_CHECKPOINT", path + ": cannot be mapped: " + std::strerror(reason));
  }
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() {
  munmap(const_cast<std::byte*>(data_), size_);
  close(descriptor_);
}

size_t MappedFile::size() const { return std::min(size_, size_of(descriptor_)); }

static void advise(const std::byte* begin, size_t bytes, int advice) {
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(begin) & ~(page - 1);
  const uintptr_t last = reinterpret_cast<uintptr_t>(begin) + bytes;
  madvise(reinterpret_cast<void*>(first), last - first, advice);
}

void MappedFile::prefetch(const std::byte* begin, size_t bytes) { advise(begin, bytes, MADV_WILLNEED); }

void MappedFile::drop(const std::byte* begin, size_t bytes) { advise(begin, bytes, MADV_DONTNEED); }

}  // namespace skrr
