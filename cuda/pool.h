// Device memory of what comes and goes with every batch and every candidate of a search. The next one that asks gets what was
// given back, without the driver, which waits for all queued work before it allocates or frees.
#pragma once

#include <map>
#include <memory>
#include <utility>

#include "cuda/runtime.h"

namespace skrr::cuda {

// Per kind, idle + in use never exceeds the peak of in use, so the pool adds nothing to peak memory; and no more than kMaxIdle is
// idle, so that a search leaves little behind. All work is in one queue: work that still reads memory given back comes before
// what its next owner queues.
class Pool : public std::enable_shared_from_this<Pool> {
 public:
  enum Kind { kRows, kStream, kFeatures, kKinds };

  // Memory of the pool, given back with the object; keeps the pool and its device.
  class Lease {
   public:
    Lease() = default;
    Lease(std::shared_ptr<Pool> pool, Kind kind, size_t bytes, Buffer buffer)
        : pool_(std::move(pool)), kind_(kind), bytes_(bytes), buffer_(std::move(buffer)) {}
    ~Lease() {
      if (pool_) pool_->give_back(kind_, std::move(buffer_));
    }
    Lease(Lease&& other) noexcept { *this = std::move(other); }
    Lease& operator=(Lease&& other) noexcept {
      std::swap(pool_, other.pool_), std::swap(kind_, other.kind_), std::swap(bytes_, other.bytes_);
      std::swap(buffer_, other.buffer_);
      return *this;
    }

    Pool& pool() const { return *pool_; }
    size_t bytes() const { return bytes_; }  // as asked for
    template <class T>
    T* as() const {
      return buffer_.as<T>();
    }

   private:
    std::shared_ptr<Pool> pool_;
    Kind kind_ = kRows;
    size_t bytes_ = 0;
    Buffer buffer_;
  };

  static constexpr size_t kMaxIdle = size_t(64) << 20;  // of a kind: four times the stream of 1024 tokens at width 4096

  Pool(int device, const std::string& products) : device_(device, products) {}

  Gpu& device() { return device_; }
  size_t idle_bytes() const;
  // Throws ERR_ENGINE when the device has no more, idle memory of all kinds freed.
  Lease take(Kind kind, size_t bytes);
  // Frees what is idle.
  void trim();

 private:
  struct Shelf {
    std::multimap<size_t, Buffer> idle;  // by bytes
    size_t in_use = 0, idle_bytes = 0, peak_in_use = 0;
    void drop_smallest();
  };

  void give_back(Kind kind, Buffer buffer);
  Buffer allocate(Kind kind, size_t bytes);

  Gpu device_;
  Shelf shelves_[kKinds];
};

}  // namespace skrr::cuda
