// Kernels with one bug each (and one without), for the machine's own tests.
#include "cuda/intrinsics.cuh"
#include "test/simt/planted.h"

namespace planted {
namespace {

using namespace skrr::cuda;

// Each thread hands its number to its neighbour through shared memory.
__global__ void rotate(int* out, bool with_barrier) {
  SKRR_SHARED_MEMORY(memory);
  int* shared = reinterpret_cast<int*>(memory);
  const int t = int(threadIdx.x);
  shared[t] = t;
  if (with_barrier) __syncthreads();
  out[t] = shared[(t + 32) % 64];
}

__global__ void overwrite_too_soon(int* out) {
  SKRR_SHARED_MEMORY(memory);
  int* shared = reinterpret_cast<int*>(memory);
  const int t = int(threadIdx.x);
  shared[t] = t;
  __syncthreads();
  out[t] = shared[(t + 32) % 64];
  shared[t] = 0;  // the neighbour may not have read it yet
}

__global__ void read_what_nobody_wrote(int* out) {
  SKRR_SHARED_MEMORY(memory);
  out[threadIdx.x] = reinterpret_cast<int*>(memory)[threadIdx.x];
}

__global__ void read_past_shared_memory(int* out) {
  SKRR_SHARED_MEMORY(memory);
  out[threadIdx.x] = reinterpret_cast<int*>(memory)[64 + threadIdx.x];
}

__global__ void write_past_an_allocation(int* out) { out[threadIdx.x + 1] = 0; }

__global__ void all_blocks_write_one_place(int* out) {
  if (threadIdx.x == 0) out[0] = int(blockIdx.x);
}

__global__ void half_a_warp_at_the_barrier(int* out) {
  if (threadIdx.x % 32 < 16) __syncthreads();
  out[threadIdx.x] = 0;
  if (threadIdx.x % 32 >= 16) __syncthreads();
}

__global__ void half_a_warp_shuffles(int* out) {
  int value = int(threadIdx.x);
  if (threadIdx.x % 32 < 16) value = __shfl_xor_sync(~0u, value, 1);
  out[threadIdx.x] = value;
}

// 16 bytes by each thread; it reads its own (`waits`) or those of the next warp (`meets`).
__global__ void copy(const float* in, float* out, bool waits, bool meets) {
  SKRR_SHARED_MEMORY(memory);
  const int t = int(threadIdx.x), from = meets ? (t + 32) % 64 : t;
  cp_async_16(shared_address(memory + t * 16), in + t * 4, true);
  cp_async_commit();
  if (waits) cp_async_wait<0>();
  if (meets && waits) __syncthreads();
  out[t] = reinterpret_cast<float*>(memory)[from * 4];
  cp_async_wait<0>();
}

__global__ void copy_without_meeting(const float* in, float* out) {
  SKRR_SHARED_MEMORY(memory);
  const int t = int(threadIdx.x);
  cp_async_16(shared_address(memory + t * 16), in + t * 4, true);
  cp_async_commit();
  cp_async_wait<0>();
  out[t] = reinterpret_cast<float*>(memory)[(t + 32) % 64 * 4];
}

__global__ void copy_misaligned(const float* in, float* out) {
  SKRR_SHARED_MEMORY(memory);
  cp_async_16(shared_address(memory), in + 1, true);
  cp_async_commit();
  cp_async_wait<0>();
  out[0] = 0;
}

// The 16 x 16 tile of bf16 at `in`, rows `stride` bytes apart in shared memory, as ldmatrix hands it out.
__global__ void matrices(const bf16* in, uint32_t* out, int stride, bool transposed) {
  SKRR_SHARED_MEMORY(memory);
  const int lane = int(threadIdx.x);
  const int half = lane / 16;
  cp_async_16(shared_address(memory + (lane % 16) * stride + half * 16), in + (lane % 16) * 16 + half * 8, true);
  cp_async_commit();
  cp_async_wait<0>();
  sync_warp();
  uint32_t r[4];
  const uint32_t row = shared_address(memory + (lane % 16) * stride + lane / 16 * 16);
  if (transposed) {
    ldmatrix_x4_trans(r, row);
  } else {
    ldmatrix_x4(r, row);
  }
  for (int i = 0; i < 4; i++) out[lane * 4 + i] = r[i];
}

__global__ void product(const uint32_t* a, const uint32_t* b, float* d) {
  const int lane = int(threadIdx.x);
  const uint32_t fragment[4] = {a[lane * 4], a[lane * 4 + 1], a[lane * 4 + 2], a[lane * 4 + 3]};
  float sums[4] = {1, 1, 1, 1};
  mma_bf16(sums, fragment, b[lane * 2], b[lane * 2 + 1]);
  for (int i = 0; i < 4; i++) d[lane * 4 + i] = sums[i];
}

__global__ void index_past_a_register_array(int* out, int count) {
  int values[4] = {};
  for (int i = 0; i < count; i++) values[i] = i;
  out[threadIdx.x] = values[threadIdx.x % 4];
}

__global__ void add_one(int* value) { value[threadIdx.x] += 1; }

}  // namespace

void run(Bug bug, void* in, void* out) {
  int* ints = static_cast<int*>(out);
  const float* source = static_cast<float*>(in);
  float* floats = static_cast<float*>(out);
  switch (bug) {
    case kNone: return launch(nullptr, rotate, 1, 64, 256, ints, true);
    case kMissingBarrier: return launch(nullptr, rotate, 1, 64, 256, ints, false);
    case kOverwriteTooSoon: return launch(nullptr, overwrite_too_soon, 1, 64, 256, ints);
    case kUninitialised: return launch(nullptr, read_what_nobody_wrote, 1, 64, 256, ints);
    case kPastShared: return launch(nullptr, read_past_shared_memory, 1, 64, 256, ints);
    case kPastAllocation: return launch(nullptr, write_past_an_allocation, 1, 64, 0, ints);
    case kBlocksRace: return launch(nullptr, all_blocks_write_one_place, 2, 64, 0, ints);
    case kHalfAWarpAtBarrier: return launch(nullptr, half_a_warp_at_the_barrier, 1, 64, 0, ints);
    case kHalfAWarpShuffles: return launch(nullptr, half_a_warp_shuffles, 1, 64, 0, ints);
    case kCopyWaited: return launch(nullptr, copy, 1, 64, 1024, source, floats, true, true);
    case kCopyNotWaited: return launch(nullptr, copy, 1, 64, 1024, source, floats, false, false);
    case kCopyNotMet: return launch(nullptr, copy_without_meeting, 1, 64, 1024, source, floats);
    case kCopyMisaligned: return launch(nullptr, copy_misaligned, 1, 1, 16, source, floats);
    case kRegisterArray: return launch(nullptr, index_past_a_register_array, 1, 64, 0, ints, 5);
    case kTooMuchShared: return launch(nullptr, rotate, 1, 64, 300 * 1024, ints, true);
  }
}

void load_matrices(const skrr::cuda::bf16* in, uint32_t* out, int stride, bool transposed) {
  launch(nullptr, matrices, 1, 32, 16 * stride, in, out, stride, transposed);
}

void multiply(const uint32_t* a, const uint32_t* b, float* d) { launch(nullptr, product, 1, 32, 0, a, b, d); }

void increment(int* value) { launch(nullptr, add_one, 1, 64, 0, value); }

}  // namespace planted
