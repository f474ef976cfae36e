// The tilings that gemm_tiling.cpp finds for T5-XXL's products on cards of each class, and their times by its model: the roofline
// of docs/cuda.md. Needs no device. With a file's name it fails unless that file has this Markdown table (a test).
//
//   cuda_tilings [docs/cuda.md]
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/runtime.h"

using namespace skrr::cuda;

namespace {

struct Card {
  const char* name;
  int sms;
  int shared_kb;  // a block may have
  bool hopper;
  double clock;   // cycles a second
  double memory;  // bytes a second: nine tenths of the data sheet's
  double tensor_rate;
};

constexpr Card kCards[] = {{"H100 SXM", 132, 227, true, 1.755e9, 3.0e12, 1024},
                           {"A100 80 GB", 108, 163, false, 1.41e9, 1.83e12, 1024},
                           {"RTX 4090", 128, 99, false, 2.52e9, 0.907e12, 256},
                           {"RTX 3060", 28, 99, false, 1.78e9, 0.324e12, 256}};

struct Product {
  int n, k;
  bool may_split;
};
constexpr Product kProducts[] = {{12288, 4096, false}, {4096, 4096, true}, {20480, 4096, false}, {4096, 10240, true}};
constexpr int kBlocks = 24, kBlocksLeft = 14;  // with 41.9 % of the parameters not loaded

int blocks_of(const GemmTiling& tiling, int m, int n) {
  if (tiling.tile == GemmTile::kHopper) return tiling.blocks;
  constexpr int kRows[] = {32, 64, 96, 128, 128}, kColumns[] = {64, 64, 64, 128, 256};  // of gemm.cu's tiles
  const auto tiles = [](int size, int tile) { return (size + tile - 1) / tile; };
  return tiles(m, kRows[int(tiling.tile)]) * tiles(n, kColumns[int(tiling.tile)]) * tiling.splits;
}

std::string text_of(const GemmTiling& tiling, int blocks, int sms) {
  constexpr const char* kNames[] = {"thin", "small", "tall", "medium", "wide", "hopper"};
  std::string text = kNames[int(tiling.tile)];
  if (tiling.splits > 1) text += "/" + std::to_string(tiling.splits);
  text += ", " + std::to_string(blocks);
  if (blocks < sms) text += " (" + std::to_string(100 * blocks / sms) + " %)";
  return text;
}

std::string row_of(const Card& card, int tokens) {
  const GpuFacts device{card.name, card.sms, size_t(card.shared_kb) << 10, card.hopper, 0, card.memory / card.clock,
                           card.tensor_rate};
  double cycles = 0, bytes = 0;
  std::string text = std::string("| ") + card.name + " | " + std::to_string(tokens) + " |";
  for (const Product& p : kProducts) {
    const GemmTiling tiling = tile_gemm(tokens, p.n, p.k, p.may_split, device);
    cycles += tiling.cycles;
    bytes += 2.0 * p.n * p.k;
    text += " " + text_of(tiling, blocks_of(tiling, tokens, p.n), card.sms) + " |";
  }
  const double ms = cycles / card.clock * 1e3, reading = bytes / card.memory * 1e3;
  char numbers[100];
  std::snprintf(numbers, sizeof numbers, " %.1f | %.1f | %.1f | %.2f |\n", kBlocks * reading, kBlocks * ms, kBlocksLeft * ms,
                ms / reading);
  return text + numbers;
}

std::string table() {
  std::string text =
      "| card | tokens | q, k, v | o | gate, up | down | reading, ms | products, ms | at 41.9 %, ms | products / reading |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n";
  for (const Card& card : kCards) {
    for (const int tokens : {16, 77, 256, 512}) text += row_of(card, tokens);
  }
  return text;
}

}  // namespace

int main(int count, char** arguments) {
  std::fputs(table().c_str(), stdout);
  if (count < 2) return 0;
  std::ifstream file(arguments[1]);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (text.find(table()) != std::string::npos) return 0;
  std::fprintf(stderr, "%s does not have this table: copy it there\n", arguments[1]);
  return 1;
}
