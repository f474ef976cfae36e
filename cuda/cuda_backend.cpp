#include "cuda/cuda_backend.h"

#include <algorithm>
#include <thread>

namespace skrr::cuda {
namespace {

constexpr size_t kMostRecordedPasses = 16;

Geometry with_kernels(const Geometry& g) {
  if (padded_head_dim(g.head_dim) == 0) {
    throw Error("ERR_ENGINE", "head dimension: found " + std::to_string(g.head_dim) + ", expected at most " +
                                  std::to_string(kMostHeadDim) + " on device cuda");
  }
  return g;
}

Buffer upload(Device& device, const std::vector<float>& values, const char* what) {
  Buffer buffer(device, values.size() * sizeof(float), what);
  if (!values.empty()) device.upload(buffer.as<float>(), values.data(), buffer.bytes());
  return buffer;
}

std::unique_ptr<Loader> make_loader(Device& device, const Shape& shape) {
  const int threads = std::clamp(int(std::thread::hardware_concurrency()), 1, Loader::kMostThreads);
  const size_t longest_row = size_t(std::max({shape.width, shape.inner, shape.ff})) * sizeof(bf16);
  return std::make_unique<Loader>(device, threads, std::max(Loader::kPieceBytes, longest_row));
}

struct CudaCompensation final : Compensation {
  std::shared_ptr<Pool> pool;  // keeps the device
  int rank = 0;
  Buffer factors;  // down, then up [rank, width] float32

  float* down() const { return factors.as<float>(); }
  float* up(int width) const { return down() + size_t(rank) * size_t(width); }
  size_t bytes() const override { return factors.bytes(); }
};

}  // namespace

CudaBackend::CudaBackend(const Geometry& geometry, const FixedTensors& fixed, const Options& options)
    : geometry_(with_kernels(geometry)),
      shape_(geometry),
      pool_(std::make_shared<Pool>(options.device)),
      forward_(device(), geometry),
      final_norm_(upload(device(), read_padded(fixed.final_norm, size_t(shape_.width)), "the final norm")),
      bias_(upload(device(), read_padded(fixed.bias, size_t(fixed.bias.rows * fixed.bias.columns)), "the position bias")),
      table_(device(), size_t(geometry.sub_blocks()) * sizeof(Step), "the layer table"),
      slots_(device(), size_t(slot_count(geometry)) * sizeof(Slot), "the weight slots"),
      loaded_(size_t(slot_count(geometry))) {
  device().clear(slots_.as<Slot>(), slots_.bytes());
}

// --- slots ---

void CudaBackend::load(int slot, Precision precision, const SubBlockTensors& tensors, const CancelFlag& cancel) {
  if (precision != Precision::kBF16) {
    throw Error("ERR_DEVICE", "the precision of sub-block " + std::to_string(sub_block_of(geometry_, slot)) +
                                  ": expected bf16, which is what device cuda holds weights in");
  }
  device().use();
  pool_->trim();
  if (!loader_) loader_ = make_loader(device(), shape_);
  LoadedSlot loaded = load_slot(device(), *loader_, geometry_, slot, tensors, bias_.as<float>(), cancel);
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
  states->rows = std::make_shared<BatchRows>(*pool_, geometry_, batch);
  const size_t needed = attention_shared_memory(shape_.head_dim, states->rows->extent().span);
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

// The whole table runs as a recorded pass. A part of it, as the search of plans asks for, is queued step by step: a pass
// would launch the kernels of all the other positions too.
void CudaBackend::run(const LayerTable& table, int from, int to, States& states, const CancelFlag& cancel) {
  CudaStates& s = static_cast<CudaStates&>(states);
  const BatchRows::Extent& extent = s.rows->extent();
  cancel.check();
  device().use();
  reserve(extent);
  write_table(table, from, to);
  if (from == 0 && to == geometry_.sub_blocks()) {
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
  return {table_.as<Step>(), slots_.as<Slot>(), position, geometry_.sub_blocks()};
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

// Makes room for a batch. What grows moves, and passes recorded on the old addresses are forgotten.
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
    workspace_ = Workspace(device(), geometry_, extent.tokens);
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
    for (int p = 0; p < geometry_.sub_blocks(); p++) forward_.step(step_at(p), rows, pass_hidden_.as<float>(), workspace_);
  });
  if (passes_.size() == kMostRecordedPasses) passes_.pop_back();
  passes_.push_front({extent, std::move(graph)});
  return *passes_.front().graph;
}

std::unique_ptr<Compensation> CudaBackend::load_compensation(const float* down, const float* up, int rank) {
  device().use();
  const size_t floats = size_t(rank) * size_t(geometry_.width);
  auto compensation = std::make_unique<CudaCompensation>();
  compensation->pool = pool_;
  compensation->rank = rank;
  compensation->factors = Buffer(device(), 2 * floats * sizeof(float), "the compensation");
  device().upload(compensation->down(), down, floats * sizeof(float));
  device().upload(compensation->up(geometry_.width), up, floats * sizeof(float));
  return compensation;
}

void CudaBackend::finish(const States& states, const Compensation* compensation, const WriteRow& write) {
  const CudaStates& s = static_cast<const CudaStates&>(states);
  device().use();
  reserve(s.rows->extent());
  embed(s, compensation, workspace_.result());
  const size_t width = size_t(geometry_.width);
  std::vector<float> rows(size_t(s.tokens()) * width);
  device().download(rows.data(), workspace_.result(), rows.size() * sizeof(float));
  for (int t = 0; t < s.tokens(); t++) write(t, &rows[size_t(t) * width]);
}

// The embedding of a state, [tokens, width] float32.
void CudaBackend::embed(const CudaStates& s, const Compensation* compensation, float* on_device) const {
  final_norm(device().stream(), final_norm_.as<float>(), s.hidden.as<float>(), on_device, s.tokens(), geometry_.width,
             shape_.width, geometry_.epsilon);
  if (!compensation) return;
  const auto& c = static_cast<const CudaCompensation&>(*compensation);
  compensate(device().stream(), c.down(), c.up(geometry_.width), c.rank, on_device, s.tokens(), geometry_.width);
}

// --- memory ---

size_t CudaBackend::weight_bytes() const {
  size_t bytes = final_norm_.bytes() + bias_.bytes();
  for (const LoadedSlot& loaded : loaded_) bytes += loaded.memory.bytes();
  return bytes;
}

size_t CudaBackend::workspace_bytes() const {
  return workspace_.bytes() + pass_hidden_.bytes() + pass_rows_.bytes() + table_.bytes() + slots_.bytes() +
         pool_->idle_bytes();
}

}  // namespace skrr::cuda
