// The device's global memory: allocations that know their bounds, what was written to them, and who touches them in the
// launch that runs. New memory holds NaN.
#pragma once

#include <cstddef>
#include <cstdint>

#include "test/simt/place.h"

namespace simt {

void* allocate_device(size_t bytes);  // 256-byte aligned; null when the limit is reached
void free_device(void* memory);
size_t device_bytes_in_use();
// Peak of bytes in use, and number of allocations, since the last call of forget_device_history().
size_t peak_device_bytes();
size_t device_allocations();
void forget_device_history();
// The total that allocate_device may give out; unlimited by default.
void limit_device_memory(size_t bytes);
size_t device_memory_limit();

// The host wrote to device memory: the range counts as initialised.
void mark_initialised(const void* memory, size_t bytes);
// The host reads device memory: reports what was never written or lies outside.
void check_host_read(const void* memory, size_t bytes, const Place& place);

// A thread of the running block reads or writes. Nothing orders blocks of one launch;
// barriers order the threads of a block. Ends the block when the access is outside of every allocation.
void check_global_access(uintptr_t address, uint32_t bytes, bool write, const Place& place);

}  // namespace simt
