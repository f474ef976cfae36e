#include "engine/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/error.h"

namespace skrr {

MappedFile::MappedFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw Error("ERR_CHECKPOINT", path + ": cannot be opened: " + std::strerror(errno));
  struct stat status;
  const bool known = fstat(descriptor, &status) == 0;
  size_ = known ? size_t(status.st_size) : 0;
  void* mapped = size_ > 0 ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, descriptor, 0) : MAP_FAILED;
  const int reason = errno;
  close(descriptor);  // the mapping keeps the file
  if (mapped == MAP_FAILED) throw Error("ERR_CHECKPOINT", path + ": cannot be mapped: " + std::strerror(reason));
  data_ = static_cast<const std::byte*>(mapped);
}

MappedFile::~MappedFile() { munmap(const_cast<std::byte*>(data_), size_); }

void MappedFile::drop(const std::byte* begin, size_t bytes) {
  const uintptr_t page = uintptr_t(sysconf(_SC_PAGESIZE));
  const uintptr_t first = reinterpret_cast<uintptr_t>(begin) & ~(page - 1);
  const uintptr_t last = reinterpret_cast<uintptr_t>(begin) + bytes;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

}  // namespace skrr
