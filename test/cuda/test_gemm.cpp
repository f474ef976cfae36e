// gemm.cu against the same products in double: every tile, every finish, tails in all three dimensions, splits of K, and
// shared memory without bank conflicts.
#include "test/cuda/device_test.h"

#include <algorithm>

using namespace skrr;
using namespace skrr::cuda;

namespace {

const char* name(GemmTile tile) {
  return tile == GemmTile::kSmall ? "small" : tile == GemmTile::kMedium ? "medium" : "wide";
}

// X W^T and the sum of the terms' magnitudes, which bounds the error of summing in float32.
struct Product {
  std::vector<double> values, magnitudes;
};

Product multiply(const std::vector<bf16>& x, const std::vector<bf16>& w, int m, int n, int k) {
  Product p{std::vector<double>(size_t(m * n)), std::vector<double>(size_t(m * n))};
  for (int r = 0; r < m; r++) {
    for (int c = 0; c < n; c++) {
      for (int i = 0; i < k; i++) {
        const double term = real(x[size_t(r * k + i)]) * real(w[size_t(c * k + i)]);
        p.values[size_t(r * n + c)] += term, p.magnitudes[size_t(r * n + c)] += std::fabs(term);
      }
    }
  }
  return p;
}

double activated(Activation activation, double x) {
  if (activation == Activation::kRelu) return std::max(x, 0.0);
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

struct Case {
  GemmTile tile;
  int splits, m, n, k;
};

struct Operands {
  std::vector<bf16> x, w;
  OnDevice<bf16> x_device, w_device;
  OneSlot slot;
  explicit Operands(const Case& c, bool out_weights, float scale)
      : x(random_bf16(size_t(c.m * c.k), 1)),
        w(random_bf16(size_t(c.n * c.k), 2, 1 / std::sqrt(float(c.k)))),
        x_device(x),
        w_device(w),
        slot({nullptr, out_weights ? nullptr : w_device.data(), out_weights ? w_device.data() : nullptr, nullptr,
              WeightFormat::kBF16},
             scale) {}
};

void results_are_stored(const Case& c, Finish finish, Activation activation) {
  const Operands o(c, false, 99);
  const int columns = finish == Finish::kGate ? c.n / 2 : c.n;
  const OnDevice<bf16> y(size_t(c.m * columns));
  const Gemm g{o.slot.at(), false, o.x_device.data(), c.m, c.n, c.k, finish, activation, y.data(), nullptr, nullptr};
  gemm(test_device().stream(), g, {c.tile, 1});
  const Product p = multiply(o.x, o.w, c.m, c.n, c.k);
  const std::vector<bf16> got = y.values();
  for (int r = 0; r < c.m; r++) {
    for (int column = 0; column < columns; column++) {
      const int first = finish == Finish::kGate ? column / 8 * 16 + column % 8 : column;
      const size_t i = size_t(r * c.n + first);
      double expected = p.values[i], slack = p.magnitudes[i] * 1e-6;
      if (finish != Finish::kStore) expected = activated(activation, expected);
      if (finish == Finish::kGate) slack *= 3, expected *= p.values[i + 8];
      CHECK_AT_MOST(std::fabs(real(got[size_t(r * columns + column)]) - expected),
                    std::fabs(expected) * 0.0040 + slack + 1e-6);
    }
  }
  check_findings();
}

void products_are_added(const Case& c) {
  const float scale = 0.25f;
  const Operands o(c, true, scale);
  const std::vector<float> h = random_floats(size_t(c.m * c.n), 3);
  const OnDevice<float> h_device(h), partials(h.size() * size_t(c.splits));
  const Gemm g{o.slot.at(), true, o.x_device.data(), c.m, c.n, c.k, Finish::kAdd, Activation::kRelu, nullptr,
               h_device.data(), partials.data()};
  gemm(test_device().stream(), g, {c.tile, c.splits});
  if (c.splits > 1) {
    add_partials(test_device().stream(), g.at, g.partials, c.splits, g.h, c.m, c.n);
  }
  const Product p = multiply(o.x, o.w, c.m, c.n, c.k);
  const std::vector<float> got = h_device.values();
  for (size_t i = 0; i < h.size(); i++) {
    CHECK_AT_MOST(std::fabs(double(got[i]) - (double(h[i]) + double(scale) * p.values[i])),
                  p.magnitudes[i] * 1e-6 + 1e-6);
  }
  check_findings();
}

void a_skipped_step_writes_nothing() {
  const Operands o({GemmTile::kSmall, 1, 8, 8, 8}, true, 1);
  const OnDevice<float> h(std::vector<float>(64, 7.0f));
  const Gemm g{o.slot.skipped(), true, o.x_device.data(), 8, 8, 8, Finish::kAdd, Activation::kRelu, nullptr, h.data(),
               nullptr};
  gemm(test_device().stream(), g, {GemmTile::kSmall, 1});
  CHECK(h.values() == std::vector<float>(64, 7.0f));
  check_findings();
}

// Shapes of T5-XXL on an H100: few tokens are cut small and their K is split, so that all processors read weights.
void plans_fit_the_shape() {
  const size_t shared = 227 * 1024;
  const GemmPlan few = plan_gemm(77, 4096, 4096, true, 132, shared);
  CHECK(few.splits > 1);
  CHECK(plan_gemm(1, 12288, 4096, false, 132, shared).tile == GemmTile::kSmall);
  CHECK(plan_gemm(4096, 20480, 4096, false, 132, shared).tile == GemmTile::kWide);
  CHECK(plan_gemm(50, 40, 72, true, 4, 48 << 10).splits == 1);
}

}  // namespace

int main() {
  skip_without_device();
  for (const GemmTile tile : {GemmTile::kSmall, GemmTile::kMedium, GemmTile::kWide}) {
    std::printf("%s\n", name(tile));
    results_are_stored({tile, 1, 1, 8, 8}, Finish::kStore, Activation::kRelu);
    results_are_stored({tile, 1, 77, 72, 104}, Finish::kStore, Activation::kRelu);
    results_are_stored({tile, 1, 33, 144, 40}, Finish::kGate, Activation::kGeluTanh);
    results_are_stored({tile, 1, 20, 48, 200}, Finish::kGate, Activation::kRelu);
    results_are_stored({tile, 1, 20, 40, 64}, Finish::kActivate, Activation::kRelu);
    products_are_added({tile, 1, 70, 136, 328});
    products_are_added({tile, 3, 70, 72, 712});
  }
  results_are_stored({GemmTile::kMedium, 1, 130, 264, 72}, Finish::kActivate, Activation::kGeluTanh);
  results_are_stored({GemmTile::kWide, 1, 129, 264, 72}, Finish::kStore, Activation::kGeluTanh);
  CHECK(ldmatrix_conflicts() == 0);
  a_skipped_step_writes_nothing();
  plans_fit_the_shape();
  return finish("gemm");
}
