// Memory for weights and activations, aligned to cache lines and zero at first. Buffers of a huge page or more lie in huge pages
// and return to the system as soon as they are freed.
#pragma once

#include <cstddef>

namespace skrr {

class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(size_t bytes);  // throws ERR_ENGINE with the size when the system has no more
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  // Makes room for `bytes` or more; growing loses the contents.
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

}  // namespace skrr
