#include "cpu/regression.h"

#include <cmath>
#include <cstring>
#include <random>

#include "cpu/device.h"
#include "engine/numeric.h"

namespace skrr::cpu {
namespace {

// Thin matrices [n, columns] lie in groups of kGroup columns, [group][n]: a worker takes a group, whose columns are one vector.
// Columns past the rank are zeros.
constexpr int64_t kGroup = 8;
typedef double Group __attribute__((vector_size(kGroup * sizeof(double))));

struct Thin {
  int64_t n, groups;
  std::vector<Group> values;
  Thin(int64_t n, int64_t groups) : n(n), groups(groups), values(size_t(n * groups)) {}
  Group* group(int64_t g) { return &values[size_t(g * n)]; }
  double at(int64_t i, int64_t column) const { return values[size_t(column / kGroup * n + i)][column % kGroup]; }
  void set(int64_t i, int64_t column, double value) { values[size_t(column / kGroup * n + i)][column % kGroup] = value; }
};

// y [rows] = m x, m [rows, columns], x [columns]
template <class T>
void times(const T* m, int64_t rows, int64_t columns, const Group* x, Group* y) {
  for (int64_t i = 0; i < rows; i++) {
    Group sum{};
    for (int64_t k = 0; k < columns; k++) sum += double(m[i * columns + k]) * x[k];
    y[i] = sum;
  }
}

// y [columns] = m' x, m [rows, columns], x [rows]; by stretches of columns whose part of y stays in a cache.
template <class T>
void transposed_times(const T* m, int64_t rows, int64_t columns, const Group* x, Group* y) {
  constexpr int64_t kStretch = 256;
  std::fill_n(y, columns, Group{});
  for (int64_t first = 0; first < columns; first += kStretch) {
    const int64_t last = std::min(first + kStretch, columns);
    for (int64_t i = 0; i < rows; i++) {
      const Group factor = x[i];
      for (int64_t k = first; k < last; k++) y[k] += double(m[i * columns + k]) * factor;
    }
  }
}

// x [n] = (L L')^-1 x, L [n, n] lower triangular
void solve(const double* l, int64_t n, Group* x) {
  for (int64_t i = 0; i < n; i++) {
    Group sum = x[i];
    for (int64_t k = 0; k < i; k++) sum -= l[i * n + k] * x[k];
    x[i] = sum / l[i * n + i];
  }
  for (int64_t i = n - 1; i >= 0; i--) {
    const Group solved = x[i] / l[i * n + i];
    x[i] = solved;
    for (int64_t k = 0; k < i; k++) x[k] -= l[i * n + k] * solved;
  }
}

constexpr int64_t kBlock = 64;  // columns factorised at a time

// row [count] -= sum over k < kBlock of factors[k] * across[k][0, count)
void subtract(double* row, const double* factors, const double* across, int64_t stride, int64_t count) {
  for (int64_t k = 0; k < kBlock; k += 4, across += 4 * stride) {
    const double *a = across, *b = a + stride, *c = b + stride, *d = c + stride;
    const double fa = factors[k], fb = factors[k + 1], fc = factors[k + 2], fd = factors[k + 3];
    for (int64_t j = 0; j < count; j++) row[j] -= fa * a[j] + fb * b[j] + fc * c[j] + fd * d[j];
  }
}

// Columns of a thin matrix one after the other: [columns, n].
std::vector<double> columns_of(const Thin& thin, int64_t columns) {
  std::vector<double> result(size_t(columns * thin.n));
  for (int64_t j = 0; j < columns; j++) {
    for (int64_t i = 0; i < thin.n; i++) result[size_t(j * thin.n + i)] = thin.at(i, j);
  }
  return result;
}

// Makes u's columns orthonormal in the metric under which their images are y [features, columns]: u = u R^-1, R'R = y'y.
// A column that lies, to rounding, in the span of earlier columns becomes zeros.
void orthonormalise(Thin& thin_u, const Thin& thin_y, int64_t rank) {
  std::vector<double> y = columns_of(thin_y, rank), u = columns_of(thin_u, rank);
  const int64_t f = thin_y.n, d = thin_u.n;
  const auto dot = [&](int64_t a, int64_t b) {
    double sum = 0;
    for (int64_t i = 0; i < f; i++) sum += y[size_t(a * f + i)] * y[size_t(b * f + i)];
    return sum;
  };
  const auto combine = [](std::vector<double>& m, int64_t n, int64_t column, double own, int64_t other, double factor) {
    double* to = &m[size_t(column * n)];
    const double* from = &m[size_t(other * n)];
    for (int64_t i = 0; i < n; i++) to[i] = own * to[i] - factor * from[i];
  };
  for (int64_t j = 0; j < rank; j++) {
    const double before = dot(j, j);
    for (int pass = 0; pass < 2; pass++) {  // a second pass removes what rounding left of the first
      for (int64_t k = 0; k < j; k++) {
        const double along = dot(j, k);
        combine(y, f, j, 1, k, along), combine(u, d, j, 1, k, along);
      }
    }
    const double after = dot(j, j);
    const double scale = after > 1e-20 * before && after > 0 ? 1 / std::sqrt(after) : 0;
    combine(y, f, j, scale, j, 0), combine(u, d, j, scale, j, 0);
  }
  for (int64_t j = 0; j < rank; j++) {
    for (int64_t i = 0; i < d; i++) thin_u.set(i, j, u[size_t(j * d + i)]);
  }
}

// The iteration ends when trace(U' P'P H P'P U), what the map captures, grows by less than this.
constexpr double kMinGain = 1e-4;
constexpr int kMaxIterations = 40;

std::vector<float> factor_of(const Thin& thin, int64_t rank) {
  const std::vector<double> columns = columns_of(thin, rank);
  std::vector<float> factor(columns.begin(), columns.end());
  for (const float value : factor) {
    if (!is_finite_bits(bits_of(value))) throw Error("ERR_ENGINE", "the fitted compensation overflows float32");
  }
  return factor;
}

}  // namespace

CpuRegression::CpuRegression(int width, int threads)
    : width_(width), context_(threads), gram_(size_t(width_ * width_)), cross_(size_t(width_ * width_)) {}

void CpuRegression::add(const float* x, const float* dense, int tokens, double weight, const CancelFlag& cancel) {
  const int64_t d = width_, n = tokens;
  std::vector<float> rows(size_t(d * n)), missing(size_t(d * n));  // transposed: [width, tokens]
  for (int64_t t = 0; t < n; t++) {
    for (int64_t i = 0; i < d; i++) {
      rows[size_t(i * n + t)] = x[t * d + i];
      missing[size_t(i * n + t)] = dense[t * d + i] - x[t * d + i];
    }
  }
  const TileKernel& kernel = context_.kernels.f32;
  PackedRows left;
  left.pack(context_, kernel, d, n, cancel,
            [&](int64_t r, float* out) { std::memcpy(out, &rows[size_t(r * n)], size_t(n) * sizeof(float)); });
  for (const auto& [right, sum] : {std::pair{&rows, &gram_}, std::pair{&missing, &cross_}}) {
    const Tensor tensor = view_of("embeddings", right->data(), d, n);
    const PackedMatrix packed(context_, kernel, {&tensor}, PackedMatrix::Order::kStacked, cancel);
    double* total = sum->data();
    multiply<1>(context_, left, packed, cancel, [&](int64_t first, int valid, int64_t panel, float* const* tiles) {
      const int64_t column = panel * kernel.columns, columns = std::min<int64_t>(kernel.columns, d - column);
      for (int r = 0; r < valid; r++) {
        double* row = total + (first + r) * d + column;
        for (int64_t c = 0; c < columns; c++) row[c] += weight * double(tiles[0][r * kernel.columns + c]);
      }
    });
  }
}

// Takes blocks of columns from left to right: first the block itself, then the rows below it, then what both subtract from the
// rest (only a whole block has one). `across` holds the block's columns as rows, so that the subtraction runs along rows.
void CpuRegression::factorise(double lambda, const CancelFlag& cancel) {
  constexpr int64_t kRows = 32;
  const int64_t d = width_;
  factor_ = gram_;
  double* l = factor_.data();
  for (int64_t i = 0; i < d; i++) l[i * d + i] += lambda;
  std::vector<double> across(size_t(kBlock * d));
  for (int64_t k0 = 0; k0 < d; k0 += kBlock) {
    const int64_t end = std::min(k0 + kBlock, d);
    const auto eliminate = [&](int64_t i, int64_t j) {  // l[i][j] of the block, its columns before j known
      double sum = l[i * d + j];
      for (int64_t k = k0; k < j; k++) sum -= l[i * d + k] * l[j * d + k];
      return sum;
    };
    for (int64_t j = k0; j < end; j++) {
      const double pivot = eliminate(j, j);
      if (!(pivot > 0)) {
        throw Error("ERR_ENGINE", "a compensation cannot be fitted: the embeddings' Gram matrix is not positive definite");
      }
      l[j * d + j] = std::sqrt(pivot);
      for (int64_t i = j + 1; i < end; i++) l[i * d + j] = eliminate(i, j) / l[j * d + j];
    }
    const int tasks = int(ceil_div(d - end, kRows));
    context_.pool.run(tasks, cancel, [&](int task, int) {
      for (int64_t i = end + task * kRows; i < std::min(end + (task + 1) * kRows, d); i++) {
        for (int64_t j = k0; j < end; j++) {
          l[i * d + j] = eliminate(i, j) / l[j * d + j];
          across[size_t((j - k0) * d + i)] = l[i * d + j];
        }
      }
    });
    context_.pool.run(tasks, cancel, [&](int task, int) {
      constexpr int64_t kStretch = 512;  // of `across`, which stays in a cache while the task's rows pass by
      const int64_t first = end + task * kRows, last = std::min(first + kRows, d);
      for (int64_t from = end; from < last; from += kStretch) {
        const int64_t count = std::min(kStretch, last - from);
        for (int64_t i = first; i < last; i++) subtract(&l[i * d + from], &l[i * d + k0], &across[size_t(from)], d, count);
      }
    });
  }
}

Regression::Factors CpuRegression::fit(int rank, double ridge, const float* metric, int features, const CancelFlag& cancel) {
  const int64_t d = width_, groups = ceil_div(rank, kGroup);
  double trace = 0;
  for (int64_t i = 0; i < d; i++) trace += gram_[size_t(i * d + i)];
  factorise(ridge * trace / double(d), cancel);

  Thin u(d, groups), next(d, groups), a(d, groups), in_metric(d, groups);  // in_metric = P'P u
  Thin image(metric ? features : d, groups);
  std::mt19937 generator(1);  // the same numbers everywhere
  for (int64_t j = 0; j < rank; j++) {
    for (int64_t i = 0; i < d; i++) next.set(i, j, double(generator()) / 4294967296.0 - 0.5);
  }
  const auto project = [&](int64_t g) {  // image = P u
    if (metric) times(metric, features, d, u.group(g), image.group(g));
    else std::copy_n(u.group(g), d, image.group(g));
  };
  double captured = 0;
  for (int iteration = 0; iteration < kMaxIterations; iteration++) {
    u = next;
    context_.pool.run(int(groups), cancel, [&](int g, int) { project(g); });
    orthonormalise(u, image, rank);
    context_.pool.run(int(groups), cancel, [&](int g, int) {
      project(g);
      if (metric) transposed_times(metric, features, d, image.group(g), in_metric.group(g));
      else std::copy_n(u.group(g), d, in_metric.group(g));
      times(cross_.data(), d, d, in_metric.group(g), a.group(g));
      solve(factor_.data(), d, a.group(g));
      transposed_times(cross_.data(), d, d, a.group(g), next.group(g));
    });
    Group sums{};
    for (size_t i = 0; i < next.values.size(); i++) sums += in_metric.values[i] * next.values[i];
    double now = 0;
    for (int64_t c = 0; c < kGroup; c++) now += sums[c];
    if (!(now > captured * (1 + kMinGain))) break;
    captured = now;
  }
  return {factor_of(a, rank), factor_of(u, rank)};
}

std::unique_ptr<Regression> make_regression(int width, int threads) {
  return std::make_unique<CpuRegression>(width, threads);
}

}  // namespace skrr::cpu
