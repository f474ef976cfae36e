#include "test/engine/reference.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine/numeric.h"
#include "engine/packed_layout.h"
#include "engine/rotation.h"

namespace reference {
namespace {

void round_to_bf16(Matrix& x) {
  for (double& value : x) value = double(skrr::from_bf16(skrr::to_bf16(float(value))));
}

// x [m, k] as it meets a weight.
Matrix operand(const Model& model, Matrix x, size_t k) {
  if (model.rows == Rows::kIntegers) round_to_integers(x, k, model.integer_max);
  if (model.rows == Rows::kBF16) round_to_bf16(x);
  return x;
}

// y [m, n] = x [m, k] w[n, k]^T
Matrix multiply(const Matrix& x, const Matrix& w, size_t k) {
  const size_t m = x.size() / k, n = w.size() / k;
  Matrix y(m * n);
  for (size_t r = 0; r < m; r++) {
    for (size_t c = 0; c < n; c++) {
      for (size_t i = 0; i < k; i++) y[r * n + c] += x[r * k + i] * w[c * k + i];
    }
  }
  return y;
}

Matrix attention_operand(const Model& model, Matrix x) {
  if (model.tensor_cores) round_to_bf16(x);
  return x;
}

double norm_factor(const double* row, size_t width, double epsilon) {
  double squares = 0;
  for (size_t i = 0; i < width; i++) squares += row[i] * row[i];
  return 1 / std::sqrt(squares / double(width) + epsilon);
}

Matrix rms_norm(const Matrix& x, const Matrix& weight, double epsilon) {
  const size_t width = weight.size();
  Matrix y(x.size());
  for (size_t first = 0; first < x.size(); first += width) {
    const double factor = norm_factor(&x[first], width, epsilon);
    for (size_t i = 0; i < width; i++) y[first + i] = x[first + i] * factor * weight[i];
  }
  return y;
}

// The normed stream as a sub-block's first products take it.
Matrix normed_operand(const Model& model, const Matrix& h, const Matrix& weight, double epsilon) {
  const size_t width = weight.size();
  if (!model.tensor_cores) return operand(model, rms_norm(h, weight, epsilon), width);
  Matrix x = h;
  for (size_t i = 0; i < x.size(); i++) x[i] *= weight[i % width];
  round_to_bf16(x);
  for (size_t i = 0; i < x.size(); i++) x[i] *= norm_factor(&h[i / width * width], width, epsilon);
  return x;
}

int bucket(int distance, int buckets, int max_distance) {
  const int half = buckets / 2, exact = half / 2, length = std::abs(distance);
  const int side = distance > 0 ? half : 0;
  if (length < exact) return side + length;
  const float ratio = std::log(float(length) / float(exact)) / float(std::log(double(max_distance) / exact));
  return side + std::min(half - 1, exact + int(ratio * float(half - exact)));
}

// Logits of one query over the keys of its sequence, with bias and mask; -infinity where a key is not seen. Where none is seen,
// all are 0, or (Unseeing::kZero) the list is empty: the query gets nothing.
Matrix logits(const skrr::Attention& a, const Matrix& q, const Matrix& k, const Matrix& table, const skrr::Batch& batch, int first,
              int last, int query, size_t head) {
  const size_t heads = size_t(a.heads), d = size_t(a.head_dim), inner = heads * d;
  Matrix scores;
  bool any = false;
  for (int key = first; key < last; key++) {
    double score = 0;
    for (size_t e = 0; e < d; e++) score += q[size_t(query) * inner + head * d + e] * k[size_t(key) * inner + head * d + e];
    const int distance = batch.indices[key] - batch.indices[query];
    if (!table.empty()) score += table[size_t(bucket(distance, a.distance.buckets, a.distance.max_distance)) * heads + head];
    const bool seen = batch.visible[key] && (a.distance.ahead < 0 || distance <= a.distance.ahead) &&
                      (a.distance.back < 0 || distance >= -a.distance.back);
    any |= seen;
    scores.push_back(seen ? score : -INFINITY);
  }
  if (any) return scores;
  return a.unseeing == skrr::Unseeing::kZero ? Matrix() : Matrix(scores.size());
}

Matrix attention(const Model& model, const skrr::Attention& a, const SubBlock& w, const skrr::Batch& batch, const Matrix& x) {
  const size_t heads = size_t(a.heads), d = size_t(a.head_dim), inner = heads * d, width = size_t(model.architecture.width);
  const Matrix q = attention_operand(model, multiply(x, w[skrr::Role::kQ], width)),
               k = attention_operand(model, multiply(x, w[skrr::Role::kK], width)),
               v = attention_operand(model, multiply(x, w[skrr::Role::kV], width));
  Matrix mixed(size_t(batch.tokens) * inner);
  for (int s = 0; s < batch.sequences; s++) {
    const int first = batch.starts[s], last = batch.starts[s + 1];
    for (size_t h = 0; h < heads; h++) {
      for (int i = first; i < last; i++) {
        Matrix weight = logits(a, q, k, w[skrr::Role::kDistance], batch, first, last, i, h);
        if (weight.empty()) continue;
        const double top = *std::max_element(weight.begin(), weight.end());
        double sum = 0;
        for (double& value : weight) value = std::exp(value - top), sum += value;
        weight = attention_operand(model, weight);  // after the sum, as flash attention does
        for (int j = first; j < last; j++) {
          for (size_t e = 0; e < d; e++) {
            mixed[size_t(i) * inner + h * d + e] +=
                weight[size_t(j - first)] / sum * v[size_t(j) * inner + h * d + e];
          }
        }
      }
    }
  }
  return multiply(operand(model, mixed, inner), w[skrr::Role::kO], inner);
}

double activate(skrr::Activation activation, double x) {
  switch (activation) {
    case skrr::Activation::kRelu: return std::max(x, 0.0);
    case skrr::Activation::kGeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case skrr::Activation::kGelu:
    case skrr::Activation::kQuickGelu:
    case skrr::Activation::kSilu: break;
  }
  throw std::logic_error("no reference for this activation");
}

Matrix feed_forward(const Model& model, const skrr::FeedForward& f, const SubBlock& w, const Matrix& x) {
  const size_t width = size_t(model.architecture.width);
  Matrix inner = multiply(x, w[f.gated ? skrr::Role::kGate : skrr::Role::kUp], width);
  for (double& value : inner) value = activate(f.activation, value);
  if (f.gated) {
    const Matrix up = multiply(x, w[skrr::Role::kUp], width);
    for (size_t i = 0; i < inner.size(); i++) inner[i] *= up[i];
  }
  return multiply(operand(model, inner, size_t(f.inner)), w[skrr::Role::kDown], size_t(f.inner));
}

}  // namespace

// The orthonormal Hadamard transform of groups of numbers `lanes` apart: its own inverse.
static void rotate(double* x, size_t width) {
  const size_t lanes = std::min<size_t>(16, width & -width);
  const size_t block = std::min<size_t>(64, width / lanes & -(width / lanes));
  for (size_t first = 0; first < width; first++) {
    if (first / lanes % block != 0) continue;
    Matrix turned(block);
    for (size_t i = 0; i < block; i++) {
      for (size_t j = 0; j < block; j++) {
        const double sign = __builtin_parityll(i & j) ? -1 : 1;
        turned[i] += sign * x[first + j * lanes] / std::sqrt(double(block));
      }
    }
    for (size_t i = 0; i < block; i++) x[first + i * lanes] = turned[i];
  }
}

// Each row in multiples of its largest number / integer_max in the rotated basis, as `round` leaves them.
template <class Round>
static void round_rows(Matrix& matrix, size_t width, int integer_max, Round round) {
  for (size_t first = 0; first < matrix.size(); first += width) {
    rotate(&matrix[first], width);
    double largest = 0;
    for (size_t i = first; i < first + width; i++) largest = std::max(largest, std::abs(matrix[i]));
    const double step = largest > 0 ? largest / integer_max : 1;
    for (size_t i = first; i < first + width; i++) matrix[i] /= step;
    round(&matrix[first]);
    for (size_t i = first; i < first + width; i++) matrix[i] *= step;
    rotate(&matrix[first], width);
  }
}

void round_to_integers(Matrix& matrix, size_t width, int integer_max) {
  round_rows(matrix, width, integer_max, [&](double* row) {
    for (size_t i = 0; i < width; i++) row[i] = std::round(row[i]);
  });
}

// W[n] = scales[n] * rotate_back(values[n]); turned back without the division that makes the transform orthonormal.
Matrix unpack_int4(const skrr::PackedTensor& packed, size_t rows, size_t width, size_t first_panel, size_t panel_stride) {
  namespace layout = skrr::packed;
  const size_t bytes = layout::panel_bytes(int64_t(width), layout::kInt4Block);
  const skrr::Rotation rotation{int64_t(width)};
  Matrix matrix(rows * width);
  for (size_t n = 0; n < rows; n++) {
    const size_t panel = first_panel + n / layout::kColumns * panel_stride, row = n % layout::kColumns;
    const uint8_t* values = reinterpret_cast<const uint8_t*>(packed.data) + panel * bytes;
    const double scale = double(packed.scales[panel * layout::kColumns + row]) * std::sqrt(double(rotation.block));
    for (size_t i = 0; i < width; i++) matrix[n * width + i] = scale * layout::int4_value(values, int(row), int64_t(i));
    rotate(&matrix[n * width], width);
  }
  return matrix;
}

Matrix encode(const Model& model, const skrr::LayerTable& table, const skrr::Batch& batch, Matrix h) {
  const skrr::Architecture& a = model.architecture;
  for (const auto& [slot, scale] : table) {
    if (slot == skrr::kSkipped) continue;
    const int s = skrr::sub_block_of(slot);
    const SubBlock& w = model.sub_blocks[size_t(s)];
    const bool attends = s % 2 == 0;
    const double epsilon = double(attends ? a.attention(s).norm.epsilon : a.feed_forward(s).norm.epsilon);
    const Matrix x = normed_operand(model, h, w[skrr::Role::kNorm], epsilon);
    const Matrix f = attends ? attention(model, a.attention(s), w, batch, x) : feed_forward(model, a.feed_forward(s), w, x);
    for (size_t i = 0; i < h.size(); i++) h[i] += double(scale) * f[i];
  }
  return rms_norm(h, model.final_norm, double(a.output_norm.epsilon));
}

}  // namespace reference
