// compensate.cu: the low-rank map of the embedding, in place.
#include "test/cuda/device_test.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

void rows_get_the_map(int rows, int width, int rank) {
  const size_t n = size_t(width), m = size_t(rows), r = size_t(rank);
  const std::vector<float> down = random_floats(r * n, 1, 0.2f), up = random_floats(r * n, 2), y = random_floats(m * n, 3);
  const OnDevice<float> down_device(down), up_device(up), y_device(y);
  compensate(test_device().stream(), down_device.data(), up_device.data(), rank, y_device.data(), rows, width);
  std::vector<double> expected(y.begin(), y.end());
  for (size_t row = 0; row < m; row++) {
    for (size_t j = 0; j < r; j++) {
      double t = 0;
      for (size_t c = 0; c < n; c++) t += double(down[j * n + c]) * double(y[row * n + c]);
      for (size_t c = 0; c < n; c++) expected[row * n + c] += t * double(up[j * n + c]);
    }
  }
  CHECK_AT_MOST(relative_error(y_device.values(), expected), 1e-6);
  check_findings();
}

}  // namespace

int main() {
  skip_without_device();
  rows_get_the_map(3, 40, 1);
  rows_get_the_map(2, 300, 19);
  rows_get_the_map(1, 43, 64);
  return finish("compensate");
}
