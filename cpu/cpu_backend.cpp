#include "cpu/cpu_backend.h"

#include <cstring>

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
      slots_(size_t(slot_count(architecture))) {}

// --- slots ---

void CpuBackend::load(int slot, const Weights& w, const CancelFlag& cancel) {
  using Order = PackedMatrix::Order;
  const TileKernel& kernel = tile_kernel(context_.kernels, precision_of(slot));
  const int sub_block = sub_block_of(slot);
  auto filled = std::make_unique<Slot>();
  filled->norm = read_all(w[Role::kNorm]);
  filled->distance = read_all(w[Role::kDistance]);
  if (w[Role::kIn]) {
    const int inner = is_attention(sub_block) ? architecture_.attention(sub_block).inner() : architecture_.feed_forward(sub_block).inner;
    filled->in = in_place(kernel, w, Role::kIn, Role::kInScales, architecture_.width);
    filled->out = in_place(kernel, w, Role::kOut, Role::kOutScales, inner);
  } else if (is_attention(sub_block)) {
    filled->in = PackedMatrix(context_, kernel, {&w[Role::kQ], &w[Role::kK], &w[Role::kV]}, Order::kStacked, cancel);
    filled->out = PackedMatrix(context_, kernel, {&w[Role::kO]}, Order::kStacked, cancel);
  } else {
    std::vector<const Tensor*> in{&w[Role::kUp]};
    if (architecture_.feed_forward(sub_block).gated) in.insert(in.begin(), &w[Role::kGate]);
    filled->in = PackedMatrix(context_, kernel, in, Order::kInterleaved, cancel);
    filled->out = PackedMatrix(context_, kernel, {&w[Role::kDown]}, Order::kStacked, cancel);
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

void CpuBackend::read(const States& states, const Map* map, const WriteRow& write) {
  const CpuStates& s = static_cast<const CpuStates&>(states);
  const int64_t width = architecture_.width;
  wide_.reserve(size_t(s.tokens() * width) * sizeof(float));
  float* y = wide_.as<float>();
  context_.pool.run(s.tokens(), CancelFlag(), [&](int t, int) {
    context_.kernels.rms_norm(s.row(t), final_norm_.data(), int(width), double(architecture_.output_norm.epsilon), y + t * width);
    if (!map) write(t, y + t * width);
  });
  if (!map) return;
  apply(static_cast<const CpuMap&>(*map), s.tokens(), y, y, CancelFlag());
  context_.pool.run(s.tokens(), CancelFlag(), [&](int t, int) { write(t, y + t * width); });
}

static auto kernel_of(Activation activation, const Kernels& kernels) {
  switch (activation) {
    case Activation::kRelu: return kernels.relu;
    case Activation::kGeluTanh: return kernels.gelu_tanh;
    case Activation::kGelu:
    case Activation::kQuickGelu:
    case Activation::kSilu: break;  // not among the attributes of cpu/device.cpp, so refused before
  }
  throw Error("ERR_ENGINE", std::string("no kernel for ") + kActivationNames[size_t(activation)]);
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
  const auto epilogue = [&](int64_t first_row, int rows, int64_t panel, float* const* tiles) {
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
  add_product(weights.out, scale, s, cancel);
  context_.finished(bench::kDown);
}

// rows_ = norm(h), packed
void CpuBackend::pack_normed(const Norm& norm, const Slot& weights, const CpuStates& s, const CancelFlag& cancel) {
  rows_.pack(context_, weights.in.kernel(), s.tokens(), architecture_.width, cancel, [&](int64_t r, float* out) {
    context_.kernels.rms_norm(s.row(r), weights.norm.data(), architecture_.width, double(norm.epsilon), out);
  });
}

// h += scale * rows_ W^T
void CpuBackend::add_product(const PackedMatrix& w, float scale, CpuStates& s, const CancelFlag& cancel) {
  const int columns = w.kernel().columns;
  multiply<1>(context_, rows_, w, cancel, [&](int64_t first_row, int rows, int64_t panel, float* const* tiles) {
    const int valid = int(std::min<int64_t>(columns, architecture_.width - panel * columns));
    context_.kernels.add_rows(tiles[0], columns, rows, valid, scale, s.row(first_row) + panel * columns, architecture_.width);
  });
}

// --- memory ---

size_t CpuBackend::weight_bytes() const {
  size_t bytes = final_norm_.size() * sizeof(float);
  for (const auto& slot : slots_) bytes += slot ? slot->bytes() : 0;
  return bytes;
}

size_t CpuBackend::workspace_bytes() const {
  size_t bytes = rows_.bytes() + wide_.bytes() + mixed_.bytes();
  for (const Buffer& buffer : context_.scratch) bytes += buffer.bytes();
  return bytes;
}

}  // namespace skrr::cpu
