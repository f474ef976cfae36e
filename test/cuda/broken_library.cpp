// Two libraries that are no skrr_cuda.so, to be found beside the addon: one that crashes when it is loaded (CRASHES), and one
// of another build. src/native/probe.ts must survive the first and tell them apart.
#include <csignal>

#if defined(CRASHES)
namespace {
const int crash = std::raise(SIGSEGV);
}
#endif

extern "C" __attribute__((visibility("default"))) const char* skrr_cuda_interface() { return "skrr cuda 0, of another build"; }
