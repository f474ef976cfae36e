#include "cpu/cpu_backend.h"

#include <cstring>

#include "cpu/norm.h"
#include "cpu/stream.h"
#include "engine/bench.h"
#include "engine/numeric.h"

namespace skrr::cpu {
namespace {

std::vector<float> read_all(const Tensor& tensor) {
  std::vector<float> values(size_t(tensor.rows * tensor.columns));
  if (tensor) read_floats(tensor, 0, int64_t(values.size()), values.data());
  return values;
}

// The matrices that stand side by side in `in`, and their biases.
struct InRoles {
  std::vector<Role> matrices, biases;
};

InRoles in_roles(bool attends, bool gated) {
  if (attends) return {{Role::kQ, Role::kK, Role::kV}, {Role::kQBias, Role::kKBias, Role::kVBias}};
  if (gated) return {{Role::kGate, Role::kUp}, {Role::kGateBias, Role::kUpBias}};
  return {{Role::kUp}, {Role::kUpBias}};
}

// Biases of matrices as their panels stand (PackedMatrix::Order): [panels * columns]. Empty where there are none.
std::vector<float> panel_biases(const Weights& w, const std::vector<Role>& roles, PackedMatrix::Order order, int64_t columns) {
  if (!w[roles.front()]) return {};
  std::vector<std::vector<float>> parts;
  for (const Role role : roles) {
    std::vector<float>& part = parts.emplace_back(read_all(w[role]));
    part.resize(size_t(round_up(int64_t(part.size()), columns)));
  }
  std::vector<float> biases;
  const int64_t run = order == PackedMatrix::Order::kInterleaved ? columns : INT64_MAX;  // of a part, before the next one's turn
  for (int64_t first = 0; first < int64_t(parts[0].size()); first += std::min(run, int64_t(parts[0].size()))) {
    for (const std::vector<float>& part : parts) {
      const int64_t count = std::min(run, int64_t(part.size()));
      biases.insert(biases.end(), part.begin() + first, part.begin() + first + count);
    }
  }
  return biases;
}

// A packed matrix of a file, [whole panels, k]. Its shape was checked when the file was opened.
PackedMatrix in_place(const TileKernel& kernel, const Weights& w, Role data, Role scales, int64_t k) {
  const PackedTensor packed = packed_in(w, data, scales);
  const int64_t panels = int64_t(packed.scale_count) / kernel.columns;
  for (size_t i = 0; i < packed.scale_count; i++) {
    if (!is_finite_bits(bits_of(packed.scales[i]))) {
      throw Error("ERR_CHECKPOINT", w[scales].name + ": found a scale that is NaN or infinite, expected finite numbers");
    }
  }
  return PackedMatrix(kernel, reinterpret_cast<const char*>(packed.data), packed.scales, k, panels);
}

}  // namespace

CpuBackend::CpuBackend(const Architecture& architecture, const FixedTensors& fixed, int threads)
    : architecture_(architecture),
      context_(threads),
      final_norm_(read_all(fixed.final_norm)),
      final_norm_bias_(read_all(fixed.final_norm_bias)),
      slots_(size_t(slot_count(architecture))) {}

// --- slots ---

void CpuBackend::load(int slot, const Weights& w, const CancelFlag& cancel) {
  using Order = PackedMatrix::Order;
  const TileKernel& kernel = tile_kernel(context_.kernels, precision_of(slot));
  const int sub_block = sub_block_of(slot);
  auto filled = std::make_unique<Slot>();
  const bool attends = is_attention(sub_block), gated = !attends && architecture_.feed_forward(sub_block).gated;
  for (const Role role : {Role::kNorm, Role::kNormBias, Role::kPostNorm, Role::kQNorm, Role::kKNorm, Role::kDistance}) {
    filled->vectors[role] = read_all(w[role]);
  }
  const Order order = attends ? Order::kStacked : Order::kInterleaved;
  const InRoles in = in_roles(attends, gated);
  filled->in_bias = panel_biases(w, in.biases, order, kernel.columns);
  filled->out_bias = panel_biases(w, {attends ? Role::kOBias : Role::kDownBias}, Order::kStacked, kernel.columns);
  if (w[Role::kIn]) {
    const int inner = attends ? architecture_.attention(sub_block).inner() : architecture_.feed_forward(sub_block).inner;
    filled->in = in_place(kernel, w, Role::kIn, Role::kInScales, architecture_.width);
    filled->out = in_place(kernel, w, Role::kOut, Role::kOutScales, inner);
  } else {
    std::vector<const Tensor*> parts(in.matrices.size());
    std::transform(in.matrices.begin(), in.matrices.end(), parts.begin(), [&](Role role) { return &w[role]; });
    filled->in = PackedMatrix(context_, kernel, parts, order, cancel);
    filled->out = PackedMatrix(context_, kernel, {&w[attends ? Role::kO : Role::kDown]}, Order::kStacked, cancel);
  }
  slots_[size_t(slot)] = std::move(filled);
}

void CpuBackend::unload(int slot) { slots_[size_t(slot)].reset(); }

Backend::Packed CpuBackend::packed(int slot) const {
  const Slot& filled = *slots_.at(size_t(slot));
  return {filled.in.view(), filled.out.view()};
}

// --- the forward pass ---

std::unique_ptr<States> CpuBackend::begin(const Batch& batch, const ReadRow& read) {
  auto states = std::make_unique<CpuStates>();
  states->width = architecture_.width;
  states->hidden = Buffer(size_t(batch.tokens) * size_t(architecture_.width) * sizeof(float));
  context_.pool.run(batch.tokens, CancelFlag(), [&](int t, int) { read(t, states->row(t)); });
  states->starts.assign(batch.starts, batch.starts + batch.sequences + 1);
  states->indices.assign(batch.indices, batch.indices + batch.tokens);
  const int32_t* positions = batch.positions ? batch.positions : batch.indices;
  states->positions.assign(positions, positions + batch.tokens);
  states->visible.assign(batch.visible, batch.visible + batch.tokens);
  for (int32_t index : states->indices) states->longest = std::max(states->longest, index + 1);
  return states;
}

std::unique_ptr<States> CpuStates::clone() const {
  auto copy = std::make_unique<CpuStates>();
  copy->width = width;
  copy->longest = longest;
  copy->hidden = Buffer(hidden.bytes());
  std::memcpy(copy->hidden.as(), hidden.as(), hidden.bytes());
  copy->starts = starts;
  copy->indices = indices;
  copy->positions = positions;
  copy->visible = visible;
  return copy;
}

void CpuBackend::run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) {
  CpuStates& s = static_cast<CpuStates&>(states);
  for (int position = from; position < to; position++) {
    const auto& [slot, scale] = table[size_t(position)];
    if (slot == kSkipped) continue;
    const Slot& weights = *slots_[size_t(slot)];
    const int source = sub_block_of(slot);  // its attributes run with its weights
    if (is_attention(source)) {
      attention(architecture_.attention(source), weights, scale, s, cancel);
    } else {
      feed_forward(architecture_.feed_forward(source), weights, scale, s, cancel);
    }
  }
}

void CpuBackend::read(const States& states, bool norm, const Maps& maps, const WriteRow& write) {
  const CpuStates& s = static_cast<const CpuStates&>(states);
  if (!norm) {
    context_.pool.run(s.tokens(), CancelFlag(), [&](int t, int) { write(t, s.row(t)); });
    return;
  }
  int64_t columns = architecture_.width, max_columns = columns;
  for (const Map* map : maps) {
    if (map) max_columns = std::max(max_columns, static_cast<const CpuMap&>(*map).layers.back().outputs);
  }
  wide_.reserve(size_t(s.tokens() * max_columns) * sizeof(float));
  float* y = wide_.as<float>();
  context_.pool.run(s.tokens(), CancelFlag(), [&](int t, int) {
    normalise(context_.kernels, architecture_.output_norm, final_norm_, final_norm_bias_, s.row(t), y + t * columns);
  });
  for (const Map* map : maps) {
    if (!map) continue;
    const CpuMap& chain = static_cast<const CpuMap&>(*map);
    apply(chain, s.tokens(), y, y, CancelFlag());
    columns = chain.layers.back().outputs;
  }
  context_.pool.run(s.tokens(), CancelFlag(), [&](int t, int) { write(t, y + t * columns); });
}

static auto kernel_of(Activation activation, const Kernels& kernels) {
  switch (activation) {
    case Activation::kRelu: return kernels.relu;
    case Activation::kGeluTanh: return kernels.gelu_tanh;
    case Activation::kGelu: return kernels.gelu;
    case Activation::kQuickGelu: return kernels.quick_gelu;
    case Activation::kSilu: return kernels.silu;
  }
  throw Error("ERR_ENGINE", "unknown activation");
}

// h += scale * down(act(gate x) * (up x)), x = norm(h); ungated: h += scale * down(act(up x))
void CpuBackend::feed_forward(const FeedForward& f, const Slot& weights, float scale, CpuStates& s, const CancelFlag& cancel) {
  const Kernels& kernels = context_.kernels;
  const auto activate = kernel_of(f.activation, kernels);
  const int columns = weights.in.kernel().columns;
  const int64_t stride = ceil_div(f.inner, columns) * columns;  // of a row of activations, in whole panels
  wide_.reserve(size_t(s.tokens()) * size_t(stride) * sizeof(float));
  float* activations = wide_.as<float>();

  pack_normed(f.norm, weights, s, cancel);
  context_.finished(bench::kNorm);
  const int together = f.gated ? 2 : 1;
  const auto epilogue = [&](int64_t first_row, int rows, int64_t panel, float* const* tiles) {
    for (int i = 0; i < together; i++) add_bias(weights.in_bias, panel * together + i, rows, columns, tiles[i]);
    activate(tiles[0], f.gated ? tiles[1] : nullptr, rows * columns);
    for (int r = 0; r < rows; r++) {
      stream(tiles[0] + r * columns, columns, activations + (first_row + r) * stride + panel * columns);
    }
  };
  if (f.gated) {
    multiply<2>(context_, rows_, weights.in, cancel, epilogue);
  } else {
    multiply<1>(context_, rows_, weights.in, cancel, epilogue);
  }
  context_.finished(bench::kUp);

  const size_t inner_bytes = size_t(f.inner) * sizeof(float);
  rows_.pack(context_, weights.out.kernel(), s.tokens(), f.inner, cancel,
             [&](int64_t r, float* out) { std::memcpy(out, activations + r * stride, inner_bytes); });
  add_product(weights, f.post_norm, scale, s, cancel);
  context_.finished(bench::kDown);
}

// rows_ = norm(h), packed
void CpuBackend::pack_normed(const Norm& norm, const Slot& weights, const CpuStates& s, const CancelFlag& cancel) {
  rows_.pack(context_, weights.in.kernel(), s.tokens(), architecture_.width, cancel, [&](int64_t r, float* out) {
    normalise(context_.kernels, norm, weights.vectors[Role::kNorm], weights.vectors[Role::kNormBias], s.row(r), out);
  });
}

// Adds its biases to a tile of panel `panel`.
void CpuBackend::add_bias(const std::vector<float>& bias, int64_t panel, int rows, int columns, float* tile) const {
  if (!bias.empty()) context_.kernels.add_bias(tile, rows, columns, &bias[size_t(panel * columns)]);
}

// h += scale * f, f = rows_ W^T + bias, or the norm of that
void CpuBackend::add_product(const Slot& weights, const std::optional<Norm>& post_norm, float scale, CpuStates& s,
                             const CancelFlag& cancel) {
  const Kernels& kernels = context_.kernels;
  const int columns = weights.out.kernel().columns, width = architecture_.width;
  if (post_norm) wide_.reserve(size_t(s.tokens()) * size_t(width) * sizeof(float));  // what stood there is in rows_
  float* f = wide_.as<float>();
  multiply<1>(context_, rows_, weights.out, cancel, [&](int64_t first_row, int rows, int64_t panel, float* const* tiles) {
    const int valid = int(std::min<int64_t>(columns, width - panel * columns));
    add_bias(weights.out_bias, panel, rows, columns, tiles[0]);
    if (!post_norm) {
      kernels.add_rows(tiles[0], columns, rows, valid, scale, s.row(first_row) + panel * columns, width);
      return;
    }
    for (int r = 0; r < rows; r++) std::copy_n(tiles[0] + r * columns, valid, f + (first_row + r) * width + panel * columns);
  });
  if (!post_norm) return;
  context_.pool.run(s.tokens(), cancel, [&](int t, int worker) {
    float* normed = context_.borrow(worker, width);
    normalise(kernels, *post_norm, weights.vectors[Role::kPostNorm], {}, f + int64_t(t) * width, normed);
    kernels.add_rows(normed, width, 1, width, scale, s.row(t), width);
  });
}

// --- memory ---

size_t CpuBackend::weight_bytes() const {
  size_t bytes = (final_norm_.size() + final_norm_bias_.size()) * sizeof(float);
  for (const auto& slot : slots_) bytes += slot ? slot->bytes() : 0;
  return bytes;
}

size_t CpuBackend::workspace_bytes() const {
  size_t bytes = rows_.bytes() + wide_.bytes() + mixed_.bytes();
  for (const Buffer& buffer : context_.scratch) bytes += buffer.bytes();
  return bytes;
}

}  // namespace skrr::cpu
