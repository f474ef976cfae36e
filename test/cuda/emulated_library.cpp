// skrr_cuda_emulated.so: the CUDA backend on the emulated machine, with the exports of skrr_cuda.so. Named by
// SKRR_CUDA_LIBRARY, it lets the addon's own tests run on device cuda where there is no GPU.
#include "cuda/library.cpp"
#include "test/simt/report.h"

namespace {

const bool strict = (simt::end_process_on_finding(), true);

}  // namespace
