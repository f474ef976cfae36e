// The fit of a compensation: against normal equations solved by the book and eigenvalues by Jacobi, in double.
#include <algorithm>
#include <numeric>

#include "cpu/regression.h"
#include "test/engine/check.h"

using namespace skrr;
using cpu::CpuRegression;

namespace {

using Matrix = std::vector<double>;  // row-major

Matrix product(const Matrix& a, const Matrix& b, size_t m, size_t k, size_t n) {
  Matrix c(m * n);
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < k; j++) {
      for (size_t l = 0; l < n; l++) c[i * n + l] += a[i * k + j] * b[j * n + l];
    }
  }
  return c;
}

Matrix transposed(const Matrix& a, size_t m, size_t n) {
  Matrix t(m * n);
  for (size_t i = 0; i < m; i++) {
    for (size_t j = 0; j < n; j++) t[j * m + i] = a[i * n + j];
  }
  return t;
}

// Gauss-Jordan: a^-1 b, a [n, n] positive definite, b [n, columns]
Matrix solved(Matrix a, Matrix b, size_t n, size_t columns) {
  for (size_t p = 0; p < n; p++) {
    for (size_t i = 0; i < n; i++) {
      if (i == p) continue;
      const double factor = a[i * n + p] / a[p * n + p];
      for (size_t j = p; j < n; j++) a[i * n + j] -= factor * a[p * n + j];
      for (size_t j = 0; j < columns; j++) b[i * columns + j] -= factor * b[p * columns + j];
    }
  }
  for (size_t i = 0; i < n; i++) {
    for (size_t j = 0; j < columns; j++) b[i * columns + j] /= a[i * n + i];
  }
  return b;
}

// Eigenvalues of a symmetric matrix, the largest first.
Matrix eigenvalues(Matrix a, size_t n) {
  for (int sweep = 0; sweep < 30; sweep++) {
    for (size_t p = 0; p < n; p++) {
      for (size_t q = p + 1; q < n; q++) {
        const double angle = 0.5 * std::atan2(2 * a[p * n + q], a[q * n + q] - a[p * n + p]);
        const double c = std::cos(angle), s = std::sin(angle);
        for (size_t k = 0; k < n; k++) {
          const double x = a[k * n + p], y = a[k * n + q];
          a[k * n + p] = c * x - s * y, a[k * n + q] = s * x + c * y;
        }
        for (size_t k = 0; k < n; k++) {
          const double x = a[p * n + k], y = a[q * n + k];
          a[p * n + k] = c * x - s * y, a[q * n + k] = s * x + c * y;
        }
      }
    }
  }
  Matrix values;
  for (size_t i = 0; i < n; i++) values.push_back(a[i * n + i]);
  std::sort(values.rbegin(), values.rend());
  return values;
}

// Two batches with different weights, and the sums over both.
struct Problem {
  static constexpr size_t kWidth = 37, kFeatures = 50, kTokens = 60;
  std::vector<float> x = random_floats(2 * kTokens * kWidth, 1), dense = random_floats(2 * kTokens * kWidth, 2);
  std::vector<float> metric = random_floats(kFeatures * kWidth, 3);
  double weights[2] = {1, 7};
  Matrix gram = Matrix(kWidth * kWidth), cross = Matrix(kWidth * kWidth);

  Problem() {
    for (size_t t = 0; t < 2 * kTokens; t++) {
      const float *a = &x[t * kWidth], *b = &dense[t * kWidth];
      for (size_t i = 0; i < kWidth; i++) {
        for (size_t j = 0; j < kWidth; j++) {
          gram[i * kWidth + j] += weights[t / kTokens] * double(a[i]) * double(a[j]);
          cross[i * kWidth + j] += weights[t / kTokens] * double(a[i]) * (double(b[j]) - double(a[j]));
        }
      }
    }
  }

  void add_to(Regression& regression) const {
    for (size_t part = 0; part < 2; part++) {
      const size_t first = part * kTokens * kWidth;
      regression.add(&x[first], &dense[first], int(kTokens), weights[part], CancelFlag());
    }
  }

  Matrix ridged(double ridge) const {
    Matrix g = gram;
    double trace = 0;
    for (size_t i = 0; i < kWidth; i++) trace += gram[i * kWidth + i];
    for (size_t i = 0; i < kWidth; i++) g[i * kWidth + i] += ridge * trace / double(kWidth);
    return g;
  }
};

// The map as a matrix: y = x map.
Matrix map_of(const Regression::Factors& map, size_t width) {
  const Matrix down(map.down.begin(), map.down.end()), up(map.up.begin(), map.up.end());
  const size_t rank = down.size() / width;
  return product(transposed(down, rank, width), up, width, rank, width);
}

void at_full_rank_it_solves_the_normal_equations() {
  const Problem problem;
  constexpr size_t d = Problem::kWidth;
  CpuRegression regression(int(d), 2);
  problem.add_to(regression);
  for (const double ridge : {0.01, 1.0}) {
    const Matrix expected = solved(problem.ridged(ridge), problem.cross, d, d);
    for (const float* metric : {static_cast<const float*>(nullptr), problem.metric.data()}) {
      const auto map = regression.fit(int(d), ridge, metric, metric ? int(Problem::kFeatures) : 0, CancelFlag());
      CHECK_AT_MOST(relative_error(map_of(map, d), expected), 1e-5);
    }
  }
}

// What a map gains of the objective, tr(2 M B'A' - A'G A B P'P B'), is at most the sum of the largest eigenvalues.
void at_low_rank_no_other_map_gains_more(size_t rank) {
  const Problem problem;
  constexpr size_t d = Problem::kWidth, f = Problem::kFeatures;
  CpuRegression regression(int(d), 3);
  problem.add_to(regression);
  const Matrix g = problem.ridged(0.1), metric(problem.metric.begin(), problem.metric.end());
  const Matrix map = map_of(regression.fit(int(rank), 0.1, problem.metric.data(), int(f), CancelFlag()), d);
  const Matrix seen = product(map, transposed(metric, f, d), d, d, f), wanted = product(problem.cross, transposed(metric, f, d), d, d, f);
  const Matrix cost = product(g, seen, d, d, f);
  double gain = 0;
  for (size_t i = 0; i < seen.size(); i++) gain += 2 * wanted[i] * seen[i] - seen[i] * cost[i];
  const Matrix best = eigenvalues(product(transposed(wanted, d, f), solved(g, wanted, d, f), f, d, f), f);
  const double max_gain = std::accumulate(best.begin(), best.begin() + std::ptrdiff_t(rank), 0.0);
  CHECK_AT_MOST(std::fabs(gain / max_gain - 1), 1e-3);
}

// Rank 2 is all that is missing: a higher rank changes nothing, and the rows that are not needed are zeros.
void it_finds_what_is_there_and_no_more() {
  constexpr size_t d = 20, n = 100;
  const std::vector<float> x = random_floats(n * d, 1), a = random_floats(2 * d, 2, 0.3f), b = random_floats(2 * d, 3);
  std::vector<float> dense = x;
  for (size_t t = 0; t < n; t++) {
    for (size_t j = 0; j < 2; j++) {
      float along = 0;
      for (size_t i = 0; i < d; i++) along += a[j * d + i] * x[t * d + i];
      for (size_t i = 0; i < d; i++) dense[t * d + i] += along * b[j * d + i];
    }
  }
  CpuRegression regression(int(d), 1);
  regression.add(x.data(), dense.data(), int(n), 1, CancelFlag());
  const auto map = regression.fit(5, 1e-9, nullptr, 0, CancelFlag());
  const Matrix expected = map_of({a, b}, d);
  CHECK_AT_MOST(relative_error(map_of(map, d), expected), 1e-4);

  CpuRegression nothing(int(d), 1);
  nothing.add(x.data(), x.data(), int(n), 1, CancelFlag());
  const auto zero = nothing.fit(3, 1, nullptr, 0, CancelFlag());
  CHECK(std::all_of(zero.down.begin(), zero.down.end(), [](float value) { return value == 0; }));
}

void threads_do_not_change_a_bit() {
  const Problem problem;
  CpuRegression one(int(Problem::kWidth), 1), three(int(Problem::kWidth), 3);
  problem.add_to(one), problem.add_to(three);
  const auto a = one.fit(19, 0.3, problem.metric.data(), int(Problem::kFeatures), CancelFlag());
  const auto b = three.fit(19, 0.3, problem.metric.data(), int(Problem::kFeatures), CancelFlag());
  CHECK(a.down == b.down && a.up == b.up);
}

void nothing_to_fit_and_cancelling_are_told() {
  CpuRegression regression(20, 2);
  std::string message;
  try {
    regression.fit(3, 1, nullptr, 0, CancelFlag());
  } catch (const Error& error) {
    message = error.what();
  }
  CHECK(message.find("not positive definite") != std::string::npos);
  CancelFlag cancel;
  cancel.raise();
  bool cancelled = false;
  const std::vector<float> x = random_floats(20, 1);
  try {
    regression.add(x.data(), x.data(), 1, 1, cancel);
  } catch (const Cancelled&) {
    cancelled = true;
  }
  CHECK(cancelled);
}

}  // namespace

int main() {
  skip_unless_isa_runs();
  at_full_rank_it_solves_the_normal_equations();
  for (const size_t rank : {1, 4, 9}) at_low_rank_no_other_map_gains_more(rank);
  it_finds_what_is_there_and_no_more();
  threads_do_not_change_a_bit();
  nothing_to_fit_and_cancelling_are_told();
  return finish("regression");
}
