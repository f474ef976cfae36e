// Launches: checked, run at once, or noted while a graph is recorded.
#include <string>
#include <utility>

#include "test/simt/block.h"
#include "test/simt/counters.h"
#include "test/simt/ptx.h"
#include "test/simt/report.h"

namespace simt {
namespace {

constexpr size_t kSharedLimit = 227 * 1024;  // of the largest architecture; the backend keeps to smaller ones itself
constexpr unsigned kMaxBlocks = RaceDetector::kMaxBlocks;

uint32_t launches = 0;
std::vector<Launch>* noted = nullptr;

void run(const Launch& launched) {
  launches++;
  counters.launches++;
  const Dim3 grid = launched.grid, size = launched.block;
  if (size.x * size.y * size.z > 1024 || launched.shared_bytes > kSharedLimit || grid.y > 65535 || grid.z > 65535 ||
      grid.x * grid.y * grid.z == 0 || size.x * size.y * size.z == 0 || launched.cluster > kMaxBlocks ||
      grid.x % launched.cluster != 0 || (launched.cluster > 1 && size.x % 128 != 0)) {
    report("bad launch", Place(), std::to_string(size.x * size.y * size.z) + " threads, " +
                                      std::to_string(launched.shared_bytes) + " bytes of shared memory, grid " +
                                      std::to_string(grid.x) + " x " + std::to_string(grid.y) + " x " +
                                      std::to_string(grid.z) + " in clusters of " + std::to_string(launched.cluster));
    return;
  }
  run_clusters(launched, launches);
}

}  // namespace

void launch(Dim3 grid, Dim3 block, unsigned cluster, size_t shared_bytes, const Kernel& kernel) {
  const std::byte* bytes = static_cast<const std::byte*>(kernel.arguments);
  Launch launched{grid, block, cluster, shared_bytes, {bytes, bytes + kernel.argument_bytes}, kernel.call,
                  ptx::program_of(kernel.function), {kernel.parameters, kernel.parameters + kernel.parameter_bytes}};
  if (launched.program && launched.program->parameter_bytes != kernel.parameter_bytes) {
    report("bad launch", Place(), launched.program->name + " takes " + std::to_string(launched.program->parameter_bytes) +
                                      " bytes of parameters, not " + std::to_string(kernel.parameter_bytes));
    return;
  }
  if (noted) {
    noted->push_back(std::move(launched));
  } else {
    run(launched);
  }
}

void start_recording() { noted = new std::vector<Launch>; }

Recording stop_recording() {
  const std::shared_ptr<std::vector<Launch>> recorded(std::exchange(noted, nullptr));
  return [recorded] {
    for (const Launch& launched : *recorded) run(launched);
  };
}

bool recording() { return noted != nullptr; }

}  // namespace simt
