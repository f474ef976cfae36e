// Each kernel of the chosen instruction set against the same sum in double.
#include "cpu/kernels.h"
#include "engine/packed_layout.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <chrono>

#include "engine/numeric.h"
#include "test/engine/check.h"

using namespace skrr;
using cpu::Kernels;
using cpu::TileKernel;

namespace {

enum class Rounding { kNone, kWeights, kBoth, kIntegers };

Rounding bf16_rounding(const TileKernel& kernel) {
  return kernel.a_size == 2 ? Rounding::kBoth : Rounding::kWeights;
}

// C = A B^T through packing and products, in two slices and over one to three row tiles, as the backend does it.
void tile_product(const TileKernel& kernel, Rounding rounding, int valid_rows, int valid_columns, int k) {
  std::vector<float> x = random_floats(size_t(valid_rows * k), 1);
  std::vector<float> w = random_floats(size_t(valid_columns * k), 2);
  if (rounding == Rounding::kIntegers) {
    for (std::vector<float>* values : {&x, &w}) {
      for (float& value : *values) value = std::clamp(std::round(value * 50), -127.0f, 127.0f);
    }
  }
  const auto bytes = [&](int depth) { return size_t(depth / kernel.depth * kernel.block_bytes); };
  const auto rounded = [](float value, bool round) { return double(round ? from_bf16(to_bf16(value)) : value); };
  const int tiles = (valid_rows + kernel.rows - 1) / kernel.rows;
  const int half = k / 2 / kernel.depth * kernel.depth;
  std::vector<float> c(size_t(tiles * kernel.rows * kernel.columns), 777.0f);
  if (kernel.enter) kernel.enter();
  for (int k0 : {0, half}) {
    const int deep = k0 == 0 && half > 0 ? half : k - half;
    const int padded = (deep + kernel.depth - 1) / kernel.depth * kernel.depth;
    std::vector<char> a(size_t(tiles * kernel.rows * padded) * kernel.a_size);
    std::vector<char> b(bytes(padded)), expanded(kernel.expand ? size_t(kernel.columns * padded) : 0);
    for (int t = 0; t < tiles; t++) {
      kernel.pack_a(x.data() + t * kernel.rows * k + k0, std::min(kernel.rows, valid_rows - t * kernel.rows), deep, k,
                    a.data() + size_t(t * kernel.rows * padded) * kernel.a_size);
    }
    kernel.pack_b(w.data() + k0, valid_columns, deep, k, 1, b.data());
    for (int n = 0; kernel.expand && n < valid_columns; n++) {  // int4: the weights are what is left of them
      const uint8_t* panel = reinterpret_cast<const uint8_t*>(b.data());
      for (int i = 0; i < deep; i++) w[size_t(n * k + k0 + i)] = float(packed::int4_value(panel, n, i));
    }
    if (kernel.expand) kernel.expand(b.data(), padded, expanded.data());
    kernel.multiply(a.data(), kernel.expand ? expanded.data() : b.data(), b.data(), int64_t(b.size()), valid_rows, padded,
                    k0 > 0, c.data());
    if (half == 0) break;
  }
  if (kernel.leave) kernel.leave();

  std::vector<double> computed, expected;  // columns past the valid ones are zero
  for (int r = 0; r < valid_rows; r++) {
    for (int n = 0; n < kernel.columns; n++) {
      double sum = 0;
      for (int i = 0; n < valid_columns && i < k; i++) {
        sum += rounded(x[size_t(r * k + i)], rounding == Rounding::kBoth) *
               rounded(w[size_t(n * k + i)], rounding == Rounding::kWeights || rounding == Rounding::kBoth);
      }
      expected.push_back(sum);
      const float value = c[size_t(r * kernel.columns + n)];
      double offset = 0;
      for (int i = 0; i < k; i++) offset += double(kernel.b_offset) * double(x[size_t(r * k + i)]);
      computed.push_back(kernel.is_integer() ? double(int32_t(bits_of(value))) - offset : double(value));
    }
  }
  CHECK_AT_MOST(relative_error(computed, expected), 4e-6);  // k float32 roundings, at worst of one number
}

template <class Work>
double fastest(int times, const Work& work) {  // seconds
  double best = 1e9;
  for (int i = 0; i < times; i++) {
    const auto start = std::chrono::steady_clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

// What shares of the peak are measured by: the loop on registers is there, and its work was not folded away.
void register_loop(const TileKernel& kernel) {
  constexpr int64_t kRounds = 500;
  constexpr double kFoldedAway = 5e13;  // operations a second that no core has
  CHECK(kernel.multiply_registers(2 * kRounds) == 2 * kernel.multiply_registers(kRounds));
  double operations = 0;
  const double seconds = fastest(20, [&] { operations = kernel.multiply_registers(kRounds); });
  CHECK(operations < kFoldedAway * seconds);
}

void tile_products(const TileKernel& kernel, Rounding rounding) {
  for (int k : {1, 7, 64, 300}) {
    for (int valid_rows : {1, kernel.rows / 2, kernel.rows, 2 * kernel.rows + 1, 3 * kernel.rows - 1}) {
      for (int valid_columns : {1, kernel.columns - 1, kernel.columns}) {
        tile_product(kernel, rounding, valid_rows, valid_columns, k);
      }
    }
  }
}

void packing_a_transposed_matrix(const TileKernel& kernel) {
  const int k = 5, n = 3;
  const std::vector<float> w = random_floats(size_t(n * k), 3);
  std::vector<float> transposed(w.size());
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < k; j++) transposed[size_t(j * n + i)] = w[size_t(i * k + j)];
  }
  const int padded = (k + kernel.depth - 1) / kernel.depth * kernel.depth;
  std::vector<char> straight(size_t(padded / kernel.depth * kernel.block_bytes)), other(straight.size());
  kernel.pack_b(w.data(), n, k, k, 1, straight.data());
  kernel.pack_b(transposed.data(), n, k, 1, n, other.data());
  CHECK(straight == other);
}

// --- the packed formats: the same bytes on every instruction set ---

std::vector<char> pack_panel(const TileKernel& kernel, const std::vector<float>& w, int valid, int k) {
  std::vector<char> panel(packed::panel_bytes(k, kernel.block_bytes), char(0x55));
  kernel.pack_b(w.data(), valid, k, k, 1, panel.data());
  return panel;
}

void int8_panels_are_as_drawn(const TileKernel& kernel) {
  for (const auto& [valid, k] : {std::array{32, 128}, std::array{5, 64}, std::array{17, 100}, std::array{1, 1}}) {
    std::vector<float> w = random_floats(size_t(valid * k), unsigned(k), 40);
    for (float& value : w) value = std::clamp(value, -127.0f, 127.0f);
    const std::vector<char> panel = pack_panel(kernel, w, valid, k);
    for (int n = 0; n < packed::kColumns; n++) {
      for (int i = 0; i < (k + 63) / 64 * 64; i++) {
        const float expected = n < valid && i < k ? std::nearbyint(w[size_t(n * k + i)]) : 0;
        CHECK(int8_t(panel[packed::int8_at(n, i)]) == int(expected));
      }
    }
  }
}

// Expanding gives what packed_layout.h says the half bytes mean, in int8's places.
void int4_panels_are_as_drawn(const TileKernel& kernel) {
  for (const auto& [valid, k] : {std::array{32, 256}, std::array{5, 64}, std::array{17, 100}, std::array{1, 1}}) {
    std::vector<float> w = random_floats(size_t(valid * k), unsigned(k), 40);
    for (float& value : w) value = std::clamp(value, -127.0f, 127.0f);
    const std::vector<char> panel = pack_panel(kernel, w, valid, k);
    const int padded = (k + 63) / 64 * 64;
    std::vector<int8_t> expanded(size_t(padded * packed::kColumns));
    kernel.expand(panel.data(), padded, expanded.data());
    double error = 0, size = 0;
    for (int n = 0; n < packed::kColumns; n++) {
      for (int i = 0; i < padded; i++) {
        const int value = packed::int4_value(reinterpret_cast<const uint8_t*>(panel.data()), n, i);
        CHECK(expanded[packed::int8_at(n, i)] == value);
        if (n >= valid || i >= k) CHECK(value == 0);
        else error += std::pow(double(w[size_t(n * k + i)]) - value, 2), size += std::pow(double(w[size_t(n * k + i)]), 2);
      }
    }
    CHECK_AT_MOST(std::sqrt(error / size), 0.09);  // normal numbers in 16 levels over their range would be at 0.11
  }
}

// A group that is made of 16 levels within int8 is kept exactly.
void int4_keeps_what_it_can_hold(const TileKernel& kernel) {
  for (int multiplier = 1; multiplier <= 16; multiplier++) {
    for (int zero = 0; zero <= 15; zero++) {
      if (multiplier * zero > 128 || multiplier * (15 - zero) > 127) continue;
      std::vector<float> w;
      for (int i = 0; i < 64; i++) w.push_back(float(multiplier * (i * 7 % 16 - zero)));
      const std::vector<char> panel = pack_panel(kernel, w, 1, 64);
      for (int i = 0; i < 64; i++) {
        CHECK(packed::int4_value(reinterpret_cast<const uint8_t*>(panel.data()), 0, i) == int(w[size_t(i)]));
      }
    }
  }
}

// int32 sums, less what is their row's offset, times the scales of their row and column.
void rescaling(const Kernels& kernels) {
  const int rows = 3, columns = 32;
  const std::vector<float> row_scales = random_floats(rows, 1), column_scales = random_floats(columns, 2);
  const int32_t offsets[rows] = {0, -70000, 1 << 20};
  std::vector<float> c(rows * columns);
  std::vector<double> expected;
  for (int i = 0; i < rows * columns; i++) {
    const int r = i / columns;
    const int32_t value = 1000 * i - 40000;
    c[size_t(i)] = float_of(uint32_t(value + offsets[r]));
    expected.push_back(double(value) * double(row_scales[size_t(r)]) * double(column_scales[size_t(i % columns)]));
  }
  kernels.rescale(c.data(), rows, columns, row_scales.data(), offsets, column_scales.data());
  CHECK_AT_MOST(relative_error(c, expected), 1e-6);
}

// Whole vectors and a rest of columns; what lies between the rows stays as it was.
void adding_rows(const Kernels& kernels) {
  constexpr int kRows = 3, kXStride = 32, kStride = 40;
  for (int columns : {1, 16, 31}) {
    const std::vector<float> x = random_floats(kRows * kXStride, 11), before = random_floats(kRows * kStride, 12);
    std::vector<float> out = before;
    kernels.add_rows(x.data(), kXStride, kRows, columns, 0.75f, out.data(), kStride);
    for (int r = 0; r < kRows; r++) {
      for (int i = 0; i < kStride; i++) {
        const size_t at = size_t(r * kStride + i);
        const double added = i < columns ? 0.75 * double(x[size_t(r * kXStride + i)]) : 0;
        CHECK_AT_MOST(std::abs(double(out[at]) - (double(before[at]) + added)), i < columns ? 1e-6 : 0);
      }
    }
  }
}

// Twice gives back block times the numbers; once, an outlier's size is shared out.
void rotating(const Kernels& kernels) {
  for (const auto& [n, block, lanes] : {std::array{4096, 64, 16}, std::array{96, 2, 16}, std::array{24, 1, 8}, std::array{128, 32, 4}}) {
    const std::vector<float> x = random_floats(size_t(n), 4);
    std::vector<float> y = x;
    kernels.rotate(y.data(), n, block, lanes);
    kernels.rotate(y.data(), n, block, lanes);
    for (float& value : y) value /= float(block);
    CHECK_AT_MOST(relative_error(y, x), 1e-6);
  }
  std::vector<float> spike(1024);
  spike[37] = 1000;
  kernels.rotate(spike.data(), 1024, 64, 16);
  CHECK(spike[5] == 1000 && spike[4] == 0 && *std::max_element(spike.begin(), spike.end()) == 1000);
}

void fitting_integers(const Kernels& kernels) {
  for (int n : {1, 15, 16, 301}) {
    for (float max : {127.0f, 1023.0f}) {
      const std::vector<float> x = random_floats(size_t(n), unsigned(n));
      std::vector<float> y = x;
      y[size_t(n / 2)] = -50;
      const cpu::Integers got = kernels.fit_integers(y.data(), n, max);
      CHECK(std::abs(y[size_t(n / 2)] + max) < 1e-3f && std::abs(got.scale * max - 50) < 1e-4f);
      if (n > 1) CHECK_AT_MOST(std::abs(y[0] * got.scale - x[0]), 1e-6);
      int32_t sum = 0;
      for (float value : y) sum += int32_t(std::nearbyint(value));
      CHECK(got.sum == sum);
    }
  }
  std::vector<float> zeros(20);
  const cpu::Integers got = kernels.fit_integers(zeros.data(), 20, 127);
  CHECK(got.scale == 0 && got.sum == 0 && zeros[3] == 0);
}

// Integers are of numbers alone: what is none shows in the scale, and so in every sum it is part of.
void fit_integers_of_extremes(const Kernels& kernels) {
  for (const int n : {1, 5, 16, 67, 256}) {
    for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
      for (const int at : {0, n / 2, n - 1}) {
        std::vector<float> x = random_floats(size_t(n), 3);
        x[size_t(at)] = bad;
        const cpu::Integers got = kernels.fit_integers(x.data(), n, 127);
        CHECK(std::isnan(got.scale) && got.sum == 0);
        for (const float value : x) CHECK(value == 0);
      }
    }
    for (const float size : {FLT_MAX, FLT_MIN, FLT_MIN / 256, 1e-36f, FLT_TRUE_MIN}) {
      std::vector<float> x(size_t(n), -size);
      const cpu::Integers got = kernels.fit_integers(x.data(), n, 127);
      for (const float value : x) {
        CHECK(value >= -127.001f && value <= 0);
        CHECK_AT_MOST(std::abs(double(value) * got.scale + size), 1e-3 * size + FLT_MIN / 256);
      }
      CHECK(got.sum == n * int(std::nearbyint(x[0])));
    }
  }
}

// Down the columns, with a bias that depends on column - row.
void softmax(const Kernels& kernels) {
  const int columns = kernels.f32.columns;
  for (int rows : {1, 3, 16, 77, 1000}) {
    std::vector<float> x = random_floats(size_t(rows * columns), unsigned(rows), 20);
    const std::vector<float> biases = random_floats(size_t(rows + columns), 8);
    const float* bias = &biases[size_t(rows)];
    for (int c = 0; c < columns && rows > 2; c++) x[size_t(columns + c)] = -INFINITY;  // a masked key
    std::vector<double> expected(x.size());
    for (int c = 0; c < columns; c++) {
      double top = -INFINITY, sum = 0;
      const auto score = [&](int r) { return double(x[size_t(r * columns + c)]) + double(bias[c - r]); };
      for (int r = 0; r < rows; r++) top = std::max(top, score(r));
      for (int r = 0; r < rows; r++) sum += std::exp(score(r) - top);
      for (int r = 0; r < rows; r++) expected[size_t(r * columns + c)] = std::exp(score(r) - top) / sum;
    }
    std::vector<float> scales(size_t(columns), 0.0f);
    kernels.softmax(x.data(), rows, bias, scales.data());
    for (size_t i = 0; i < x.size(); i++) x[i] *= scales[i % size_t(columns)];
    CHECK_AT_MOST(relative_error(x, expected), 2e-6);  // score + bias is rounded once more than above
    if (rows > 2) CHECK(x[size_t(columns)] == 0);
  }
  std::vector<float> zeros(size_t(2 * columns), 0.0f), scales(size_t(columns), 0.0f);
  kernels.softmax(zeros.data(), 2, nullptr, scales.data());
  CHECK(zeros[0] * scales[0] == 0.5f);
}

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

void activations(const Kernels& kernels) {
  using Kernel = decltype(kernels.relu);
  const std::pair<Kernel, double (*)(double)> list[] = {
      {kernels.relu, [](double x) { return std::max(x, 0.0); }},
      {kernels.gelu_tanh, [](double x) { return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))); }},
      {kernels.gelu, [](double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }},
      {kernels.quick_gelu, [](double x) { return x * logistic(1.702 * x); }},
      {kernels.silu, [](double x) { return x * logistic(x); }},
  };
  for (int n : {1, 15, 64, 1001}) {
    const std::vector<float> x = random_floats(size_t(n), 5, 4), gate = random_floats(size_t(n), 6);
    for (const auto& [activate, exact] : list) {
      std::vector<double> expected, gated;
      for (size_t i = 0; i < x.size(); i++) expected.push_back(exact(double(x[i]))), gated.push_back(expected[i] * double(gate[i]));
      std::vector<float> y = x;
      activate(y.data(), nullptr, n);
      CHECK_AT_MOST(relative_error(y, expected), 1e-6);
      y = x;
      activate(y.data(), gate.data(), n);
      CHECK_AT_MOST(relative_error(y, gated), 1e-6);
    }
  }
  for (const auto& [activate, exact] : list) {
    std::vector<float> extremes{-1e30f, -100, 0, 100, 1e30f, NAN};
    activate(extremes.data(), nullptr, 6);
    CHECK(std::abs(extremes[0]) < 1e-6 && std::abs(extremes[1]) < 1e-6 && extremes[2] == 0 && extremes[3] == 100 && extremes[4] == 1e30f);
    CHECK(std::isnan(extremes[5]) || activate == kernels.relu);
  }
  // Each number on its own: gelu's small values below 0 are exact too, but for the rounding of the exponent.
  std::vector<float> x;
  for (float v = -12; v < 6; v += 0.01f) x.push_back(v);
  std::vector<float> y = x;
  kernels.gelu(y.data(), nullptr, int(y.size()));
  for (size_t i = 0; i < x.size(); i++) {
    const double exact = 0.5 * double(x[i]) * std::erfc(-double(x[i]) / std::sqrt(2.0)), exponent = 0.5 * double(x[i]) * double(x[i]);
    CHECK_AT_MOST(std::abs(double(y[i]) - exact), (5e-7 + 3e-7 * exponent) * std::abs(exact) + 1e-37);
  }
}

void softcap(const Kernels& kernels) {
  for (const int n : {1, 15, 64, 1001}) {
    for (const float cap : {1.0f, 50.0f}) {
      const std::vector<float> x = random_floats(size_t(n), 7, 30);
      std::vector<float> y = x;
      kernels.softcap(y.data(), n, cap);
      for (size_t i = 0; i < x.size(); i++) {
        const double exact = double(cap) * std::tanh(double(x[i]) / double(cap));
        CHECK_AT_MOST(std::abs(double(y[i]) - exact), 4e-7 * std::abs(exact));
      }
    }
  }
  std::vector<float> extremes{-1e30f, 0, 1e30f};
  kernels.softcap(extremes.data(), 3, 50);
  CHECK(extremes[0] == -50 && extremes[1] == 0 && extremes[2] == 50);
}

// Pairs turn; then the factor takes all of them, and what does not turn.
void turning_pairs(const Kernels& kernels) {
  for (const auto& [n, pairs] : {std::array{2, 1}, std::array{40, 20}, std::array{64, 32}, std::array{130, 37}, std::array{24, 0}}) {
    for (const bool interleaved : {false, true}) {
      const std::vector<float> x = random_floats(size_t(n), 3), cosines = random_floats(size_t(pairs + 1), 4), sines = random_floats(size_t(pairs + 1), 5);
      std::vector<double> expected(x.begin(), x.end());
      for (int j = 0; j < pairs; j++) {
        const size_t a = size_t(interleaved ? 2 * j : j), b = size_t(interleaved ? 2 * j + 1 : j + pairs);
        expected[a] = double(x[a]) * double(cosines[size_t(j)]) - double(x[b]) * double(sines[size_t(j)]);
        expected[b] = double(x[b]) * double(cosines[size_t(j)]) + double(x[a]) * double(sines[size_t(j)]);
      }
      for (double& value : expected) value *= 0.3f;
      std::vector<float> y = x;
      kernels.turn(y.data(), n, cosines.data(), sines.data(), pairs, interleaved, 0.3f);
      CHECK_AT_MOST(relative_error(y, expected), 2e-7);
    }
  }
}

void adding_biases(const Kernels& kernels) {
  for (const int columns : {kernels.f32.columns, kernels.int8.columns}) {
    const std::vector<float> c = random_floats(size_t(3 * columns), 1), bias = random_floats(size_t(columns), 2);
    std::vector<float> y = c;
    kernels.add_bias(y.data(), 3, columns, bias.data());
    for (size_t i = 0; i < y.size(); i++) CHECK(y[i] == c[i] + bias[i % size_t(columns)]);
  }
}

void rms_norm(const Kernels& kernels) {
  for (int n : {1, 17, 4096}) {
    const std::vector<float> x = random_floats(size_t(n), 9, 30), weight = random_floats(size_t(n), 10);
    double sum = 0;
    for (float v : x) sum += double(v) * double(v);
    const double factor = 1 / std::sqrt(sum / n + 1e-6);
    std::vector<float> y(x.size());
    kernels.rms_norm(x.data(), weight.data(), n, 1e-6, y.data());
    for (size_t i = 0; i < y.size(); i++) {  // rounded once: half a unit in the last place, and what double has lost
      const double exact = double(x[i]) * factor * double(weight[i]);
      CHECK_AT_MOST(std::abs(double(y[i]) - exact), std::abs(exact) * (std::ldexp(1, -24) + 1e-14));
    }
  }
}

void layer_norm(const Kernels& kernels) {
  for (const int n : {1, 17, 4096}) {
    std::vector<float> x = random_floats(size_t(n), 9, 3);
    const std::vector<float> weight = random_floats(size_t(n), 10), bias = random_floats(size_t(n), 11);
    for (float& value : x) value += 1000;  // a mean that squares would drown in
    double mean = 0, variance = 0;
    for (const float v : x) mean += double(v) / n;
    for (const float v : x) variance += (double(v) - mean) * (double(v) - mean) / n;
    const double factor = 1 / std::sqrt(variance + 1e-5);
    for (const float* added : {bias.data(), static_cast<const float*>(nullptr)}) {
      std::vector<float> y(x.size());
      kernels.layer_norm(x.data(), weight.data(), added, n, 1e-5, y.data());
      for (size_t i = 0; i < y.size(); i++) {
        const double normed = (double(x[i]) - mean) * factor * double(weight[i]);
        const double exact = added ? normed + double(added[i]) : normed;
        CHECK_AT_MOST(std::abs(double(y[i]) - exact), std::ldexp(std::abs(exact), -24) + 1e-10);
      }
    }
  }
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  const Kernels& kernels = cpu::kernels();
  tile_products(kernels.f32, Rounding::kNone);
  tile_products(kernels.bf16, bf16_rounding(kernels.bf16));
  tile_products(kernels.int8, Rounding::kIntegers);
  tile_products(kernels.int4, Rounding::kIntegers);
  for (const TileKernel* kernel : {&kernels.f32, &kernels.bf16, &kernels.int8, &kernels.int4}) register_loop(*kernel);
  int8_panels_are_as_drawn(kernels.int8);
  int4_panels_are_as_drawn(kernels.int4);
  int4_keeps_what_it_can_hold(kernels.int4);
  rescaling(kernels);
  adding_rows(kernels);
  rotating(kernels);
  fitting_integers(kernels);
  fit_integers_of_extremes(kernels);
  packing_a_transposed_matrix(kernels.f32);
  packing_a_transposed_matrix(kernels.bf16);
  softmax(kernels);
  activations(kernels);
  softcap(kernels);
  turning_pairs(kernels);
  adding_biases(kernels);
  rms_norm(kernels);
  layer_norm(kernels);
  return finish("kernels");
}
