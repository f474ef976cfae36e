#include "cuda/weights.h"

#include <algorithm>
#include <functional>

#include "cuda/tensor_map.h"
#include "engine/numeric.h"

namespace skrr::cuda {
namespace {

// Where a row of a device matrix, or its bias, comes from: row `row` of a role's matrix, element `row` of its bias. Without a role
// it is zeros.
struct SourceRow {
  enum Part { kZeros, kFirst, kSecond, kThird } part = kZeros;
  int row = 0;
};

// A matrix as it lies on the device, bf16. Columns come in groups of `group`, each padded to `padded_group` with zeros.
struct DeviceMatrix {
  int rows, columns;
  int group, padded_group;
  std::vector<Role> parts, biases;  // by SourceRow::Part; no biases: there are none
  std::function<SourceRow(int row)> source;
};

// A row of padded heads: each head has true_head_dim rows, followed by rows of zeros up to head_dim.
SourceRow head_row(const Shape& shape, SourceRow::Part part, int row) {
  const int head = row / shape.heads.head_dim, i = row % shape.heads.head_dim;
  return i < shape.true_head_dim ? SourceRow{part, head * shape.true_head_dim + i} : SourceRow{};
}

SourceRow row_below(int rows, SourceRow::Part part, int row) { return row < rows ? SourceRow{part, row} : SourceRow{}; }

// q over k over v, every head's rows padded.
DeviceMatrix attention_in(const Attention& a, const Shape& shape) {
  const std::vector<Role> biases = a.bias == Bias::kNone ? std::vector<Role>{} : std::vector{Role::kQBias, Role::kKBias, Role::kVBias};
  const int keys = shape.heads.key_heads * shape.heads.head_dim;
  return {shape.qkv, shape.width, shape.true_width, shape.width, {Role::kQ, Role::kK, Role::kV}, biases, [&shape, keys](int row) {
            if (row < shape.inner) return head_row(shape, SourceRow::kFirst, row);
            const int rest = row - shape.inner;
            return rest < keys ? head_row(shape, SourceRow::kSecond, rest) : head_row(shape, SourceRow::kThird, rest - keys);
          }};
}

DeviceMatrix attention_out(const Attention& a, const Shape& shape) {
  const std::vector<Role> biases = a.bias == Bias::kAll ? std::vector{Role::kOBias} : std::vector<Role>{};
  return {shape.width, shape.inner, a.head_dim, shape.heads.head_dim, {Role::kO}, biases,
          [&shape](int row) { return row_below(shape.true_width, SourceRow::kFirst, row); }};
}

// up, or gate and up in turns of 8 rows: both of a column meet in one thread's registers.
DeviceMatrix feed_forward_in(const FeedForward& f, const Shape& shape) {
  const std::vector<Role> roles = f.gated ? std::vector{Role::kGate, Role::kUp} : std::vector{Role::kUp};
  const std::vector<Role> biases = f.gated ? std::vector{Role::kGateBias, Role::kUpBias} : std::vector{Role::kUpBias};
  return {shape.up, shape.width, shape.true_width, shape.width, roles, f.bias ? biases : std::vector<Role>{}, [&f](int row) {
            if (!f.gated) return row_below(f.inner, SourceRow::kFirst, row);
            return row_below(f.inner, row % 16 < 8 ? SourceRow::kFirst : SourceRow::kSecond, row / 16 * 8 + row % 8);
          }};
}

DeviceMatrix feed_forward_out(const FeedForward& f, const Shape& shape) {
  const std::vector<Role> biases = f.bias ? std::vector{Role::kDownBias} : std::vector<Role>{};
  return {shape.width, shape.ff, f.inner, shape.ff, {Role::kDown}, biases,
          [&shape](int row) { return row_below(shape.true_width, SourceRow::kFirst, row); }};
}

DeviceMatrix matrix_in(const Architecture& a, const Shape& shape, int s) {
  return is_attention(s) ? attention_in(a.attention(s), shape) : feed_forward_in(a.feed_forward(s), shape);
}
DeviceMatrix matrix_out(const Architecture& a, const Shape& shape, int s) {
  return is_attention(s) ? attention_out(a.attention(s), shape) : feed_forward_out(a.feed_forward(s), shape);
}

void pack_rows(const DeviceMatrix& matrix, const Weights& w, int first, int count, uint16_t* out) {
  std::fill_n(out, size_t(count) * size_t(matrix.columns), uint16_t(0));
  std::vector<float> values;
  for (int r = 0; r < count; r++, out += matrix.columns) {
    const auto [part, row] = matrix.source(first + r);
    if (part == SourceRow::kZeros) continue;
    const Tensor& tensor = w[matrix.parts[size_t(part) - 1]];
    values.resize(size_t(tensor.columns));
    read_floats(tensor, row * tensor.columns, tensor.columns, values.data());
    uint16_t* to = out;
    for (size_t from = 0; from < values.size(); from += size_t(matrix.group), to += matrix.padded_group) {
      for (size_t i = 0; i < size_t(matrix.group); i++) to[i] = to_bf16(values[from + i]);
    }
  }
}

// A bias for each row.
std::vector<float> bias_of(const DeviceMatrix& matrix, const Weights& w) {
  std::vector<std::vector<float>> parts;
  for (const Role role : matrix.biases) parts.push_back(read_padded(w[role], size_t(w[role].rows * w[role].columns)));
  std::vector<float> bias(size_t(matrix.rows));
  for (int r = 0; r < matrix.rows; r++) {
    const auto [part, row] = matrix.source(r);
    if (part != SourceRow::kZeros) bias[size_t(r)] = parts[size_t(part) - 1].at(size_t(row));
  }
  return bias;
}

// Cuts a matrix into pieces of whole rows. `matrix` and `w` must outlive them.
void add_pieces(const DeviceMatrix& matrix, const Weights& w, bf16* to, size_t piece_bytes, std::vector<Piece>& pieces) {
  const size_t row_bytes = size_t(matrix.columns) * sizeof(bf16);
  const int at_once = int(std::max<size_t>(piece_bytes / row_bytes, 1));
  for (int first = 0; first < matrix.rows; first += at_once) {
    const int count = std::min(at_once, matrix.rows - first);
    pieces.push_back({to + size_t(first) * size_t(matrix.columns), size_t(count) * row_bytes,
                      [&, first, count](void* out) { pack_rows(matrix, w, first, count, static_cast<uint16_t*>(out)); }});
  }
}

constexpr size_t aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

const Norm& norm_of(const Architecture& a, int s) { return is_attention(s) ? a.attention(s).norm : a.feed_forward(s).norm; }
const std::optional<Norm>& post_norm_of(const Architecture& a, int s) {
  return is_attention(s) ? a.attention(s).post_norm : a.feed_forward(s).post_norm;
}

// What a sub-block's slot says besides pointers.
void add_attributes(const Architecture& a, int sub_block, Slot& slot) {
  if (const auto& post_norm = post_norm_of(a, sub_block)) slot.post_epsilon = post_norm->epsilon;
  if (!is_attention(sub_block)) return;
  const Attention& attention = a.attention(sub_block);
  const Sights sights(a);
  slot.reach = {sights.index_of(attention.distance), attention.distance.ahead, attention.distance.back, attention.unseeing == Unseeing::kMean};
  slot.scale = attention.scale;
  slot.softcap = attention.softcap.value_or(0.0f);
  if (attention.head_norm) slot.head_epsilon = attention.head_norm->epsilon;
  if (const auto& rope = attention.rope) slot.turn = {sights.index_of(*rope), int(rope->frequencies.size()), rope->interleaved};
}

}  // namespace

std::vector<float> read_padded(const Tensor& tensor, size_t padded) {
  std::vector<float> values(padded);
  if (tensor) read_floats(tensor, 0, tensor.rows * tensor.columns, values.data());
  return values;
}

size_t final_bias_floats(const Architecture& a) { return a.output_norm.kind == Norm::Kind::kLayer ? size_t(Shape(a).width) : 0; }

SlotLayout::SlotLayout(const Architecture& a, int sub_block) {
  const Shape shape(a);
  const auto take = [&](size_t taken) {
    const size_t at = bytes;
    bytes += aligned(taken);
    return at;
  };
  const auto take_floats = [&](bool present, int count) { return present ? take(size_t(count) * sizeof(float)) : kNone; };
  const DeviceMatrix first = matrix_in(a, shape, sub_block), second = matrix_out(a, shape, sub_block);
  norm = take_floats(true, shape.width);
  in = take(size_t(first.rows) * size_t(first.columns) * sizeof(bf16));
  out = take(size_t(second.rows) * size_t(second.columns) * sizeof(bf16));
  maps = take(2 * sizeof(TensorMap));
  norm_bias = take_floats(norm_of(a, sub_block).kind == Norm::Kind::kLayer, shape.width);
  in_bias = take_floats(!first.biases.empty(), first.rows);
  out_bias = take_floats(!second.biases.empty(), second.rows);
  post_norm = take_floats(post_norm_of(a, sub_block).has_value(), shape.width);
  if (!is_attention(sub_block)) return;
  const Attention& attention = a.attention(sub_block);
  q_norm = take_floats(attention.head_norm.has_value(), shape.heads.head_dim);
  k_norm = take_floats(attention.head_norm.has_value(), shape.heads.head_dim);
  distance = take_floats(attention.distance.buckets > 0, attention.distance.buckets * shape.heads.heads);
}

LoadedSlot load_slot(Gpu& device, Loader& loader, const Architecture& a, int sub_block, const Weights& w, const CancelFlag& cancel) {
  const Shape shape(a);
  const SlotLayout layout(a, sub_block);
  Buffer memory(device, layout.bytes, "sub-block " + std::to_string(sub_block));
  const DeviceMatrix in = matrix_in(a, shape, sub_block), out = matrix_out(a, shape, sub_block);
  std::vector<Piece> pieces;
  add_pieces(in, w, memory.as<bf16>(layout.in), loader.piece_bytes(), pieces);
  add_pieces(out, w, memory.as<bf16>(layout.out), loader.piece_bytes(), pieces);
  loader.run(pieces, cancel);

  const auto put = [&](size_t at, const auto& read) -> const float* {
    if (at == SlotLayout::kNone) return nullptr;
    const std::vector<float> values = read();
    device.upload(memory.as<float>(at), values.data(), values.size() * sizeof(float));
    return memory.as<float>(at);
  };
  const auto vector = [&](Role role, int padded) { return [&w, role, padded] { return read_padded(w[role], size_t(padded)); }; };
  const int tables = is_attention(sub_block) ? a.attention(sub_block).distance.buckets * shape.heads.heads : 0;
  Slot slot{put(layout.norm, vector(Role::kNorm, shape.width)), memory.as<bf16>(layout.in), memory.as<bf16>(layout.out),
            put(layout.distance, vector(Role::kDistance, tables)), WeightFormat::kBF16};
  slot.norm_bias = put(layout.norm_bias, vector(Role::kNormBias, shape.width));
  slot.in_bias = put(layout.in_bias, [&] { return bias_of(in, w); });
  slot.out_bias = put(layout.out_bias, [&] { return bias_of(out, w); });
  slot.post_norm = put(layout.post_norm, vector(Role::kPostNorm, shape.width));
  slot.q_norm = put(layout.q_norm, vector(Role::kQNorm, shape.heads.head_dim));
  slot.k_norm = put(layout.k_norm, vector(Role::kKNorm, shape.heads.head_dim));
  add_attributes(a, sub_block, slot);
  if (device.hopper()) {
    const TensorMap maps[] = {tensor_map(slot.in, in.rows, in.columns), tensor_map(slot.out, out.rows, out.columns)};
    device.upload(memory.as<TensorMap>(layout.maps), maps, sizeof maps);
    slot.maps = memory.as<TensorMap>(layout.maps);
  }
  return {std::move(memory), slot};
}

}  // namespace skrr::cuda
