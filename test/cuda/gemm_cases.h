// Products of gemm.cu and hopper_gemm.cu against the same products in double.
#pragma once

#include <algorithm>
#include <stdexcept>

#include "cuda/tensor_map.h"
#include "test/cuda/device_test.h"

namespace skrr::cuda {

// X W^T and the sum of the terms' magnitudes, which bounds the error of summing in float32.
struct Product {
  std::vector<double> values, magnitudes;
};

inline Product multiply(const std::vector<bf16>& x, const std::vector<bf16>& w, int m, int n, int k) {
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

inline double activated(Activation activation, double x) {
  switch (activation) {
    case Activation::kRelu: return std::max(x, 0.0);
    case Activation::kGeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case Activation::kGelu: return 0.5 * x * (1 + std::erf(x / std::sqrt(2)));
    case Activation::kQuickGelu: return x / (1 + std::exp(-1.702 * x));
    case Activation::kSilu: return x / (1 + std::exp(-x));
  }
  throw std::logic_error("no reference for this activation");
}

struct Case {
  GemmTiling tiling;
  int m, n, k;
};

struct Operands {
  std::vector<bf16> x, w;
  std::vector<float> bias;  // of each column; zeros, and none in the slot, where the case has none
  OnDevice<bf16> x_device, w_device;
  OnDevice<float> bias_device;
  OnDevice<TensorMap> maps;
  OneSlot slot;
  explicit Operands(const Case& c, bool out_weights, float scale, bool biased = false)
      : x(random_bf16(size_t(c.m * c.k), 1)),
        w(random_bf16(size_t(c.n * c.k), 2, 1 / std::sqrt(float(c.k)))),
        bias(biased ? random_floats(size_t(c.n), 4) : std::vector<float>(size_t(c.n))),
        x_device(x),
        w_device(w),
        bias_device(bias),
        maps(maps_of(c, out_weights)),
        slot(slot_of(out_weights, biased), scale) {}

  Slot slot_of(bool out_weights, bool biased) const {
    Slot made{nullptr, out_weights ? nullptr : w_device.data(), out_weights ? w_device.data() : nullptr, nullptr,
              WeightFormat::kBF16, maps.data()};
    if (biased) (out_weights ? made.out_bias : made.in_bias) = bias_device.data();
    return made;
  }

  // The other matrix has none.
  std::vector<TensorMap> maps_of(const Case& c, bool out_weights) const {
    std::vector<TensorMap> maps(2);
    if (c.tiling.tile == GemmTile::kHopper) maps[out_weights ? 1 : 0] = tensor_map(w_device.data(), c.n, c.k);
    return maps;
  }
};

inline void results_are_stored(const Case& c, Epilogue epilogue, Activation activation, bool biased = false) {
  const Operands o(c, false, 99, biased);
  const int columns = epilogue == Epilogue::kGate ? c.n / 2 : c.n;
  const OnDevice<bf16> y(size_t(c.m * columns));
  const Gemm g{o.slot.at(), false, o.x_device.data(), c.m, c.n, c.k, epilogue, activation, y.data(), nullptr, nullptr};
  gemm(test_device().stream(), g, c.tiling);
  const Product p = multiply(o.x, o.w, c.m, c.n, c.k);
  const std::vector<bf16> got = y.values();
  for (int r = 0; r < c.m; r++) {
    for (int column = 0; column < columns; column++) {
      const int first = epilogue == Epilogue::kGate ? column / 8 * 16 + column % 8 : column;
      const size_t i = size_t(r * c.n + first);
      double expected = p.values[i] + double(o.bias[size_t(first)]), slack = p.magnitudes[i] * 1e-6;
      if (epilogue != Epilogue::kStore) expected = activated(activation, expected);
      if (epilogue == Epilogue::kGate) slack *= 3, expected *= p.values[i + 8] + double(o.bias[size_t(first + 8)]);
      CHECK_AT_MOST(std::fabs(real(got[size_t(r * columns + column)]) - expected),
                    std::fabs(expected) * 0.0040 + slack + 1e-6);
    }
  }
  check_findings();
}

inline void products_are_added(const Case& c, bool biased = false) {
  const float scale = 0.25f;
  const Operands o(c, true, scale, biased);
  const std::vector<float> h = random_floats(size_t(c.m * c.n), 3);
  const OnDevice<float> h_device(h), partials(h.size() * size_t(c.tiling.splits));
  const Gemm g{o.slot.at(), true, o.x_device.data(), c.m, c.n, c.k, Epilogue::kAdd, Activation::kRelu, nullptr,
               h_device.data(), partials.data()};
  gemm(test_device().stream(), g, c.tiling);
  if (c.tiling.splits > 1) {
    add_partials(test_device().stream(), g.at, g.partials, c.tiling.splits, g.h, {}, c.m, c.n);
  }
  const Product p = multiply(o.x, o.w, c.m, c.n, c.k);
  const std::vector<float> got = h_device.values();
  for (size_t i = 0; i < h.size(); i++) {
    CHECK_AT_MOST(std::fabs(double(got[i]) - (double(h[i]) + double(scale) * (p.values[i] + double(o.bias[i % size_t(c.n)])))),
                  p.magnitudes[i] * 1e-6 + 1e-6);
  }
  check_findings();
}

}  // namespace skrr::cuda
