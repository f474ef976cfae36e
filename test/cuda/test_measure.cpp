// measure.cu: projections in float32 and comparisons in double.
#include "test/cuda/device_test.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

void projections_match(int rows, int in, int out, bool gelu) {
  const std::vector<float> x = random_floats(size_t(rows * in), 1), w = random_floats(size_t(out * in), 2, 0.2f),
                           b = random_floats(size_t(out), 3);
  const OnDevice<float> x_device(x), w_device(w), b_device(b), y(size_t(rows * out));
  project(test_device().stream(), x_device.data(), w_device.data(), b_device.data(), y.data(), rows, in, out, gelu);
  std::vector<double> expected(size_t(rows * out));
  for (size_t r = 0; r < size_t(rows); r++) {
    for (size_t c = 0; c < size_t(out); c++) {
      double& value = expected[r * size_t(out) + c];
      value = double(b[c]);
      for (size_t i = 0; i < size_t(in); i++) value += double(x[r * size_t(in) + i]) * double(w[c * size_t(in) + i]);
      if (gelu) value *= 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * (value + 0.044715 * value * value * value)));
    }
  }
  CHECK_AT_MOST(relative_error(y.values(), expected), 1e-6);
  check_findings();
}

void rows_are_compared_in_double(int rows, int width, int stride) {
  const std::vector<float> a = random_floats(size_t(rows * stride), 1), b = random_floats(size_t(rows * stride), 2);
  const OnDevice<float> a_device(a), b_device(b);
  const OnDevice<double> sums(size_t(rows * 4));
  compare_rows(test_device().stream(), a_device.data(), b_device.data(), sums.data(), rows, width, stride);
  std::vector<double> expected(size_t(rows * 4));
  for (size_t r = 0; r < size_t(rows); r++) {
    for (size_t c = 0; c < size_t(width); c++) {
      const double x = double(a[r * size_t(stride) + c]), y = double(b[r * size_t(stride) + c]);
      expected[r * 4] += (x - y) * (x - y), expected[r * 4 + 1] += x * y;
      expected[r * 4 + 2] += x * x, expected[r * 4 + 3] += y * y;
    }
  }
  CHECK_AT_MOST(relative_error(sums.values(), expected), 1e-13);
  check_findings();
}

}  // namespace

int main() {
  skip_without_device();
  projections_match(3, 40, 70, true);
  projections_match(70, 17, 5, false);
  rows_are_compared_in_double(3, 40, 40);
  rows_are_compared_in_double(2, 300, 304);
  return finish("measure");
}
