// Any processor with four-lane vectors: SSE2, NEON. Sixteen registers: 6 x 2 sums, 2 of B, 1 of A.
#include <cstdint>
#include <cstring>

#include "cpu/ahead.h"
#include "cpu/kernels.h"
#include "cpu/packed_layout.h"
#include "engine/numeric.h"

namespace skrr::cpu {
namespace {
#define SKRR_LANES 4
#define SKRR_ROWS 6
#include "cpu/vector_kernels.inl"
}  // namespace

const Kernels portable_kernels = make_kernels("portable");

}  // namespace skrr::cpu
