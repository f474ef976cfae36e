// T5-XXL's matrix products alone: C [m, n] = X [m, k] W^T on weights that are in no cache, packing X included.
//   bench_gemm [precision] [seconds per shape] [threads]
#include <cmath>

#include "bench/native/common.h"
#include "cpu/cpu_backend.h"

using namespace skrr;

namespace {

struct Shape {
  int64_t n, k;
  int count;  // in two blocks of T5-XXL
};
constexpr Shape kShapes[] = {{4096, 4096, 8}, {10240, 4096, 4}, {4096, 10240, 2}};

// One shape with as many copies of W as make 1 GB, used in turn.
bench::Times run_shape(cpu::Context& context, Precision precision, const Shape& shape, int64_t m, double seconds,
                       const bench::Roofline& limit) {
  const cpu::TileKernel& kernel = cpu::tile_kernel(context.kernels, precision);
  const std::vector<uint16_t> values = bench::random_bf16(size_t(shape.n * shape.k), 1, 0.05f);
  const Tensor tensor{"w", reinterpret_cast<const std::byte*>(values.data()), Encoding::kBF16, shape.n, shape.k, 1};
  std::vector<cpu::PackedMatrix> weights;
  for (size_t bytes = 0; bytes < size_t(1e9); bytes += weights.back().bytes()) {
    weights.emplace_back(context, kernel, std::vector<const Tensor*>{&tensor}, cpu::PackedMatrix::Order::kStacked,
                         CancelFlag());
  }
  std::vector<float> x(size_t(m * shape.k));
  const Buffer c(size_t(m * shape.n) * sizeof(float));
  for (size_t i = 0; i < x.size(); i++) x[i] = std::sin(float(i));
  cpu::PackedRows rows;
  const bench::Times times = bench::time_runs(seconds, [&](int run) {
    rows.pack(context, kernel, m, shape.k, CancelFlag(), [&](int64_t r, float* out) {
      std::memcpy(out, &x[size_t(r * shape.k)], size_t(shape.k) * sizeof(float));
    });
    const cpu::PackedMatrix& w = weights[size_t(run) % weights.size()];
    cpu::multiply<1>(context, rows, w, CancelFlag(), [&](int64_t first, int valid, int64_t panel, float* const* tiles) {
      for (int r = 0; r < valid; r++) {
        cpu::stream(tiles[0] + r * kernel.columns, kernel.columns,
                    c.as<float>() + (first + r) * shape.n + panel * kernel.columns);
      }
    });
  });
  const double flop = 2.0 * double(m) * double(shape.n) * double(shape.k), bytes = double(weights[0].bytes());
  std::printf("m %4lld n %5lld k %5lld  median %8.3f ms  min %8.3f ms  cpu %8.3f ms  %6.0f GFLOP/s  weights %5.1f GB/s  roofline %3.0f %%\n",
              static_cast<long long>(m), static_cast<long long>(shape.n), static_cast<long long>(shape.k),
              times.median * 1e3, times.min * 1e3, times.cpu * 1e3, flop / times.median / 1e9, bytes / times.median / 1e9,
              100 * limit.share(bytes, flop, times.median));
  std::fflush(stdout);
  return times;
}

}  // namespace

int main(int count, char** arguments) {
  const Precision precision = bench::parse_precision(count > 1 ? arguments[1] : "bf16");
  const double seconds = count > 2 ? std::atof(arguments[2]) : 0.7;
  cpu::Context context(count > 3 ? std::atoi(arguments[3]) : 0);
  std::printf("isa %s, %d threads\n", context.kernels.isa, context.pool.threads());
  const bench::Roofline limit = bench::roofline(precision, context.pool.threads());
  for (int64_t m : {77, 300, 1024}) {
    bench::Times sum{};
    for (const Shape& shape : kShapes) {
      const bench::Times times = run_shape(context, precision, shape, m, seconds, limit);
      sum.median += shape.count * times.median, sum.min += shape.count * times.min, sum.cpu += shape.count * times.cpu;
    }
    std::printf("m %4lld, all products of two blocks: median %.1f ms, min %.1f ms, cpu %.1f ms\n",
                static_cast<long long>(m), sum.median * 1e3, sum.min * 1e3, sum.cpu * 1e3);
  }
}
