// Where in a kernel something happened: file and line (intrinsics know them) or a code address (plain memory accesses).
#pragma once

#include <cstdint>
#include <string>

namespace simt {

class Place {
 public:
  constexpr Place() = default;
  explicit Place(const void* code) : what_(code) {}
  // As a default argument it names the line of the call.
  static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return Place(file, line);
  }
  std::string text() const;  // "gemm.cu:71", inlined callers after "<"
  bool operator==(const Place& other) const { return what_ == other.what_ && line_ == other.line_; }
  bool operator!=(const Place& other) const { return !(*this == other); }

 private:
  constexpr Place(const char* file, int line) : what_(file), line_(line) {}

  const void* what_ = nullptr;  // the file's name where line_ > 0, else the code address
  int line_ = 0;
};

}  // namespace simt
