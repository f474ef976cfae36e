#include "engine/encoder.h"

#include "engine/numeric.h"

namespace skrr {

Encoder::Encoder(const EncoderSpec& spec, const MakeBackend& make_backend)
    : spec_(spec), loaded_(size_t(slot_count(spec.geometry)), false) {
  for (const std::string& path : spec_.files) files_.push_back(std::make_unique<MappedFile>(path));
  fixed_ = {view(spec_.embedding), view(spec_.final_norm), view(spec_.bias)};
  backend_ = make_backend(spec_.geometry, fixed_);
  update_memory();
}

// --- weights ---

Tensor Encoder::view(const TensorSource& source) const {
  if (source.name.empty()) return {};
  const MappedFile& file = *files_.at(size_t(source.file));
  Tensor tensor{source.name, nullptr, source.dtype, source.rows, source.columns, source.scale, true};
  // Checked when the header was parsed; checked again because the file may have changed since.
  const size_t size = file.size();
  if (source.offset > size || tensor.bytes() > size - source.offset) {
    throw Error("ERR_CHECKPOINT", source.name + ": found a file that is " + std::to_string(size) +
                                      " bytes by now, expected the " + std::to_string(source.offset + tensor.bytes()) +
                                      " it had when it was opened");
  }
  tensor.data = file.data() + source.offset;
  return tensor;
}

SubBlockTensors Encoder::tensors_of(int slot) const {
  const SubBlockSource& s = spec_.sub_blocks[size_t(sub_block_of(spec_.geometry, slot))];
  return {view(s.norm), view(s.q),    view(s.k),    view(s.v), view(s.o),
          view(s.bias), view(s.wi_0), view(s.wi_1), view(s.wo), view(s.in, s.in_scales), view(s.out, s.out_scales)};
}

PackedTensor Encoder::view(const TensorSource& data, const TensorSource& scales) const {
  if (data.name.empty()) return {};
  const Tensor bytes = view(data), factors = view(scales);
  return {bytes.data, bytes.bytes(), reinterpret_cast<const float*>(factors.data), factors.bytes() / sizeof(float)};
}

// Of a sub-block that was packed before, the one it was packed in, unless the slot names another.
Precision Encoder::precision_in(int slot) const {
  const Geometry& g = spec_.geometry;
  const TensorSource& packed = spec_.sub_blocks[size_t(sub_block_of(g, slot))].in;
  if (packed.name.empty()) return precision_of(g, slot, spec_.precision);
  const Precision stored = packed.dtype == DType::kInt4 ? Precision::kInt4 : Precision::kInt8;
  if (precision_of(g, slot, stored) == stored) return stored;
  throw Error("ERR_PLAN", name_of(slot) + ": the checkpoint was exported in another precision");
}

static void for_each_matrix(const SubBlockTensors& t, void (*advise)(const std::byte*, size_t)) {
  for (const Tensor* tensor : {&t.q, &t.k, &t.v, &t.o, &t.wi_0, &t.wi_1, &t.wo}) {
    if (*tensor) advise(tensor->data, tensor->bytes());
  }
}

static void for_each_packed(const SubBlockTensors& t, void (*advise)(const std::byte*, size_t)) {
  for (const PackedTensor* tensor : {&t.in, &t.out}) {
    if (*tensor) advise(tensor->data, tensor->bytes);
  }
}

std::string Encoder::name_of(int slot) const {
  return "sub-block " + std::to_string(sub_block_of(spec_.geometry, slot));
}

static uint64_t bytes_of(const SubBlockTensors& t) {
  return t.norm.bytes() + t.q.bytes() + t.k.bytes() + t.v.bytes() + t.o.bytes() + t.bias.bytes() + t.wi_0.bytes() +
         t.wi_1.bytes() + t.wo.bytes() + t.in.bytes + t.out.bytes;
}

// Sub-blocks the disk is asked for before their turn: it is slow with one request at a time. Their pages are not resident yet.
constexpr size_t kReadAhead = 4;

void Encoder::load(const std::vector<int>& slots, const Progress& progress, const CancelFlag& cancel) {
  std::vector<int> missing;
  uint64_t total = 0, done = 0;
  for (int slot : slots) {
    if (loaded_.at(size_t(slot))) continue;
    missing.push_back(slot);
    total += bytes_of(tensors_of(slot));
  }
  progress(0, total);
  size_t asked = 0;  // of the disk
  for (size_t i = 0; i < missing.size(); i++) {
    const int slot = missing[i];
    const SubBlockTensors tensors = tensors_of(slot);
    for (; asked < missing.size() && asked <= i + kReadAhead; asked++) {
      for_each_matrix(tensors_of(missing[asked]), MappedFile::prefetch);
    }
    if (!tensors.norm) throw Error("ERR_PLAN", name_of(slot) + ": not in this checkpoint");
    backend_->load(slot, precision_in(slot), tensors, cancel);
    for_each_matrix(tensors, MappedFile::drop);
    loaded_[size_t(slot)] = true;
    update_memory();
    done += bytes_of(tensors);
    progress(done, total);
  }
}

void Encoder::keep_only(const std::vector<int>& keep) {
  std::vector<bool> kept(loaded_.size(), false);
  for (int s : keep) kept.at(size_t(s)) = true;
  for (size_t s = 0; s < loaded_.size(); s++) {
    if (!loaded_[s] || kept[s]) continue;
    backend_->unload(int(s));
    loaded_[s] = false;
    for_each_packed(tensors_of(int(s)), MappedFile::drop);
  }
  update_memory();
}

void Encoder::copy_packed(int slot, bool out, std::byte* data, size_t bytes, float* scales, size_t scale_count) const {
  if (!loaded_.at(size_t(slot))) throw Error("ERR_ENGINE", name_of(slot) + " is not loaded");
  const Backend::Packed packed = backend_->packed(slot);
  const PackedTensor& tensor = out ? packed.out : packed.in;
  if (tensor.bytes != bytes || tensor.scale_count != scale_count) {
    throw Error("ERR_ENGINE", name_of(slot) + ": found " + std::to_string(tensor.bytes) + " packed bytes, expected " +
                                  std::to_string(bytes));
  }
  std::memcpy(data, tensor.data, bytes);
  std::memcpy(scales, tensor.scales, scale_count * sizeof(float));
}

// --- the forward pass ---

void Encoder::encode(const Input& input, const LayerTable& table, const Compensation* compensation, const Output& output,
                     const CancelFlag& cancel) {
  cancel.check();
  const std::unique_ptr<States> states = begin(input);
  advance(*states, table, 0, int(table.size()), cancel);
  backend_->finish(*states, compensation, scatter(output));
}

std::unique_ptr<States> Encoder::begin(const Input& input) {
  return backend_->begin(input.batch, input.embeds ? rows_from(input.embeds, spec_.geometry.width) : gather(input));
}

void Encoder::advance(States& states, const LayerTable& table, int from, int to, const CancelFlag& cancel) {
  require_loaded(table, from, to);
  backend_->run(table, from, to, states, cancel);
  update_memory();
}

void Encoder::require_loaded(const LayerTable& table, int from, int to) const {
  for (int p = from; p < to; p++) {
    const int slot = table.at(size_t(p)).slot;
    if (slot != kSkipped && !loaded_.at(size_t(slot))) {
      throw Error("ERR_ENGINE", name_of(slot) + " is in the layer table but not loaded");
    }
    // Weights that are used where they lie must still be there: reading behind a file's end ends the process.
    if (slot != kSkipped && !spec_.sub_blocks[size_t(sub_block_of(spec_.geometry, slot))].in.name.empty()) tensors_of(slot);
  }
}

// Token rows, read from the mapped file as they are asked for: the table itself is never loaded.
ReadRow Encoder::gather(const Input& input) const {
  const int64_t width = spec_.geometry.width;
  return [ids = input.ids, width, table = view(spec_.embedding)](int token, float* row) {
    const int64_t id = ids[token];
    if (id < 0 || id >= table.rows) {
      throw Error("ERR_INPUT", "token id: found " + std::to_string(id) + ", expected 0 to " +
                                   std::to_string(table.rows - 1));
    }
    read_floats(table, id * width, width, row);
  };
}

// Packed rows to the rows of the result, in its format. Non-finite values never leave the engine.
WriteRow Encoder::scatter(const Output& output) const {
  const size_t width = size_t(spec_.geometry.width);
  return [output, width](int token, const float* row) {
    uint32_t all_finite = 1;
    for (size_t c = 0; c < width; c++) all_finite &= uint32_t(is_finite_bits(bits_of(row[c])));
    if (!all_finite) {
      throw Error("ERR_ENGINE", "the embedding of token " + std::to_string(token) +
                                    " is NaN or infinite: the weights or inputs overflow float32");
    }
    const size_t first = size_t(output.rows[token]) * width;
    switch (output.type) {
      case OutputType::kF32:
        std::memcpy(static_cast<float*>(output.data) + first, row, width * sizeof(float));
        break;
      case OutputType::kBF16:
        for (size_t c = 0; c < width; c++) static_cast<uint16_t*>(output.data)[first + c] = to_bf16(row[c]);
        break;
      case OutputType::kF16:
        for (size_t c = 0; c < width; c++) static_cast<uint16_t*>(output.data)[first + c] = to_f16(row[c]);
        break;
    }
  };
}

// --- memory ---

void Encoder::update_memory() {
  weights_.store(backend_->weight_bytes(), std::memory_order_relaxed);
  workspace_.store(backend_->workspace_bytes(), std::memory_order_relaxed);
}

Memory Encoder::memory() const {
  return {weights_.load(std::memory_order_relaxed), fixed_.embedding.bytes(),
          workspace_.load(std::memory_order_relaxed)};
}

}  // namespace skrr
