#include "engine/encoder.h"

#include <algorithm>
#include <cstring>

#include "engine/numeric.h"

namespace skrr {

Encoder::Encoder(const EncoderSpec& spec, const MakeBackend& make_backend)
    : spec_(spec),
      packed_(size_t(slot_count(spec.architecture))),
      loaded_(size_t(slot_count(spec.architecture)), false),
      leases_(std::make_shared<Leases>(loaded_.size())) {
  for (const std::string& path : spec_.files) files_.push_back(std::make_unique<WeightFile>(path));
  fixed_ = {view(spec_.embedding), view(spec_.positions), view(spec_.final_norm), view(spec_.final_norm_bias)};
  backend_ = make_backend(spec_.architecture, fixed_);
  if (const Tensor projection = view(spec_.projection)) projection_ = backend_->load_map({{{projection, {}}}, false});
  update_memory();
}

// --- weights ---

Tensor Encoder::view(const TensorSource& source) const {
  if (source.name.empty()) return {};
  const WeightFile& file = *files_.at(size_t(source.file));
  Tensor tensor{source.name, nullptr, source.encoding, source.rows, source.columns, source.scale, &file, source.offset, source.plus};
  // Checked when the header was parsed; checked again because the file may have changed since.
  file.require(source.name, source.offset, tensor.bytes());
  return tensor;
}

const SubBlockSource& Encoder::source_of(int slot) const { return spec_.sub_blocks.at(size_t(sub_block_of(slot))); }

Weights Encoder::weights_of(int slot) const {
  const SubBlockSource& source = source_of(slot);
  Weights weights;
  for (size_t role = 0; role < weights.all.size(); role++) weights.all[role] = view(source.all[role]);
  return weights;
}

static std::string name_of(int slot) { return "sub-block " + std::to_string(sub_block_of(slot)); }

// A sub-block that is packed in its file can only be held in the precision it was packed in.
void Encoder::require_stored_precision(int slot) const {
  const TensorSource& packed = source_of(slot)[Role::kIn];
  if (packed.name.empty()) return;
  const Precision stored = packed.encoding == Encoding::kInt4 ? Precision::kInt4 : Precision::kInt8;
  if (precision_of(slot) == stored) return;
  throw Error("ERR_PLAN", name_of(slot) + ": the checkpoint was exported in another precision");
}

// What the load of a slot will read. (What is mapped is read when it is used.)
void Encoder::prefetch(int slot) const {
  const Weights weights = weights_of(slot);
  for (size_t role = 0; role < weights.all.size(); role++) {
    const Tensor& tensor = weights.all[role];
    const bool mapped = spec_.mapped && kind_of(Role(role)) == RoleFacts::kPacked;
    if (tensor && !mapped) tensor.file->prefetch(tensor.offset, tensor.bytes());
  }
}

// Puts packed weights where a backend can use them: in the mapped file, or in memory of their own, which is returned.
std::vector<Buffer> Encoder::place_packed(int slot, Weights& weights, const CancelFlag& cancel) const {
  constexpr size_t kPiece = 1 << 20;  // between two looks at the flag
  std::vector<Buffer> copies;
  for (size_t role = 0; role < weights.all.size(); role++) {
    Tensor& tensor = weights.all[role];
    if (!tensor || kind_of(Role(role)) != RoleFacts::kPacked) continue;
    if (spec_.mapped) {
      const size_t file = size_t(source_of(slot).all[role].file);
      tensor.data = files_[file]->map(tensor.name, tensor.offset, tensor.bytes());
      continue;
    }
    std::byte* copy = copies.emplace_back(tensor.bytes()).as<std::byte>();
    for (size_t done = 0; done < tensor.bytes(); done += kPiece) {
      cancel.check();
      tensor.file->read(tensor.name, tensor.offset + done, std::min(kPiece, tensor.bytes() - done), copy + done);
    }
    tensor.data = copy;
  }
  return copies;
}

void Encoder::drop_packed(int slot) {
  packed_[size_t(slot)].clear();
  for (size_t role = 0; role < size_t(kRoles); role++) {
    const TensorSource& source = source_of(slot).all[role];
    if (source.name.empty() || kind_of(Role(role)) != RoleFacts::kPacked) continue;
    files_[size_t(source.file)]->drop(source.offset, bytes_of(source.encoding, source.rows * source.columns));
  }
}

static uint64_t bytes_of(const Weights& weights) {
  uint64_t bytes = 0;
  for (const Tensor& tensor : weights.all) bytes += tensor.bytes();
  return bytes;
}

// The disk is asked for this many sub-blocks ahead, because it is slow with one request at a time. Their pages are not resident yet.
constexpr size_t kReadAhead = 4;

std::unique_ptr<LoadedPlan> Encoder::load_plan(const LayerTable& table, const MapSpec* map, const Progress& progress,
                                               const CancelFlag& cancel) {
  load(slots_of(table), progress, cancel);
  return std::make_unique<LoadedPlan>(table, map ? backend_->load_map(*map) : nullptr, leases_);
}

void Encoder::load(const std::vector<int>& slots, const Progress& progress, const CancelFlag& cancel) {
  std::vector<int> missing;
  uint64_t total = 0, done = 0;
  for (int slot : slots) {
    if (loaded_.at(size_t(slot))) continue;
    missing.push_back(slot);
    total += bytes_of(weights_of(slot));
  }
  progress(0, total);
  size_t asked = 0;  // sub-blocks that the disk was asked for
  for (size_t i = 0; i < missing.size(); i++) {
    const int slot = missing[i];
    Weights weights = weights_of(slot);
    for (; asked < missing.size() && asked <= i + kReadAhead; asked++) {
      prefetch(missing[asked]);
    }
    if (!weights[Role::kNorm]) throw Error("ERR_PLAN", name_of(slot) + ": not in this checkpoint");
    require_stored_precision(slot);
    std::vector<Buffer> packed = place_packed(slot, weights, cancel);
    backend_->load(slot, weights, cancel);
    packed_[size_t(slot)] = std::move(packed);
    loaded_[size_t(slot)] = true;
    update_memory();
    done += bytes_of(weights);
    progress(done, total);
  }
}

void Encoder::trim() {
  for (size_t slot = 0; slot < loaded_.size(); slot++) {
    if (!loaded_[slot] || (*leases_)[slot] > 0) continue;
    backend_->unload(int(slot));
    loaded_[slot] = false;
    drop_packed(int(slot));
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

void Encoder::encode(const Input& input, const LoadedPlan& plan, const std::vector<Output>& outputs, const CancelFlag& cancel) {
  cancel.check();
  const std::unique_ptr<States> states = begin(input);
  int done = 0;
  for (const Output& output : outputs) {
    if (output.projected && !projection_) throw Error("ERR_ENGINE", "the encoder was opened without its projection");
    advance(*states, plan, done, output.after, cancel);
    done = output.after;
    Maps maps;
    if (output.norm && output.after == int(plan.table().size())) maps.push_back(plan.map());
    if (output.projected) maps.push_back(projection_.get());
    const int64_t columns = output.projected ? spec_.projection.rows : spec_.architecture.width;
    backend_->read(*states, output.norm, maps, scatter(output, columns));
  }
}

std::unique_ptr<States> Encoder::begin(const Input& input) {
  ReadRow rows = input.embeds ? rows_from(input.embeds, spec_.architecture.width) : gather(input);
  return backend_->begin(input.batch, with_positions(input.batch, std::move(rows)));
}

void Encoder::advance(States& states, const LoadedPlan& plan, int from, int to, const CancelFlag& cancel) {
  require_weights_in_place(plan, from, to);
  backend_->run(plan.table(), from, to, states, cancel);
  update_memory();
}

// Weights that are used where they lie must still be there: reading behind a file's end ends the process. (It still does where the
// file is cut after this: see WeightFile.)
void Encoder::require_weights_in_place(const LoadedPlan& plan, int from, int to) const {
  if (!spec_.mapped) return;
  for (int p = from; p < to; p++) {
    const int slot = plan.table().at(size_t(p)).slot;
    if (slot != kSkipped && !source_of(slot)[Role::kIn].name.empty()) weights_of(slot);
  }
}

static int64_t require_row(const char* what, int64_t index, const Tensor& table) {
  if (index >= 0 && index < table.rows) return index;
  throw Error("ERR_INPUT", std::string(what) + ": found " + std::to_string(index) + ", expected 0 to " + std::to_string(table.rows - 1));
}

// Reads token rows from the file on demand: the embedding as a whole is never loaded. They are scaled; rows that a caller gives
// in their place are not, as in Hugging Face's Gemma.
ReadRow Encoder::gather(const Input& input) const {
  const int64_t width = spec_.architecture.width;
  const float scale = spec_.architecture.input_scale;
  return [ids = input.ids, width, scale, embedding = view(spec_.embedding)](int token, float* row) {
    read_floats(embedding, require_row("token id", ids[token], embedding) * width, width, row);
    for (int64_t c = 0; scale != 1 && c < width; c++) row[c] *= scale;
  };
}

// What `read` reads, plus the row of the position table where the encoder has one.
ReadRow Encoder::with_positions(const Batch& batch, ReadRow read) const {
  if (spec_.architecture.positions == 0) return read;
  const int64_t width = spec_.architecture.width;
  const int32_t* positions = batch.positions ? batch.positions : batch.indices;
  return [positions, width, table = view(spec_.positions), read = std::move(read)](int token, float* row) {
    std::vector<float> added(static_cast<size_t>(width));
    read_floats(table, require_row("position", positions[token], table) * width, width, added.data());
    read(token, row);
    for (int64_t c = 0; c < width; c++) row[c] += added[size_t(c)];
  };
}

// Writes packed rows to the rows of the result, in its format. Non-finite values never leave the engine.
WriteRow Encoder::scatter(const Output& output, int64_t columns) const {
  return [output, columns](int token, const float* row) {
    const int64_t to = output.rows[token];
    if (to < 0) return;
    uint32_t all_finite = 1;
    for (int64_t c = 0; c < columns; c++) all_finite &= uint32_t(is_finite_bits(bits_of(row[c])));
    if (!all_finite) {
      throw Error("ERR_ENGINE", "the embedding of token " + std::to_string(token) +
                                    " is NaN or infinite: the weights or inputs overflow float32");
    }
    const auto write = [&](auto* data, auto convert) {
      data += to * output.stride + output.first;
      for (int64_t c = 0; c < columns; c++) data[c * output.step] = convert(row[c]);
    };
    switch (output.type) {
      case OutputType::kF32: write(static_cast<float*>(output.data), [](float x) { return x; }); break;
      case OutputType::kBF16: write(static_cast<uint16_t*>(output.data), to_bf16); break;
      case OutputType::kF16: write(static_cast<uint16_t*>(output.data), to_f16); break;
    }
  };
}

// --- memory ---

void Encoder::update_memory() {
  weight_bytes_.store(backend_->weight_bytes() + (projection_ ? projection_->bytes() : 0), std::memory_order_relaxed);
  workspace_.store(backend_->workspace_bytes(), std::memory_order_relaxed);
}

Memory Encoder::memory() const {
  return {weight_bytes_.load(std::memory_order_relaxed), fixed_.embedding.bytes(),
          workspace_.load(std::memory_order_relaxed)};
}

}  // namespace skrr
