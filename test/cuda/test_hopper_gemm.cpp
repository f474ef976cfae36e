// hopper_gemm.cu against the same products in double: both tiles, every epilogue, tails in all three dimensions, splits of K,
// fewer blocks than tiles; and the tilings of products.
#include "test/cuda/gemm_cases.h"

#include <cstdlib>

using namespace skrr;
using namespace skrr::cuda;

namespace {

GemmTiling hopper_tiling(int wide, int blocks, int splits = 1, int cluster = 1) {
  return {GemmTile::kHopper, splits, wide, blocks, cluster};
}
GemmTiling pairs(int wide, int blocks, int splits = 1) { return hopper_tiling(wide, blocks, splits, 2); }

// Every tiling sums in the order of K, so not a bit differs.
void the_tiling_does_not_change_the_result() {
  const Case whole{hopper_tiling(1, 1), 130, 256, 200};
  const Operands o(whole, false, 1);
  std::vector<std::vector<bf16>> results;
  for (const GemmTiling& tiling : {hopper_tiling(1, 1), hopper_tiling(1, 2), hopper_tiling(0, 3), hopper_tiling(0, 4), pairs(1, 2),
                                   pairs(0, 2), pairs(0, 4)}) {
    const OnDevice<bf16> y(size_t(whole.m * whole.n));
    gemm(test_device().stream(), {o.slot.at(), false, o.x_device.data(), whole.m, whole.n, whole.k, Epilogue::kStore,
                                  Activation::kRelu, y.data(), nullptr, nullptr}, tiling);
    results.push_back(y.values());
  }
  for (const std::vector<bf16>& y : results) {
    CHECK(std::memcmp(y.data(), results[0].data(), y.size() * sizeof(bf16)) == 0);
  }
  check_findings();
}

void a_skipped_step_writes_nothing() {
  const Operands o({hopper_tiling(0, 1), 8, 8, 8}, true, 1);
  const OnDevice<float> h(std::vector<float>(64, 7.0f));
  gemm(test_device().stream(), {o.slot.skipped(), true, o.x_device.data(), 8, 8, 8, Epilogue::kAdd, Activation::kRelu,
                                nullptr, h.data(), nullptr}, hopper_tiling(0, 1));
  CHECK(h.values() == std::vector<float>(64, 7.0f));
  check_findings();
}

// T5-XXL at 512 tokens on 132 SMs: a fair share over the busiest block's share, in units of 128 x 128.
double busy(int m, int n, int splits, int cluster = 2) {
  const GemmTiling tiling = tile_hopper(m, n, splits, cluster, 132);
  const int down = (m + 128 * cluster - 1) / (128 * cluster) * splits, units = (n + 127) / 128;
  std::vector<int> load(size_t(132 / cluster));
  for (int tile = 0; tile < down * (units - tiling.wide); tile++) {
    load[size_t(tile % (tiling.blocks / cluster))] += tile < down * tiling.wide ? 2 : 1;
  }
  return m / 128.0 * splits * units / 132.0 / *std::max_element(load.begin(), load.end());
}

void all_sms_finish_at_one_time() {
  CHECK(busy(512, 12288, 1) > 0.96);  // q, k, v: with tiles of 256 alone 0.73
  CHECK(busy(512, 20480, 1) > 0.96);  // gate and up: 0.81
  CHECK(busy(512, 4096, 2) > 0.96);   // o and down
  CHECK(busy(4096, 20480, 1) > 0.98);
  CHECK(busy(128, 20480, 1, 1) > 0.60);  // 160 narrow tiles
  CHECK(tile_hopper(512, 12288, 1, 2, 132).wide == 33);
  CHECK(tile_hopper(128, 8, 1, 1, 132).blocks == 1);
}

void hopper_is_chosen_for_more_than_a_few_tokens() {
  const auto tile = [](int m, int n, int k, bool hopper) {
    return tile_gemm(m, n, k, false, {"", 132, 227 * 1024, hopper}).tile;
  };
  CHECK(tile(512, 12288, 4096, true) == GemmTile::kHopper);
  CHECK(tile_gemm(512, 12288, 4096, false, {"", 132, 227 * 1024, true}).cluster == 2);
  CHECK(tile_gemm(128, 12288, 4096, false, {"", 132, 227 * 1024, true}).cluster == 1);  // one tile down
  CHECK(tile(4096, 20480, 4096, true) == GemmTile::kHopper);
  CHECK(tile(4096, 20480, 4096, false) == GemmTile::kWide);
  CHECK(tile(77, 12288, 4096, true) == GemmTile::kHopper);  // 96 narrow tiles
  CHECK(tile_hopper(77, 20480, 1, 1, 132).blocks == 132);   // 80 wide ones would leave 52 SMs idle
  CHECK(tile(1, 12288, 4096, true) == GemmTile::kThin);
}

void a_path_the_device_lacks_is_an_error() {
  const auto refused = [](const char* wanted, bool hopper) {
    setenv("SKRR_CUDA_GEMM", wanted, 1);
    const std::string message = failure([&] { product_path("", {"", 4, 99 * 1024, hopper}); });
    unsetenv("SKRR_CUDA_GEMM");
    return message;
  };
  CHECK(refused("hopper", false) ==
        "SKRR_CUDA_GEMM: found \"hopper\", expected \"mma\" on a device that is not of compute capability 9.0");
  CHECK(refused("hoper", true) == "SKRR_CUDA_GEMM: found \"hoper\", expected \"mma\" or \"hopper\"");
  CHECK(refused("mma", true).empty() && refused("hopper", true).empty());
}

}  // namespace

int main() {
  skip_without_hopper();
  for (const GemmTiling& tiling : {hopper_tiling(0, 1), hopper_tiling(1, 1), pairs(0, 2), pairs(1, 2)}) {
    results_are_stored({tiling, 1, 8, 8}, Epilogue::kStore, Activation::kRelu);
    results_are_stored({tiling, 77, 72, 104}, Epilogue::kStore, Activation::kRelu);
    results_are_stored({tiling, 33, 144, 40}, Epilogue::kGate, Activation::kGeluTanh);
    results_are_stored({tiling, 20, 48, 200}, Epilogue::kGate, Activation::kRelu);
    results_are_stored({tiling, 20, 40, 64}, Epilogue::kActivate, Activation::kRelu);
    products_are_added({tiling, 70, 136, 328});
    products_are_added({hopper_tiling(tiling.wide, 2, 3, tiling.cluster), 70, 72, 712});
  }
  results_are_stored({hopper_tiling(1, 2), 130, 264, 72}, Epilogue::kActivate, Activation::kGeluTanh);
  results_are_stored({hopper_tiling(0, 1), 33, 80, 40}, Epilogue::kGate, Activation::kGelu, true);
  products_are_added({pairs(1, 2), 33, 72, 72}, true);
  products_are_added({hopper_tiling(0, 2, 3), 33, 72, 712}, true);
  under_every_schedule([] {
    results_are_stored({hopper_tiling(1, 2), 129, 392, 328}, Epilogue::kStore, Activation::kGeluTanh);
    results_are_stored({pairs(1, 2), 129, 392, 328}, Epilogue::kStore, Activation::kGeluTanh);
  });
  results_are_stored({hopper_tiling(1, 3), 260, 400, 520}, Epilogue::kGate, Activation::kGeluTanh);
  products_are_added({hopper_tiling(1, 3, 2), 129, 264, 648});
  results_are_stored({pairs(1, 4), 260, 400, 520}, Epilogue::kGate, Activation::kGeluTanh);
  products_are_added({pairs(1, 4, 2), 300, 264, 648});
  the_tiling_does_not_change_the_result();
  a_skipped_step_writes_nothing();
  all_sms_finish_at_one_time();
  hopper_is_chosen_for_more_than_a_few_tokens();
  a_path_the_device_lacks_is_an_error();
  return finish("hopper gemm");
}
