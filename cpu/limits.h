// What the processor can do at most under some threads, as timed: its multiplying instructions on registers, a streaming read of
// its memory. Nothing that runs on as many threads is faster, so shares of these are at most 1.
#pragma once

#include "engine/buffer.h"
#include "cpu/kernels.h"
#include "engine/cancel.h"

namespace skrr::cpu {

class Limits {
 public:
  explicit Limits(int threads);

  // Multiplications and additions a second of the kernel's instructions, all threads at once.
  double multiply_rate(const TileKernel& kernel, const CancelFlag& cancel) const;
  // Bytes a second of the fastest of some ways to read memory from front to back.
  double read_rate(const CancelFlag& cancel) const;
  // Fills the caches with other data.
  void scrub() const;

 private:
  const int threads_;
  Buffer memory_;
};

}  // namespace skrr::cpu
