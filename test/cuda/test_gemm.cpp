// gemm.cu against the same products in double: every tile, every epilogue, tails in all three dimensions, splits of K, and
// shared memory without bank conflicts.
#include <tuple>

#include "test/cuda/gemm_cases.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

const char* name(GemmTile tile) {
  return std::vector<const char*>{"thin", "small", "tall", "medium", "wide", "hopper"}[size_t(tile)];
}

void a_skipped_step_writes_nothing() {
  const Operands o({{GemmTile::kSmall, 1}, 8, 8, 8}, true, 1);
  const OnDevice<float> h(std::vector<float>(64, 7.0f));
  const Gemm g{o.slot.skipped(), true, o.x_device.data(), 8, 8, 8, Epilogue::kAdd, Activation::kRelu, nullptr, h.data(),
               nullptr};
  gemm(test_device().stream(), g, {GemmTile::kSmall, 1});
  CHECK(h.values() == std::vector<float>(64, 7.0f));
  check_findings();
}

// A prompt's products on every class of card: none leaves more than three of ten SMs without weights to read.
void all_sms_read_weights() {
  const GpuFacts cards[] = {{"H100", 132, 227 << 10, false}, {"A100", 108, 163 << 10, false},
                               {"RTX 4090", 128, 99 << 10, false, 0, 360, 256}, {"RTX 3060", 28, 99 << 10, false, 0, 182, 256}};
  for (const GpuFacts& card : cards) {
    for (const int m : {16, 77}) {
      for (const auto& [n, k, may_split] :
           {std::tuple{12288, 4096, false}, {4096, 4096, true}, {20480, 4096, false}, {4096, 10240, true}}) {
        const GemmTiling tiling = tile_gemm(m, n, k, may_split, card);
        const int rows = std::vector{32, 64, 96, 128, 128}[size_t(tiling.tile)];
        const int columns = std::vector{64, 64, 64, 128, 256}[size_t(tiling.tile)];
        const int blocks = (m + rows - 1) / rows * ((n + columns - 1) / columns) * tiling.splits;
        CHECK(blocks >= 0.7 * card.sms);
      }
    }
  }
}

// Shapes of T5-XXL on an H100: few tokens are cut small and their K is split, so that all SMs read weights.
void tilings_fit_the_shape() {
  const GpuFacts h100_by_mma{"", 132, 227 * 1024, false};
  const GemmTiling few = tile_gemm(77, 4096, 4096, true, h100_by_mma);
  CHECK(few.splits > 1);
  CHECK(tile_gemm(1, 12288, 4096, false, h100_by_mma).tile == GemmTile::kThin);
  CHECK(tile_gemm(4096, 20480, 4096, false, h100_by_mma).tile == GemmTile::kWide);
  CHECK(tile_gemm(50, 40, 72, true, {"", 4, 48 << 10, false}).splits == 1);
}

}  // namespace

int main() {
  skip_without_device();
  for (const GemmTile tile : {GemmTile::kThin, GemmTile::kSmall, GemmTile::kTall, GemmTile::kMedium, GemmTile::kWide}) {
    std::printf("%s\n", name(tile));
    results_are_stored({{tile, 1}, 1, 8, 8}, Epilogue::kStore, Activation::kRelu);
    results_are_stored({{tile, 1}, 77, 72, 104}, Epilogue::kStore, Activation::kRelu);
    results_are_stored({{tile, 1}, 33, 144, 40}, Epilogue::kGate, Activation::kGeluTanh);
    results_are_stored({{tile, 1}, 20, 48, 200}, Epilogue::kGate, Activation::kRelu);
    results_are_stored({{tile, 1}, 20, 40, 64}, Epilogue::kActivate, Activation::kRelu);
    products_are_added({{tile, 1}, 70, 136, 328});
    products_are_added({{tile, 3}, 70, 72, 712});
  }
  for (const Activation activation : {Activation::kGelu, Activation::kQuickGelu, Activation::kSilu}) {
    results_are_stored({{GemmTile::kThin, 1}, 40, 136, 72}, Epilogue::kActivate, activation, true);
    results_are_stored({{GemmTile::kThin, 1}, 40, 48, 72}, Epilogue::kGate, activation);
  }
  results_are_stored({{GemmTile::kThin, 1}, 33, 72, 40}, Epilogue::kStore, Activation::kRelu, true);
  results_are_stored({{GemmTile::kSmall, 1}, 33, 80, 40}, Epilogue::kGate, Activation::kGelu, true);
  products_are_added({{GemmTile::kThin, 1}, 33, 72, 72}, true);
  products_are_added({{GemmTile::kThin, 3}, 33, 72, 712}, true);
  results_are_stored({{GemmTile::kMedium, 1}, 130, 264, 72}, Epilogue::kActivate, Activation::kGeluTanh);
  results_are_stored({{GemmTile::kWide, 1}, 129, 264, 72}, Epilogue::kStore, Activation::kGeluTanh);
  CHECK(ldmatrix_conflicts() == 0);
  a_skipped_step_writes_nothing();
  tilings_fit_the_shape();
  all_sms_read_weights();
  return finish("gemm");
}
