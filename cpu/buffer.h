// Memory for weights and activations: cache-line aligned, zeros at first; where a huge page fits, of such, and freed at once to
// the system.
#pragma once

#include <cstddef>

namespace skrr::cpu {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);  // throws ERR_ENGINE with the size when the system has no more
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  // Makes room for at least `bytes`; what was in it is lost when it has to grow.
  void reserve(size_t bytes) {
    if (bytes > bytes_) *this = Buffer(), *this = Buffer(bytes);
  }

  size_t bytes() const { return bytes_; }
  template <class T = char>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace skrr::cpu
