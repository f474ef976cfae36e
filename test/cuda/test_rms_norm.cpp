// rms_norm.cu and residual.cu against the same sums in double.
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

void rows_are_normed(int rows, int width, float scale) {
  const int padded = (width + 7) / 8 * 8;
  const std::vector<float> h = padded_rows(rows, width, padded, 1, scale), weight = padded_rows(1, width, padded, 2, 1);
  const std::vector<double> expected = norm_by_the_book(h, weight, width, padded);
  const OnDevice<float> h_device(h), weight_device(weight);
  const OneSlot slot({weight_device.data(), nullptr, nullptr, nullptr, WeightFormat::kBF16}, 1);

  const OnDevice<bf16> x(h.size());
  rms_norm(test_device().stream(), slot.at(), h_device.data(), x.data(), rows, width, padded, kEpsilon);
  const std::vector<bf16> got = x.values();
  for (size_t i = 0; i < got.size(); i++) {
    CHECK_AT_MOST(std::fabs(real(got[i]) - expected[i]), std::fabs(expected[i]) * 0.0040 + 1e-30);  // half an ulp
  }

  const OnDevice<float> y(size_t(rows * width));
  final_norm(test_device().stream(), weight_device.data(), h_device.data(), y.data(), rows, width, padded, kEpsilon);
  const std::vector<float> normed = y.values();
  for (size_t i = 0; i < normed.size(); i++) {
    const double value = expected[i / size_t(width) * size_t(padded) + i % size_t(width)];
    CHECK_AT_MOST(std::fabs(double(normed[i]) - value), std::fabs(value) * 1e-5 + 1e-30);
  }
  check_findings();
}

void a_skipped_step_writes_nothing() {
  const OnDevice<float> h(std::vector<float>(64, 1.0f));
  const OnDevice<bf16> x(std::vector<bf16>(64, bf16{0x1234}));
  const OneSlot slot({}, 1);
  rms_norm(test_device().stream(), slot.skipped(), h.data(), x.data(), 1, 64, 64, kEpsilon);
  add_partials(test_device().stream(), slot.skipped(), h.data(), 1, h.data(), 1, 64);
  CHECK(x.values()[63].bits == 0x1234);
  CHECK(h.values()[0] == 1.0f);
  check_findings();
}

void partial_products_are_added_with_the_steps_scale() {
  const int rows = 3, padded = 520, splits = 3;
  const size_t size = size_t(rows * padded);
  const std::vector<float> h = random_floats(size, 1), partials = random_floats(size * splits, 2);
  const OnDevice<float> h_device(h), partials_device(partials);
  const OneSlot slot({}, 0.5f);
  add_partials(test_device().stream(), slot.at(), partials_device.data(), splits, h_device.data(), rows, padded);
  const std::vector<float> got = h_device.values();
  for (size_t i = 0; i < size; i++) {
    const double sum = double(partials[i]) + double(partials[size + i]) + double(partials[2 * size + i]);
    CHECK_AT_MOST(std::fabs(double(got[i]) - (double(h[i]) + 0.5 * sum)), 1e-6);
  }
  check_findings();
}

}  // namespace

int main() {
  skip_without_device();
  rows_are_normed(3, 64, 1);
  rows_are_normed(2, 44, 1);       // not a multiple of 8: pads stay zero
  rows_are_normed(1, 2056, 1000);  // more than one round of the block
  rows_are_normed(1, 8, 1e-4f);    // epsilon matters
  a_skipped_step_writes_nothing();
  partial_products_are_added_with_the_steps_scale();
  return finish("rms norm and residual");
}
