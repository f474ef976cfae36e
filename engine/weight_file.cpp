#include "engine/weight_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/error.h"

namespace skrr {

static Error failure(const std::string& what, const char* how) {
  return Error("ERR_CHECKPOINT", what + ": cannot be " + how + ": " + std::strerror(errno));
}

static Error shrunken(const std::string& name, size_t found, uint64_t expected) {
  return Error("ERR_CHECKPOINT", name + ": found a file that is " + std::to_string(found) + " bytes by now, expected the " +
                                     std::to_string(expected) + " it had when it was opened");
}

WeightFile::WeightFile(const std::string& path) : path_(path), descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw failure(path, "opened");
}

WeightFile::~WeightFile() {
  if (mapped_) munmap(mapped_, mapped_bytes_);
  close(descriptor_);
}

size_t WeightFile::size() const {
  struct stat status;
  return fstat(descriptor_, &status) == 0 ? size_t(status.st_size) : 0;
}

void WeightFile::require(const std::string& name, uint64_t offset, size_t bytes) const {
  const size_t found = size();
  if (offset > found || bytes > found - offset) throw shrunken(name, found, offset + bytes);
}

void WeightFile::read(const std::string& name, uint64_t offset, size_t bytes, std::byte* out) const {
  for (size_t done = 0; done < bytes;) {
    const ssize_t got = pread(descriptor_, out + done, bytes - done, off_t(offset + done));
    if (got > 0) {
      done += size_t(got);
    } else if (got == 0) {
      throw shrunken(name, size(), offset + bytes);
    } else if (errno != EINTR) {
      throw failure(name, "read");
    }
  }
}

void WeightFile::prefetch(uint64_t offset, size_t bytes) const {
  posix_fadvise(descriptor_, off_t(offset), off_t(bytes), POSIX_FADV_WILLNEED);
}

const std::byte* WeightFile::map(const std::string& name, uint64_t offset, size_t bytes) {
  if (!mapped_) {
    const size_t whole = size();
    void* mapped = mmap(nullptr, whole, PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (mapped == MAP_FAILED) throw failure(path_, "mapped");
    mapped_ = static_cast<std::byte*>(mapped), mapped_bytes_ = whole;
  }
  if (offset > mapped_bytes_ || bytes > mapped_bytes_ - offset) throw shrunken(name, mapped_bytes_, offset + bytes);
  return mapped_ + offset;
}

void WeightFile::drop(uint64_t offset, size_t bytes) const {
  if (!mapped_) return;
  const size_t page = size_t(sysconf(_SC_PAGESIZE)), first = size_t(offset) / page * page;
  madvise(mapped_ + first, size_t(offset) + bytes - first, MADV_DONTNEED);
}

}  // namespace skrr
