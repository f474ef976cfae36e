// A checkpoint file, mapped read-only. Only pages that are touched are read from disk.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace skrr {

class MappedFile {
 public:
  explicit MappedFile(const std::string& path);  // throws ERR_CHECKPOINT
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::byte* data() const { return data_; }
  // Bytes that may be read: what was mapped, less what the file has lost since. Touching pages behind a file's end
  // is a SIGBUS, so ask before every longer read.
  size_t size() const;

  // Starts reading a range from disk, so that it is there when it is used: page faults alone read too little at a time.
  static void prefetch(const std::byte* begin, size_t bytes);

  // Gives the pages of a range that was read back to the system: weights are copied once, packed, and the file's
  // pages must not count as ours any longer. They stay in the page cache.
  static void drop(const std::byte* begin, size_t bytes);

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int descriptor_ = -1;  // to ask for the size
};

}  // namespace skrr
