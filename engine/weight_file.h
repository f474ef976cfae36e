// A checkpoint file. It may be cut or lose its disk while it is open: what is read is then an error, what is mapped ends the process
// (SIGBUS). So everything is read, but for packed weights, which processes share where they lie; those have to be replaced by a
// rename, never written in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace skrr {

class WeightFile {
 public:
  explicit WeightFile(const std::string& path);  // throws ERR_CHECKPOINT
  ~WeightFile();
  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;

  // Throws ERR_CHECKPOINT where the file ends before the range does by now; `name` says in it whose range it is.
  void require(const std::string& name, uint64_t offset, size_t bytes) const;

  // Throws the same where the file ends before, or cannot be read. From any thread.
  void read(const std::string& name, uint64_t offset, size_t bytes, std::byte* out) const;

  // Starts reading a range from disk, so that it is there when it is used: single reads ask for too little at a time.
  void prefetch(uint64_t offset, size_t bytes) const;

  // The range in memory, read-only, as long as this lives: only pages that are touched are read from disk. Throws the same where the
  // file ends before. From one thread.
  const std::byte* map(const std::string& name, uint64_t offset, size_t bytes);
  // Gives the pages of a range that was mapped back to the system. They stay in the page cache.
  void drop(uint64_t offset, size_t bytes) const;

 private:
  size_t size() const;

  const std::string path_;
  const int descriptor_;
  std::byte* mapped_ = nullptr;  // the whole file
  size_t mapped_bytes_ = 0;
};

}  // namespace skrr
