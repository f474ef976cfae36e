#include "test/simt/fiber.h"

#include <sys/mman.h>

#include <new>

namespace simt {
namespace {

constexpr size_t kGuardBytes = 4096;  // an overflow of the stack faults instead of writing elsewhere

}  // namespace

Fiber::Fiber() {
  void* memory = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  mprotect(memory, kGuardBytes, PROT_NONE);
  stack_ = static_cast<char*>(memory);
}

Fiber::~Fiber() { munmap(stack_, kStackBytes); }

#if defined(__x86_64__)

// Saves the registers that the System V ABI makes a callee keep, swaps stacks, restores. swapcontext() would do the same with
// two system calls for the signal mask, a hundred times slower.
extern "C" void simt_switch_stack(void** save, void* load);
asm(R"(
.text
.type simt_switch_stack,@function
simt_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch_stack,.-simt_switch_stack
)");

void Fiber::start(void (*entry)()) {
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes - 64);
  *--top = nullptr;  // entry's return address; also aligns the stack as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int saved = 0; saved < 6; saved++) *--top = nullptr;
  position_ = top;
}

void Fiber::resume() { simt_switch_stack(&scheduler_, position_); }
void Fiber::step_aside() { simt_switch_stack(&position_, scheduler_); }

#else

void Fiber::start(void (*entry)()) {
  getcontext(&position_);
  position_.uc_stack.ss_sp = stack_ + kGuardBytes;
  position_.uc_stack.ss_size = kStackBytes - kGuardBytes;
  position_.uc_link = nullptr;
  makecontext(&position_, entry, 0);
}

void Fiber::resume() { swapcontext(&scheduler_, &position_); }
void Fiber::step_aside() { swapcontext(&position_, &scheduler_); }

#endif

}  // namespace simt
