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

// y [m, n] = x [m, k] w[n, k]^T + bias [n], which may be absent
Matrix multiply(const Matrix& x, const Matrix& w, const Matrix& bias, size_t k) {
  const size_t m = x.size() / k, n = w.size() / k;
  Matrix y(m * n);
  for (size_t r = 0; r < m; r++) {
    for (size_t c = 0; c < n; c++) {
      for (size_t i = 0; i < k; i++) y[r * n + c] += x[r * k + i] * w[c * k + i];
      if (!bias.empty()) y[r * n + c] += bias[c];
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

// Rows of weight.size(); a LayerNorm's bias may be absent.
Matrix normed(const skrr::Norm& norm, Matrix x, const Matrix& weight, const Matrix& bias) {
  const size_t width = weight.size();
  for (size_t first = 0; first < x.size(); first += width) {
    double mean = 0;
    for (size_t i = 0; i < width; i++) mean += x[first + i] / double(width);
    for (size_t i = 0; i < width && norm.kind == skrr::Norm::Kind::kLayer; i++) x[first + i] -= mean;
    const double factor = norm_factor(&x[first], width, double(norm.epsilon));
    for (size_t i = 0; i < width; i++) x[first + i] = x[first + i] * factor * weight[i] + (bias.empty() ? 0 : bias[i]);
  }
  return x;
}

// The normed stream as a sub-block's first products take it.
Matrix normed_operand(const Model& model, const skrr::Norm& norm, const Matrix& h, const SubBlock& w) {
  const Matrix& weight = w[skrr::Role::kNorm];
  const size_t width = weight.size();
  if (!model.tensor_cores || norm.kind == skrr::Norm::Kind::kLayer) {
    return operand(model, normed(norm, h, weight, w[skrr::Role::kNormBias]), width);
  }
  Matrix x = h;
  for (size_t i = 0; i < x.size(); i++) x[i] *= weight[i % width];
  round_to_bf16(x);
  for (size_t i = 0; i < x.size(); i++) x[i] *= norm_factor(&h[i / width * width], width, double(norm.epsilon));
  return x;
}

// Turns the pairs of each head of x [tokens, heads * d]; queries are stretched too.
void turn(const skrr::Rope& rope, const skrr::Batch& batch, size_t d, bool queries, Matrix& x) {
  const size_t pairs = rope.frequencies.size(), row = x.size() / size_t(batch.tokens);
  const int32_t* positions = batch.positions ? batch.positions : batch.indices;  // g++ 12 miscompiles (a ? a : b)[i / n] under UBSan
  for (size_t head = 0; head < x.size(); head += d) {
    const int position = positions[head / row];
    for (size_t j = 0; j < pairs; j++) {
      double& a = x[head + (rope.interleaved ? 2 * j : j)];
      double& b = x[head + (rope.interleaved ? 2 * j + 1 : j + pairs)];
      const double angle = position * rope.frequencies[j], length = double(rope.magnitude);
      const double turned = (a * std::cos(angle) - b * std::sin(angle)) * length;
      b = (b * std::cos(angle) + a * std::sin(angle)) * length;
      a = turned;
    }
    const double stretch = 1 + double(rope.query_beta) * std::log(1.0 + position / rope.query_period);
    for (size_t i = 0; i < d && queries; i++) x[head + i] *= stretch;
  }
}

// q or k as logits take them: [tokens, heads * d].
Matrix heads_of(const Model& model, const skrr::Attention& a, const skrr::Batch& batch, Matrix x, const Matrix& norm, bool queries) {
  if (a.head_norm || a.rope) x = attention_operand(model, x);  // a kernel of its own reads and writes them
  if (a.head_norm) x = normed(*a.head_norm, x, norm, {});
  if (a.rope) turn(*a.rope, batch, size_t(a.head_dim), queries, x);
  return attention_operand(model, x);
}

int bucket(int distance, int buckets, int max_distance) {
  const int half = buckets / 2, exact = half / 2, length = std::abs(distance);
  const int side = distance > 0 ? half : 0;
  if (length < exact) return side + length;
  const float ratio = std::log(float(length) / float(exact)) / float(std::log(double(max_distance) / exact));
  return side + std::min(half - 1, exact + int(ratio * float(half - exact)));
}

// Logits of one query over the keys of its sequence, with bias and mask; -infinity where a key is not seen. Where none is seen,
// all are 0, or (Unseeing::kZero) the list is empty: the query gets nothing. Key head i serves heads / key_heads query heads, from
// i * that number on.
Matrix logits(const skrr::Attention& a, const Matrix& q, const Matrix& k, const Matrix& table, const skrr::Batch& batch, int first,
              int last, int query, size_t head) {
  const size_t heads = size_t(a.heads), key_heads = size_t(a.key_heads), d = size_t(a.head_dim);
  const size_t key_head = head / (heads / key_heads);
  Matrix scores;
  bool any = false;
  for (int key = first; key < last; key++) {
    double score = 0;
    for (size_t e = 0; e < d; e++) score += q[(size_t(query) * heads + head) * d + e] * k[(size_t(key) * key_heads + key_head) * d + e];
    score *= double(a.scale);
    if (a.softcap) score = double(*a.softcap) * std::tanh(score / double(*a.softcap));
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
  using skrr::Role;
  const size_t heads = size_t(a.heads), key_heads = size_t(a.key_heads), d = size_t(a.head_dim), inner = heads * d;
  const size_t width = size_t(model.architecture.width);
  const Matrix q = heads_of(model, a, batch, multiply(x, w[Role::kQ], w[Role::kQBias], width), w[Role::kQNorm], true),
               k = heads_of(model, a, batch, multiply(x, w[Role::kK], w[Role::kKBias], width), w[Role::kKNorm], false),
               v = attention_operand(model, multiply(x, w[Role::kV], w[Role::kVBias], width));
  Matrix mixed(size_t(batch.tokens) * inner);
  for (int s = 0; s < batch.sequences; s++) {
    const int first = batch.starts[s], last = batch.starts[s + 1];
    for (size_t h = 0; h < heads; h++) {
      for (int i = first; i < last; i++) {
        Matrix weight = logits(a, q, k, w[Role::kDistance], batch, first, last, i, h);
        const size_t key_head = h / (heads / key_heads);
        if (weight.empty()) continue;
        const double top = *std::max_element(weight.begin(), weight.end());
        double sum = 0;
        for (double& value : weight) value = std::exp(value - top), sum += value;
        weight = attention_operand(model, weight);  // after the sum, as flash attention does
        for (int j = first; j < last; j++) {
          for (size_t e = 0; e < d; e++) {
            mixed[size_t(i) * inner + h * d + e] += weight[size_t(j - first)] / sum * v[(size_t(j) * key_heads + key_head) * d + e];
          }
        }
      }
    }
  }
  return multiply(operand(model, mixed, inner), w[Role::kO], w[Role::kOBias], inner);
}

double activate(skrr::Activation activation, double x) {
  switch (activation) {
    case skrr::Activation::kRelu: return std::max(x, 0.0);
    case skrr::Activation::kGeluTanh: return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case skrr::Activation::kGelu: return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case skrr::Activation::kQuickGelu: return x / (1 + std::exp(-1.702 * x));
    case skrr::Activation::kSilu: return x / (1 + std::exp(-x));
  }
  throw std::logic_error("no reference for this activation");
}

Matrix feed_forward(const Model& model, const skrr::FeedForward& f, const SubBlock& w, const Matrix& x) {
  using skrr::Role;
  const size_t width = size_t(model.architecture.width);
  const Matrix up = multiply(x, w[Role::kUp], w[Role::kUpBias], width);
  Matrix inner = f.gated ? multiply(x, w[Role::kGate], w[Role::kGateBias], width) : up;
  for (double& value : inner) value = activate(f.activation, value);
  for (size_t i = 0; i < inner.size() && f.gated; i++) inner[i] *= up[i];
  return multiply(operand(model, inner, size_t(f.inner)), w[Role::kDown], w[Role::kDownBias], size_t(f.inner));
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
    const bool attends = skrr::is_attention(s);
    const Matrix x = normed_operand(model, attends ? a.attention(s).norm : a.feed_forward(s).norm, h, w);
    Matrix f = attends ? attention(model, a.attention(s), w, batch, x) : feed_forward(model, a.feed_forward(s), w, x);
    const auto& post_norm = attends ? a.attention(s).post_norm : a.feed_forward(s).post_norm;
    if (post_norm) f = normed(*post_norm, f, w[skrr::Role::kPostNorm], {});
    for (size_t i = 0; i < h.size(); i++) h[i] += double(scale) * f[i];
  }
  return normed(a.output_norm, h, model.final_norm, model.final_norm_bias);
}

}  // namespace reference
