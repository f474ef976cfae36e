// Copies from page-locked memory, made as late as possible: when someone waits for them. So a test sees when the host rewrites
// the memory, or the device reads the copy, too early.
#pragma once

#include <cstddef>

namespace simt {

void make_staged_copies();  // all
size_t staging_bytes_in_use();

}  // namespace simt
