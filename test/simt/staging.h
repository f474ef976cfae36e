// Copies from page-locked memory, made as late as can be: when someone waits for them. So memory that is written again before,
// or read on the device before, shows.
#pragma once

#include <cstddef>

namespace simt {

void make_staged_copies();  // all
size_t staging_bytes_in_use();

}  // namespace simt
