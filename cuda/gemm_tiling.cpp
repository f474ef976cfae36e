// How a product is cut into thread blocks: the cheapest of all tiles and splits by a model of the machine. The model counts
// cycles of one SM (streaming multiprocessor); its constants are from data sheets and papers, until a GPU gives better ones.
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
  int blocks_per_sm;       // by registers
  double multiplications;  // per cycle and SM, with all its blocks resident and tensor cores of kTensorRate
};

constexpr double kTensorRate = 1024;
constexpr TileCost kTiles[] = {  // of two with equal cost the first is taken: it is larger and reads less
    {GemmTile::kWide, 128, 256, 32, 96 << 10, 1, 1000},
    {GemmTile::kMedium, 128, 128, 32, 64 << 10, 2, 800},
    {GemmTile::kTall, 96, 64, 64, 80 << 10, 2, 700},
    {GemmTile::kSmall, 64, 64, 64, 64 << 10, 3, 500},
    {GemmTile::kThin, 32, 64, 64, 48 << 10, 4, 350},
};

constexpr double kMemoryBytes = 13;     // of device memory, per cycle and SM, where the device does not say
constexpr double kCacheBytes = 24;      // of L2, per cycle and SM: 5.5 TB/s of an H100
constexpr double kLatency = 1000;       // cycles from a request to its data
constexpr double kIdle = 1.0 / 3;       // the share of the memory's rate that is lost where hardly any SM reads
constexpr double kStart = 1500;         // cycles to fill the pipeline and store the tile
constexpr double kReduction = 3000;     // cycles of one more kernel, when K is split
constexpr int kStages = 4, kMinDepth = 512, kMaxSplits = 8;

constexpr int kHopperRows = 128, kHopperColumns = 128;  // of a narrow tile; a wide one has twice the columns
constexpr double kHopperMultiplications = 1700;          // 800 TFLOP/s of an H100

double ceil_div(double a, double b) { return double((long long)((a + b - 1) / b)); }

// Cycles of moving data: weights come from memory once, every tile reads its operands through L2. Few blocks keep too little in
// flight, and SMs without a block leave their paths to memory idle.
double transfer(double weights, double blocks, double in_flight, double through_cache, const GpuFacts& device) {
  const double memory = device.memory_rate > 0 ? device.memory_rate : kMemoryBytes * device.sms;
  const double reading = std::min(1.0, blocks / device.sms), reached = memory * (1 - kIdle + kIdle * reading);
  return std::max(weights / std::min(reached, in_flight / kLatency), through_cache / (kCacheBytes * device.sms));
}

double reduction(int splits, double m, double n, double sms) {
  return splits > 1 ? kReduction + 2.0 * splits * m * n * 4 / (kCacheBytes * sms) : 0;
}

double cycles(const TileCost& t, int splits, double m, double n, double k, const GpuFacts& device) {
  const double sms = device.sms, shared_memory = double(device.shared_memory);
  const double down = ceil_div(m, t.rows), blocks = down * ceil_div(n, t.columns) * splits;
  const double resident = std::max(1.0, std::min<double>(t.blocks_per_sm, double(int(shared_memory / t.shared_bytes))));
  const double waves = ceil_div(blocks, sms * resident);
  const double max_blocks = ceil_div(blocks, sms);  // of one SM
  const double one = 1 / t.multiplications + 1 / device.tensor_rate - 1 / kTensorRate;  // cycles of a multiplication
  const double multiply = max_blocks * t.rows * t.columns * (k / splits) * one;
  const double in_flight = std::min(blocks, sms * resident) * (kStages - 1) * t.columns * t.depth * 2;
  const double through_cache = (m * ceil_div(n, t.columns) + n * down) * k * 2;
  return std::max(multiply, transfer(n * k * 2, blocks, in_flight, through_cache, device)) + waves * kStart +
         reduction(splits, m, n, sms);
}

double hopper_cycles(const GemmTiling& tiling, double m, double n, double k, const GpuFacts& device) {
  const double sms = device.sms;
  const double pairs = ceil_div(m, kHopperRows * tiling.cluster) * tiling.splits;  // or single blocks
  const double narrow = ceil_div(n, kHopperColumns) - tiling.wide * 2, at_once = int(sms) / tiling.cluster;
  const double tiles = ceil_div(pairs * (tiling.wide + narrow), at_once);  // of the busiest block
  const double units = tiles + ceil_div(pairs * tiling.wide, at_once);     // of 128 columns, in these
  const double multiply = units * kHopperRows * kHopperColumns * (k / tiling.splits) / kHopperMultiplications;
  const double in_flight = tiling.blocks * (kStages - 1) * kHopperColumns * 64.0 * 2 / tiling.cluster;
  const double through_cache = (m * (tiling.wide + narrow) + n * ceil_div(m, kHopperRows * tiling.cluster)) * k * 2;
  return std::max(multiply, transfer(n * k * 2, tiling.blocks, in_flight, through_cache, device)) + tiles * kStart +
         reduction(tiling.splits, m, n, sms);
}

}  // namespace

ProductPath product_path(const std::string& name, const GpuFacts& facts) {
  const char* named = name.empty() ? std::getenv("SKRR_CUDA_GEMM") : name.c_str();
  if (!named) return ProductPath::kCheapest;
  if (std::string(named) == "mma") return ProductPath::kMma;
  if (std::string(named) == "hopper" && facts.hopper) return ProductPath::kHopper;
  throw Error("ERR_DEVICE", "SKRR_CUDA_GEMM: found \"" + std::string(named) + "\", expected \"mma\"" +
                                (facts.hopper ? " or \"hopper\"" : " on a device that is not of compute capability 9.0"));
}

// With p blocks (or pairs) at once, each takes every p-th tile, wide ones first. The first block is the busiest: it has
// ceil(wide / p) tiles of 256 columns and ceil(tiles / p) in all. Takes the shortest tiling; of equals the one with more wide
// tiles, or with more blocks where there is one row of tiles: reading the weights takes the time then, and all SMs should read.
GemmTiling tile_hopper(int m, int n, int splits, int cluster, int sms) {
  const int at_once = std::max(sms / cluster, 1);
  const auto rounds = [&](int tiles) { return (tiles + at_once - 1) / at_once; };
  const int rows = kHopperRows * cluster, down = (m + rows - 1) / rows * splits;
  const int units = (n + kHopperColumns - 1) / kHopperColumns;
  const auto length = [&](int wide) { return rounds(down * wide) + rounds(down * (units - wide)); };
  const auto busy = [&](int wide) { return std::min(at_once, down * (units - wide)); };
  int best = units / 2;
  for (int wide = best - 1; wide >= 0; wide--) {
    if (length(wide) < length(best) || (m <= kHopperRows && length(wide) == length(best) && busy(wide) > busy(best))) best = wide;
  }
  return {GemmTile::kHopper, splits, best, cluster * busy(best), cluster};
}

GemmTiling tile_gemm(int m, int n, int k, bool may_split, const GpuFacts& device) {
  GemmTiling best{GemmTile::kSmall, 1};
  const auto consider = [&](const GemmTiling& tiling, double cost) {
    if (best.cycles == 0 || cost < best.cycles) best = tiling, best.cycles = cost;
  };
  for (int splits = 1; splits <= (may_split ? kMaxSplits : 1); splits++) {
    if (splits > 1 && k / splits < kMinDepth) break;
    if (device.products == ProductPath::kHopper || (device.products == ProductPath::kCheapest && device.hopper)) {
      for (const int cluster : {2, 1}) {
        const GemmTiling tiling = tile_hopper(m, n, splits, cluster, device.sms);
        consider(tiling, hopper_cycles(tiling, m, n, k, device));
      }
    }
    for (const TileCost& tile : kTiles) {
      if (device.products == ProductPath::kHopper || tile.shared_bytes > double(device.shared_memory)) continue;
      consider({tile.tile, splits, 0, 0, 1}, cycles(tile, splits, m, n, k, device));
    }
  }
  return best;
}

}  // namespace skrr::cuda
