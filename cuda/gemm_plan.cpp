// How a product is cut into thread blocks: the cheapest of all tiles and splits by a model of the machine. The model counts
// cycles of one multiprocessor; its constants are from data sheets and papers, to be replaced by measurements.
#include <algorithm>

#include "cuda/kernels.h"

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
constexpr double kCacheBytes = 40;      // of L2, per cycle and processor
constexpr double kLatency = 1000;       // cycles from a request to its data
constexpr double kStart = 1500;         // filling the pipeline, storing the tile
constexpr double kReduction = 3000;     // one more kernel, when K is split
constexpr int kStages = 4, kLeastDepth = 512, kMostSplits = 8;

double ceil_div(double a, double b) { return double((long long)((a + b - 1) / b)); }

double cycles(const TileCost& t, int splits, double m, double n, double k, double processors, double shared_memory) {
  const double down = ceil_div(m, t.rows), blocks = down * ceil_div(n, t.columns) * splits;
  const double resident = std::max(1.0, std::min<double>(t.blocks_per_processor, double(int(shared_memory / t.shared_bytes))));
  const double waves = ceil_div(blocks, processors * resident);
  const double at_once = std::min(resident, ceil_div(blocks, processors));
  const double multiply = waves * at_once * t.rows * t.columns * (k / splits) / t.multiplications;

  // Weights come from memory once; every tile reads its operands through L2. Few blocks keep too little in flight.
  const double in_flight = std::min(blocks, processors * resident) * (kStages - 1) * t.columns * t.depth * 2;
  const double memory_rate = std::min(kMemoryBytes * processors, in_flight / kLatency);
  const double memory = n * k * 2 / memory_rate;
  const double cache = blocks * (t.rows + t.columns) * (k / splits) * 2 / (kCacheBytes * processors);
  const double reduction = splits > 1 ? kReduction + 2.0 * splits * m * n * 4 / (kCacheBytes * processors) : 0;
  return std::max({multiply, memory, cache}) + waves * kStart + reduction;
}

}  // namespace

GemmPlan plan_gemm(int m, int n, int k, bool may_split, int processors, size_t shared_memory) {
  GemmPlan best{GemmTile::kSmall, 1};
  double least = -1;
  for (const TileCost& tile : kTiles) {
    if (tile.shared_bytes > double(shared_memory)) continue;
    for (int splits = 1; splits <= (may_split ? kMostSplits : 1); splits++) {
      if (splits > 1 && k / splits < kLeastDepth) break;
      const double cost = cycles(tile, splits, m, n, k, processors, double(shared_memory));
      if (least < 0 || cost < least) least = cost, best = {tile.tile, splits};
    }
  }
  return best;
}

}  // namespace skrr::cuda
