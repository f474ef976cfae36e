// A flag one thread raises and the working threads poll between pieces of work.
#pragma once

#include <atomic>

#include "engine/error.h"

namespace skrr {

class CancelFlag {
 public:
  void raise() { raised_.store(true, std::memory_order_relaxed); }
  bool raised() const { return raised_.load(std::memory_order_relaxed); }
  void check() const {
    if (raised()) throw Cancelled();
  }

 private:
  std::atomic<bool> raised_{false};
};

}  // namespace skrr
