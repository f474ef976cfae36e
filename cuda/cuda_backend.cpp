#include "cuda/cuda_backend.h"

#include <algorithm>

#include "cuda/device.h"
#include "engine/processors.h"

namespace skrr::cuda {
namespace {

constexpr size_t kMaxRecordedPasses = 16;

Buffer upload(Gpu& device, const std::vector<float>& values, const char* what) {
  Buffer buffer(device, values.size() * sizeof(float), what);
  if (!values.empty()) device.upload(buffer.as<float>(), values.data(), buffer.bytes());
  return buffer;
}

std::unique_ptr<Loader> make_loader(Gpu& device, const Shape& shape) {
  const int threads = std::min(available_threads(), Loader::kMaxThreads);
  const size_t longest_row = size_t(std::max({shape.width, shape.inner, shape.ff})) * sizeof(bf16);
  return std::make_unique<Loader>(device, threads, std::max(Loader::kPieceBytes, longest_row));
}

}  // namespace

CudaBackend::CudaBackend(const Architecture& architecture, const FixedTensors& fixed, const Options& options)
    : architecture_(architecture),
      shape_(architecture),
      sights_(architecture),
      pool_(std::make_shared<Pool>(options.device, options.products)),
      facts_(facts_of(device().facts(), options.device)),
      forward_(device(), shape_),
      final_norm_(upload(device(), read_padded(fixed.final_norm, size_t(shape_.width)), "the final norm")),
      final_norm_bias_(upload(device(), read_padded(fixed.final_norm_bias, final_bias_floats(architecture)), "the final norm's bias")),
      table_(device(), size_t(architecture.sub_blocks()) * sizeof(Step), "the layer table"),
      slots_(device(), size_t(slot_count(architecture)) * sizeof(Slot), "the weight slots"),
      loaded_(size_t(slot_count(architecture))) {
  device().clear(slots_.as<Slot>(), slots_.bytes());
}

// --- slots ---

void CudaBackend::load(int slot, const Weights& weights, const CancelFlag& cancel) {
  require_precision(facts_, slot);
  device().use();
  pool_->trim();
  if (!loader_) loader_ = make_loader(device(), shape_);
  LoadedSlot loaded = load_slot(device(), *loader_, architecture_, sub_block_of(slot), weights, cancel);
  device().upload(slots_.as<Slot>() + slot, &loaded.slot, sizeof(Slot));
  loaded_[size_t(slot)] = std::move(loaded);
}

void CudaBackend::unload(int slot) {
  device().use();
  device().clear(slots_.as<Slot>() + slot, sizeof(Slot));
  loaded_[size_t(slot)] = LoadedSlot();
}

Backend::Packed CudaBackend::packed(int) const {
  throw Error("ERR_DEVICE", "weights are packed for files on device cpu only");
}

// --- the forward pass ---

std::unique_ptr<States> CudaBackend::begin(const Batch& batch, const ReadRow& read) {
  device().use();
  loader_.reset();  // loading is over
  auto states = std::make_unique<CudaStates>();
  states->rows = std::make_shared<BatchRows>(*pool_, sights_, batch);
  const size_t needed = attention_shared_memory(shape_.heads.head_dim, states->rows->extent().span, shape_.table);
  if (needed > device().shared_memory()) {
    throw Error("ERR_INPUT", "sequence length: found " + std::to_string(states->rows->extent().longest) +
                                 " tokens with a position bias too wide for the shared memory of " + device().name());
  }
  const size_t padded = size_t(shape_.width);
  std::vector<float> rows(size_t(batch.tokens) * padded);
  for (int t = 0; t < batch.tokens; t++) read(t, &rows[size_t(t) * padded]);
  states->hidden = pool_->take(Pool::kStream, rows.size() * sizeof(float));
  device().upload(states->hidden.as<float>(), rows.data(), states->hidden.bytes());
  return states;
}

// A run over the whole layer table is a recorded pass. A run over part of it, which the search of plans asks for, is queued
// step by step: a pass would launch the kernels of all other positions too.
void CudaBackend::run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) {
  CudaStates& s = static_cast<CudaStates&>(states);
  const BatchRows::Extent& extent = s.rows->extent();
  cancel.check();
  device().use();
  reserve(extent);
  write_table(table, from, to);
  if (from == 0 && to == architecture_.sub_blocks()) {
    Graph& pass = recorded_pass(extent);
    device().copy(pass_rows_.as<int>(), s.rows->data(), s.rows->bytes());
    device().copy(pass_hidden_.as<float>(), s.hidden.as<float>(), s.hidden.bytes());
    pass.launch();
    device().copy(s.hidden.as<float>(), pass_hidden_.as<float>(), s.hidden.bytes());
  } else {
    forward_.begin(step_at(0), extent.tokens, s.hidden.as<float>(), workspace_);
    for (int position = from; position < to; position++) {
      if (table[size_t(position)].slot == kSkipped) continue;
      cancel.check();
      forward_.step(step_at(position), BatchRows::view(extent, s.rows->data()), s.hidden.as<float>(), workspace_);
    }
  }
  device().wait();
}

StepRef CudaBackend::step_at(int position) const {
  return {table_.as<Step>(), slots_.as<Slot>(), position, architecture_.sub_blocks()};
}

// Positions outside [from, to) are skipped.
void CudaBackend::write_table(const LayerTable& table, int from, int to) {
  std::vector<Step> steps(table.size(), Step{kSkipped, 0, kSkipped});
  int next = kSkipped;
  for (int p = to - 1; p >= from; p--) {
    const auto& [slot, scale] = table[size_t(p)];
    steps[size_t(p)] = {slot, scale, next};
    if (slot != kSkipped) next = slot;
  }
  device().upload(table_.as<Step>(), steps.data(), steps.size() * sizeof(Step));
}

// Makes room for a batch. A buffer that grows moves, so passes recorded on old addresses are forgotten.
void CudaBackend::reserve(const BatchRows::Extent& extent) {
  const auto forget = [&] {
    passes_.clear();
    pool_->trim();
  };
  const auto grow = [&](Buffer& buffer, size_t bytes, const char* what) {
    if (bytes <= buffer.bytes()) return;
    forget();
    buffer = Buffer();  // freed first: both need not fit
    buffer = Buffer(device(), bytes, what);
  };
  if (extent.tokens > workspace_.tokens()) {
    forget();
    workspace_ = Workspace();
    workspace_ = Workspace(device(), shape_, extent.tokens);
  }
  grow(pass_hidden_, size_t(extent.tokens) * size_t(shape_.width) * sizeof(float), "the stream of recorded passes");
  grow(pass_rows_, extent.ints() * sizeof(int), "the rows of recorded passes");
}

Graph& CudaBackend::recorded_pass(const BatchRows::Extent& extent) {
  const auto known =
      std::find_if(passes_.begin(), passes_.end(), [&](const RecordedPass& p) { return p.extent == extent; });
  if (known != passes_.end()) {
    passes_.splice(passes_.begin(), passes_, known);
    return *passes_.front().graph;
  }
  const Rows rows = BatchRows::view(extent, pass_rows_.as<int>());
  auto graph = device().record([&] {
    forward_.begin(step_at(0), extent.tokens, pass_hidden_.as<float>(), workspace_);
    for (int p = 0; p < architecture_.sub_blocks(); p++) forward_.step(step_at(p), rows, pass_hidden_.as<float>(), workspace_);
  });
  if (passes_.size() == kMaxRecordedPasses) passes_.pop_back();
  passes_.push_front({extent, std::move(graph)});
  return *passes_.front().graph;
}

// The embedding of a state, [tokens, width] float32.
void CudaBackend::embed(const CudaStates& s, float* on_device) const {
  const Norm& norm = architecture_.output_norm;
  const float *weight = final_norm_.as<float>(), *h = s.hidden.as<float>();
  if (norm.kind == Norm::Kind::kRms) {
    final_norm(device().stream(), weight, h, on_device, s.tokens(), architecture_.width, shape_.width, norm.epsilon);
  } else {
    final_layer_norm(device().stream(), weight, final_norm_bias_.as<float>(), h, on_device, s.tokens(), architecture_.width,
                     shape_.width, norm.epsilon);
  }
}

// --- memory ---

size_t CudaBackend::weight_bytes() const {
  size_t bytes = final_norm_.bytes() + final_norm_bias_.bytes();
  for (const LoadedSlot& loaded : loaded_) bytes += loaded.memory.bytes();
  return bytes;
}

size_t CudaBackend::workspace_bytes() const {
  return workspace_.bytes() + pass_hidden_.bytes() + pass_rows_.bytes() + table_.bytes() + slots_.bytes() +
         pool_->idle_bytes();
}

}  // namespace skrr::cuda
