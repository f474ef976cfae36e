// How a product is cut into thread blocks: the cheapest of all tiles and splits by a model of the machine. The model counts
// cycles of one multiprocessor; its constants are from data sheets and papers, to be replaced by measurements.
#include <algorithm>
#include <cstdlib>
#include <string>

#include "cuda/kernels.h"
#include "cuda/runtime.h"
#include "engine/error.h"

namespace skrr::cuda {
namespace {

struct TileCost {
  GemmTile tile;
  int rows, columns, depth;
  double shared_bytes;
  int blocks_per_processor;       // by registers
  double multiplications;         // per cycle and processor, with all its blocks resident
};

constexpr TileCost kTiles[] = {
    {GemmTile::kSmall, 64, 64, 64, 64 << 10, 3, 500},
    {GemmTile::kMedium, 128, 128, 32, 64 << 10, 2, 800},
    {GemmTile::kWide, 128, 256, 32, 96 << 10, 1, 1000},
};

constexpr double kMemoryBytes = 13;     // of device memory, per cycle and processor
constexpr double kCacheBytes = 24;      // of L2, per cycle and processor: 5.5 TB/s of an H100
constexpr double kLatency = 1000;       // cycles from a request to its data
constexpr double kStart = 1500;         // filling the pipeline, storing the tile
constexpr double kReduction = 3000;     // one more kernel, when K is split
constexpr int kStages = 4, kLeastDepth = 512, kMostSplits = 8;

constexpr int kHopperRows = 128, kHopperColumns = 128;  // of a narrow tile; a wide one has twice the columns
constexpr int kHopperLeastRows = 128;                    // fewer leave most of its tile empty
constexpr double kHopperMultiplications = 1700;          // 800 TFLOP/s of an H100

double ceil_div(double a, double b) { return double((long long)((a + b - 1) / b)); }

// Weights come from memory once; every tile reads its operands through L2. Few blocks keep too little in flight.
double transfer(double weights, double in_flight, double through_cache, double processors) {
  const double memory_rate = std::min(kMemoryBytes * processors, in_flight / kLatency);
  return std::max(weights / memory_rate, through_cache / (kCacheBytes * processors));
}

double reduction(int splits, double m, double n, double processors) {
  return splits > 1 ? kReduction + 2.0 * splits * m * n * 4 / (kCacheBytes * processors) : 0;
}

double cycles(const TileCost& t, int splits, double m, double n, double k, double processors, double shared_memory) {
  const double down = ceil_div(m, t.rows), blocks = down * ceil_div(n, t.columns) * splits;
  const double resident = std::max(1.0, std::min<double>(t.blocks_per_processor, double(int(shared_memory / t.shared_bytes))));
  const double waves = ceil_div(blocks, processors * resident);
  const double at_once = std::min(resident, ceil_div(blocks, processors));
  const double multiply = waves * at_once * t.rows * t.columns * (k / splits) / t.multiplications;
  const double in_flight = std::min(blocks, processors * resident) * (kStages - 1) * t.columns * t.depth * 2;
  const double through_cache = (m * ceil_div(n, t.columns) + n * down) * k * 2;
  return std::max(multiply, transfer(n * k * 2, in_flight, through_cache, processors)) + waves * kStart +
         reduction(splits, m, n, processors);
}

double hopper_cycles(const GemmPlan& plan, double m, double n, double k, double processors) {
  const double pairs = ceil_div(m, kHopperRows * plan.cluster) * plan.splits;  // or single blocks
  const double narrow = ceil_div(n, kHopperColumns) - plan.wide * 2, at_once = int(processors) / plan.cluster;
  const double tiles = ceil_div(pairs * (plan.wide + narrow), at_once);  // of the block that has most
  const double units = tiles + ceil_div(pairs * plan.wide, at_once);     // of 128 columns, in these
  const double multiply = units * kHopperRows * kHopperColumns * (k / plan.splits) / kHopperMultiplications;
  const double in_flight = plan.blocks * (kStages - 1) * kHopperColumns * 64.0 * 2 / plan.cluster;
  const double through_cache = (m * (plan.wide + narrow) + n * ceil_div(m, kHopperRows * plan.cluster)) * k * 2;
  return std::max(multiply, transfer(n * k * 2, in_flight, through_cache, processors)) + tiles * kStart +
         reduction(plan.splits, m, n, processors);
}

// SKRR_CUDA_GEMM, for tests and measurements: every product by one kernel. Otherwise the model chooses.
enum class Path { kCheapest, kMma, kHopper };

Path wanted_path(bool hopper) {
  const char* name = std::getenv("SKRR_CUDA_GEMM");
  if (!name) return Path::kCheapest;
  if (std::string(name) == "mma") return Path::kMma;
  if (std::string(name) == "hopper" && hopper) return Path::kHopper;
  throw Error("ERR_DEVICE", "SKRR_CUDA_GEMM: found \"" + std::string(name) + "\", expected \"mma\"" +
                                (hopper ? " or \"hopper\"" : " on a device that is not of compute capability 9.0"));
}

}  // namespace

// Every block, or pair, takes every so many-th tile, wide ones first. So the first has most: of p at once, ceil(wide / p)
// tiles of 256 columns and ceil(tiles / p) in all. Of the cuts that end soonest, that with most wide tiles.
GemmPlan plan_hopper(int m, int n, int splits, int cluster, int processors) {
  const int at_once = std::max(processors / cluster, 1);
  const auto most = [&](int tiles) { return (tiles + at_once - 1) / at_once; };
  const int rows = kHopperRows * cluster, down = (m + rows - 1) / rows * splits;
  const int units = (n + kHopperColumns - 1) / kHopperColumns;
  int best = units / 2, least = most(down * best) + most(down * (units - best));
  for (int wide = best - 1; wide >= 0; wide--) {
    const int length = most(down * wide) + most(down * (units - wide));
    if (length < least) least = length, best = wide;
  }
  return {GemmTile::kHopper, splits, best, cluster * std::min(at_once, down * (units - best)), cluster};
}

GemmPlan plan_gemm(int m, int n, int k, bool may_split, const DeviceFacts& device) {
  const Path path = wanted_path(device.hopper);
  GemmPlan best{GemmTile::kSmall, 1};
  double least = -1;
  const auto consider = [&](const GemmPlan& plan, double cost) {
    if (least < 0 || cost < least) least = cost, best = plan;
  };
  for (int splits = 1; splits <= (may_split ? kMostSplits : 1); splits++) {
    if (splits > 1 && k / splits < kLeastDepth) break;
    if (path == Path::kHopper || (path == Path::kCheapest && device.hopper && m >= kHopperLeastRows)) {
      for (const int cluster : {2, 1}) {
        const GemmPlan plan = plan_hopper(m, n, splits, cluster, device.processors);
        consider(plan, hopper_cycles(plan, m, n, k, device.processors));
      }
    }
    for (const TileCost& tile : kTiles) {
      if (path == Path::kHopper || tile.shared_bytes > double(device.shared_memory)) continue;
      consider({tile.tile, splits, 0, 0, 1}, cycles(tile, splits, m, n, k, device.processors, double(device.shared_memory)));
    }
  }
  return best;
}

}  // namespace skrr::cuda
