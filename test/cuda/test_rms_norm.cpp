// Norms against double: the RMS norm between sub-blocks (normed_rows.cuh in gemm.cu and residual.cu) and at both ends (rms_norm.cu), a
// sub-block's post-norm (residual.cu), LayerNorm (layer_norm.cu).
#include <algorithm>

#include "cuda/tensor_map.h"
#include "test/cuda/device_test.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

constexpr float kEpsilon = 1e-6f;

std::vector<double> norm_by_the_book(const std::vector<float>& h, const std::vector<float>& weight, int width, int padded) {
  std::vector<double> y(h.size());
  for (size_t first = 0; first < h.size(); first += size_t(padded)) {
    double squares = 0;
    for (size_t c = 0; c < size_t(width); c++) squares += double(h[first + c]) * double(h[first + c]);
    const double factor = 1 / std::sqrt(squares / width + double(kEpsilon));
    for (size_t c = 0; c < size_t(width); c++) y[first + c] = double(h[first + c]) * factor * double(weight[c]);
  }
  return y;
}

// Rows with zeros past `width`, as the backend keeps them.
std::vector<float> padded_rows(int rows, int width, int padded, unsigned seed, float scale) {
  std::vector<float> values = random_floats(size_t(rows * padded), seed, scale);
  for (size_t i = 0; i < values.size(); i++) {
    if (int(i) % padded >= width) values[i] = 0;
  }
  return values;
}

// --- the norm between sub-blocks: what is written of the stream, and what a product makes of it ---

// x and squares of a stream, as they should be.
void rows_are_ready(const std::vector<double>& h, const std::vector<float>& weight, const OnDevice<bf16>& x,
                    const OnDevice<float>& squares, int padded) {
  const std::vector<bf16> got_x = x.values();
  const std::vector<float> got = squares.values();
  const size_t groups = size_t(square_groups(padded)), rows = h.size() / size_t(padded);
  std::vector<double> sums(rows * groups);
  for (size_t i = 0; i < h.size(); i++) {
    const size_t column = i % size_t(padded);
    const double expected = h[i] * double(weight[column]);
    CHECK_AT_MOST(std::fabs(real(got_x[i]) - expected), std::fabs(expected) * 0.0040 + 1e-6);  // half an ulp
    sums[i / size_t(padded) * groups + column / kSquareColumns] += h[i] * h[i];
  }
  for (size_t i = 0; i < sums.size(); i++) CHECK_AT_MOST(std::fabs(double(got[i]) - sums[i]), sums[i] * 1e-5 + 1e-30);
}

void a_stream_is_made_ready(int rows, int width, float scale) {
  const int padded = (width + 7) / 8 * 8;
  const std::vector<float> h = padded_rows(rows, width, padded, 1, scale), weight = padded_rows(1, width, padded, 2, 1);
  const OnDevice<float> h_device(h), weight_device(weight), squares(size_t(rows * square_groups(padded)));
  const OneSlot slot({weight_device.data(), nullptr, nullptr, nullptr, WeightFormat::kBF16}, 1);
  const OnDevice<bf16> x(h.size());
  begin_rows(test_device().stream(), slot.at(), h_device.data(), {x.data(), squares.data()}, rows, padded);
  rows_are_ready({h.begin(), h.end()}, weight, x, squares, padded);
  check_findings();
}

// Of `in` and `out` alike.
std::vector<TensorMap> maps_of(const GemmTiling& tiling, const OnDevice<bf16>& w, int n, int k) {
  if (tiling.tile != GemmTile::kHopper) return std::vector<TensorMap>(2);
  return std::vector<TensorMap>(2, tensor_map(w.data(), n, k));
}

// y = act(norm(h) W^T) from rows that are not normed yet, against the norm by the book on the same x.
void a_product_norms_its_rows(const GemmTiling& tiling, int m, int n, int width, Epilogue epilogue) {
  const int k = (width + 7) / 8 * 8;
  const std::vector<float> h = padded_rows(m, width, k, 1, 0.01f), weight = padded_rows(1, width, k, 2, 1);
  const std::vector<bf16> w = random_bf16(size_t(n * k), 3, 1 / std::sqrt(float(k)));
  const OnDevice<float> h_device(h), weight_device(weight), squares(size_t(m * square_groups(k)));
  const OnDevice<bf16> w_device(w), x(h.size());
  const OnDevice<TensorMap> maps(maps_of(tiling, w_device, n, k));
  const OneSlot slot({weight_device.data(), w_device.data(), nullptr, nullptr, WeightFormat::kBF16, maps.data()}, 1);
  begin_rows(test_device().stream(), slot.at(), h_device.data(), {x.data(), squares.data()}, m, k);

  const int columns = epilogue == Epilogue::kGate ? n / 2 : n;
  const OnDevice<bf16> y(size_t(m * columns));
  const float epsilon = 1e-4f;  // as large as the mean of squares
  const Gemm g{slot.at(), false, x.data(), m, n, k, epilogue, Activation::kRelu, y.data(), nullptr, nullptr,
               {squares.data(), width, epsilon}, {}};
  gemm(test_device().stream(), g, tiling);

  const std::vector<bf16> rows = x.values(), got = y.values();
  const auto product = [&](int r, int c) {
    double sum = 0, mean = 0;
    for (int i = 0; i < k; i++) sum += real(rows[size_t(r * k + i)]) * real(w[size_t(c * k + i)]);
    for (int i = 0; i < k; i++) mean += double(h[size_t(r * k + i)]) * double(h[size_t(r * k + i)]) / width;
    return sum / std::sqrt(mean + double(epsilon));
  };
  for (int r = 0; r < m; r++) {
    for (int c = 0; c < columns; c++) {
      double expected = product(r, epilogue == Epilogue::kGate ? c / 8 * 16 + c % 8 : c);
      if (epilogue != Epilogue::kStore) expected = std::max(expected, 0.0);
      if (epilogue == Epilogue::kGate) expected *= product(r, c / 8 * 16 + c % 8 + 8);
      CHECK_AT_MOST(std::fabs(real(got[size_t(r * columns + c)]) - expected), std::fabs(expected) * 0.0041 + 1e-5);
    }
  }
  check_findings();
}

// h += scale x W^T, whole or in parts, and h as the step that follows reads it.
void a_product_makes_the_stream_ready(const GemmTiling& tiling, int m, int n, int k) {
  const float scale = 0.5f;
  const std::vector<bf16> x = random_bf16(size_t(m * k), 1), w = random_bf16(size_t(n * k), 2, 1 / std::sqrt(float(k)));
  const std::vector<float> h = random_floats(size_t(m * n), 3), weight = random_floats(size_t(n), 4);
  const OnDevice<bf16> x_device(x), w_device(w), next(h.size());
  const OnDevice<float> h_device(h), weight_device(weight), squares(size_t(m * square_groups(n))),
      partials(h.size() * size_t(tiling.splits));
  const OnDevice<TensorMap> maps(maps_of(tiling, w_device, n, k));
  const OneSlot slot({nullptr, nullptr, w_device.data(), nullptr, WeightFormat::kBF16, maps.data()}, scale,
                     {weight_device.data(), nullptr, nullptr, nullptr, WeightFormat::kBF16});
  const Gemm g{slot.at(), true, x_device.data(), m, n, k, Epilogue::kAdd, Activation::kRelu, nullptr, h_device.data(),
               partials.data(), {}, {next.data(), squares.data()}};
  gemm(test_device().stream(), g, tiling);
  if (tiling.splits > 1) add_partials(test_device().stream(), g.at, g.partials, tiling.splits, g.h, g.next, m, n);

  std::vector<double> expected(h.begin(), h.end());
  const std::vector<float> got = h_device.values();
  for (size_t i = 0; i < h.size(); i++) {
    for (size_t d = 0; d < size_t(k); d++) {
      expected[i] += double(scale) * real(x[i / size_t(n) * size_t(k) + d]) * real(w[i % size_t(n) * size_t(k) + d]);
    }
    CHECK_AT_MOST(std::fabs(double(got[i]) - expected[i]), 1e-5);
  }
  rows_are_ready(expected, weight, next, squares, n);
  check_findings();
}

void after_the_last_step_nothing_is_made_ready() {
  const OnDevice<float> h(std::vector<float>(64, 1.0f)), squares(std::vector<float>(2, 7.0f));
  const OnDevice<bf16> x(std::vector<bf16>(64, bf16{0x1234})), w(std::vector<bf16>(64 * 8));
  const OneSlot slot({nullptr, nullptr, w.data(), nullptr, WeightFormat::kBF16}, 1);
  const Gemm g{slot.at(), true, w.data(), 1, 64, 8, Epilogue::kAdd, Activation::kRelu, nullptr, h.data(), nullptr, {},
               {x.data(), squares.data()}};
  gemm(test_device().stream(), g, {GemmTile::kSmall, 1});
  add_partials(test_device().stream(), slot.at(), h.data(), 1, h.data(), g.next, 1, 64);
  CHECK(x.values()[63].bits == 0x1234 && squares.values()[1] == 7.0f);
  check_findings();
}

// --- the last norm, and the sum of parts ---

void rows_are_normed(int rows, int width, float scale) {
  const int padded = (width + 7) / 8 * 8;
  const std::vector<float> h = padded_rows(rows, width, padded, 1, scale), weight = padded_rows(1, width, padded, 2, 1);
  const std::vector<double> expected = norm_by_the_book(h, weight, width, padded);
  const OnDevice<float> h_device(h), weight_device(weight), y(size_t(rows * width));
  final_norm(test_device().stream(), weight_device.data(), h_device.data(), y.data(), rows, width, padded, kEpsilon);
  const std::vector<float> normed = y.values();
  for (size_t i = 0; i < normed.size(); i++) {
    const double value = expected[i / size_t(width) * size_t(padded) + i % size_t(width)];
    CHECK_AT_MOST(std::fabs(double(normed[i]) - value), std::fabs(value) * 1e-5 + 1e-30);
  }
  check_findings();
}

// y of one row becomes scale * norm(y + bias), added to h; what follows reads the result.
void a_product_is_normed(const GemmTiling& tiling, int m, int width, int k) {
  const float scale = 0.5f;
  const int padded = (width + 7) / 8 * 8;
  const std::vector<bf16> x = random_bf16(size_t(m * k), 1);
  std::vector<bf16> w = random_bf16(size_t(padded * k), 2, 1 / std::sqrt(float(k)));
  std::fill(w.begin() + width * k, w.end(), bf16{0});
  const std::vector<float> h = padded_rows(m, width, padded, 3, 1), bias = padded_rows(1, width, padded, 4, 1),
                           post = padded_rows(1, width, padded, 5, 1), weight = padded_rows(1, width, padded, 6, 1);
  const OnDevice<bf16> x_device(x), w_device(w), next(h.size());
  const OnDevice<float> h_device(h), bias_device(bias), post_device(post), weight_device(weight),
      squares(size_t(m * square_groups(padded))), partials(h.size() * size_t(tiling.splits));
  const OnDevice<TensorMap> maps(maps_of(tiling, w_device, padded, k));
  Slot normed{nullptr, nullptr, w_device.data(), nullptr, WeightFormat::kBF16, maps.data()};
  normed.out_bias = bias_device.data(), normed.post_norm = post_device.data(), normed.post_epsilon = 0.1f;
  const OneSlot slot(normed, scale, {weight_device.data(), nullptr, nullptr, nullptr, WeightFormat::kBF16});
  const Gemm g{slot.at(), true, x_device.data(), m, padded, k, Epilogue::kPart, Activation::kRelu, nullptr, nullptr, partials.data()};
  gemm(test_device().stream(), g, tiling);
  add_normed(test_device().stream(), g.at, g.partials, tiling.splits, h_device.data(), {next.data(), squares.data()}, m, width, padded);

  std::vector<double> y(h.size()), expected(h.begin(), h.end());
  for (size_t i = 0; i < y.size(); i++) {
    y[i] = double(bias[i % size_t(padded)]);
    for (size_t d = 0; d < size_t(k); d++) y[i] += real(x[i / size_t(padded) * size_t(k) + d]) * real(w[i % size_t(padded) * size_t(k) + d]);
  }
  for (size_t i = 0; i < y.size(); i++) {
    const auto row = y.begin() + std::ptrdiff_t(i / size_t(padded) * size_t(padded));
    double mean = 0;
    for (int c = 0; c < width; c++) mean += row[c] * row[c] / width;
    expected[i] += double(scale) * y[i] / std::sqrt(mean + double(0.1f)) * double(post[i % size_t(padded)]);
  }
  const std::vector<float> got = h_device.values();
  for (size_t i = 0; i < got.size(); i++) CHECK_AT_MOST(std::fabs(double(got[i]) - expected[i]), 1e-5);
  rows_are_ready(expected, weight, next, squares, padded);
  check_findings();
}

// --- LayerNorm ---

// Of rows whose mean is far larger than their spread.
void rows_are_layer_normed(int rows, int width, float mean) {
  const int padded = (width + 7) / 8 * 8;
  std::vector<float> h = padded_rows(rows, width, padded, 1, 1);
  const std::vector<float> weight = padded_rows(1, width, padded, 2, 1), bias = padded_rows(1, width, padded, 3, 1);
  for (size_t i = 0; i < h.size(); i++) h[i] += int(i) % padded < width ? mean : 0;
  const OnDevice<float> h_device(h), weight_device(weight), bias_device(bias), y(size_t(rows * width));
  const OnDevice<bf16> x(h.size());
  Slot normed{weight_device.data(), nullptr, nullptr, nullptr, WeightFormat::kBF16};
  normed.norm_bias = bias_device.data();
  const OneSlot slot(normed, 1);
  const float epsilon = 0.1f;
  layer_norm(test_device().stream(), slot.at(), h_device.data(), x.data(), rows, width, padded, epsilon);
  final_layer_norm(test_device().stream(), weight_device.data(), bias_device.data(), h_device.data(), y.data(), rows, width, padded, epsilon);

  const std::vector<bf16> got = x.values();
  const std::vector<float> last = y.values();
  for (int r = 0; r < rows; r++) {
    const float* row = &h[size_t(r * padded)];
    double centre = 0, variance = 0;
    for (int c = 0; c < width; c++) centre += double(row[c]) / width;
    for (int c = 0; c < width; c++) variance += (double(row[c]) - centre) * (double(row[c]) - centre) / width;
    for (int c = 0; c < padded; c++) {
      const double spread = (double(row[c]) - centre) / std::sqrt(variance + double(epsilon));
      const double expected = c < width ? spread * double(weight[size_t(c)]) + double(bias[size_t(c)]) : 0;
      CHECK_AT_MOST(std::fabs(real(got[size_t(r * padded + c)]) - expected), std::fabs(expected) * 0.0040 + 1e-6 * std::fabs(double(mean)) + 1e-5);
      if (c < width) CHECK_AT_MOST(std::fabs(double(last[size_t(r * width + c)]) - expected), 1e-6 * std::fabs(double(mean)) + 1e-5);
    }
  }
  check_findings();
}

void a_skipped_step_adds_nothing() {
  const OnDevice<float> h(std::vector<float>(64, 1.0f));
  const OneSlot slot({}, 1);
  add_partials(test_device().stream(), slot.skipped(), h.data(), 1, h.data(), {}, 1, 64);
  add_normed(test_device().stream(), slot.skipped(), h.data(), 1, h.data(), {}, 1, 64, 64);
  const OnDevice<bf16> x(std::vector<bf16>(64, bf16{0x1234}));
  layer_norm(test_device().stream(), slot.skipped(), h.data(), x.data(), 1, 64, 64, 1);
  CHECK(h.values()[0] == 1.0f && x.values()[0].bits == 0x1234);
  check_findings();
}

}  // namespace

int main() {
  skip_without_device();
  a_stream_is_made_ready(3, 64, 1);
  a_stream_is_made_ready(2, 44, 1);       // not a multiple of 8, nor of 32
  a_stream_is_made_ready(1, 2056, 1000);  // more than one round of the block
  std::vector<GemmTiling> tilings{{GemmTile::kThin, 1}, {GemmTile::kTall, 1}, {GemmTile::kMedium, 1}, {GemmTile::kWide, 1}};
  if (test_device().facts().hopper) tilings.push_back({GemmTile::kHopper, 1, 1, 2});
  for (const GemmTiling& tiling : tilings) {
    a_product_norms_its_rows(tiling, 70, 40, 76, Epilogue::kStore);
    a_product_norms_its_rows(tiling, 9, 48, 1096, Epilogue::kGate);  // more squares than lanes
    a_product_norms_its_rows(tiling, 20, 40, 64, Epilogue::kActivate);
    a_product_makes_the_stream_ready(tiling, 70, 136, 72);
  }
  a_product_makes_the_stream_ready({GemmTile::kSmall, 3}, 5, 1032, 200);
  after_the_last_step_nothing_is_made_ready();
  rows_are_normed(3, 64, 1);
  rows_are_normed(2, 44, 1);
  rows_are_normed(1, 2056, 1000);
  rows_are_normed(1, 8, 1e-4f);  // epsilon matters
  a_product_is_normed({GemmTile::kThin, 1}, 9, 44, 40);
  a_product_is_normed({GemmTile::kSmall, 3}, 5, 1032, 200);
  if (test_device().facts().hopper) a_product_is_normed({GemmTile::kHopper, 1, 1, 2}, 9, 44, 40);
  rows_are_layer_normed(3, 44, 1);
  rows_are_layer_normed(2, 1032, 100);
  a_skipped_step_adds_nothing();
  return finish("rms norm and residual");
}
