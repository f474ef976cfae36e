// A thread of control with a stack of its own that runs until it steps aside: one stands for each CUDA thread.
#pragma once

#include <cstddef>
#include <cstdint>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simt {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Makes the next resume() begin `entry` on an empty stack. `entry` must not return.
  void start(void (*entry)());
  // From the scheduler: runs this fiber until it calls step_aside().
  void resume();
  // From this fiber: back to resume()'s caller.
  void step_aside();

  bool owns(uintptr_t address) const { return address - uintptr_t(stack_) < kStackBytes; }

 private:
  static constexpr size_t kStackBytes = 256 * 1024;

  char* stack_;
#if defined(__x86_64__)
  void* position_ = nullptr;   // stack pointers while the other side runs
  void* scheduler_ = nullptr;
#else
  ucontext_t position_, scheduler_;
#endif
};

}  // namespace simt
