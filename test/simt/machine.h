// A CUDA device made of host code, to prove kernels right where there is no GPU.
//
// Kernel sources are compiled by the host's compiler: a CUDA thread is a fiber, a thread block runs on the scheduler in
// cluster.cpp, warp-wide and block-wide operations are meetings of fibers, and plain memory accesses are seen through the
// callbacks of -fsanitize=thread (hooks.cpp), which are ours. It knows what hardware does not tell: races that did not
// strike, reads of what was never written, asynchronous copies that were not waited for, bank conflicts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace simt {

struct Dim3 {
  unsigned x, y, z;
  constexpr Dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

// The order in which threads of a block run between their meetings, and in which Hopper's copies arrive.
struct Schedule {
  enum Order { kInTurn, kBackwards, kRandom } order = kInTurn;
  uint64_t seed = 1;  // of kRandom
};
void set_schedule(const Schedule& schedule);

// What a test may count; since the last call of take_counters().
struct Counters {
  uint64_t launches, mma, wgmma, ldmatrix_phases, ldmatrix_conflicts;
};
Counters take_counters();

// A kernel with its arguments, as the launch in intrinsics.h makes it. The bytes are copied.
struct Kernel {
  const void* function;                // as compiled for the host: its name finds its PTX
  void (*call)(const void* arguments);  // calls it
  const void* arguments;
  size_t argument_bytes;
  const unsigned char* parameters;  // the same arguments, as PTX finds them
  size_t parameter_bytes;
};

// Runs all blocks, `cluster` of them together, or, between start_recording() and stop_recording(), only notes the launch.
// Where SKRR_PTX names a folder of PTX files, these are run in place of the host's code (ptx.h).
void launch(Dim3 grid, Dim3 block, unsigned cluster, size_t shared_bytes, const Kernel& kernel);

using Recording = std::function<void()>;  // calling it launches what was noted, with the arguments it had
void start_recording();
Recording stop_recording();
bool recording();

// From a thread of the running block: ends the block. What its threads still had to do is lost.
[[noreturn]] void end_block();

}  // namespace simt
