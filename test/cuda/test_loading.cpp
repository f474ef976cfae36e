// Weights on their way to the device: in many pieces, by several threads, through memory that is used again and again, they must
// lie as the products read them; and an error on the way leaves nothing behind.
#include <limits>

#include "cuda/weights.h"
#include "test/cuda/device_test.h"
#include "test/engine/encoder_suite.h"
#include "test/simt/device_memory.h"
#include "test/simt/staging.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

constexpr int kThreads = 3;
constexpr size_t kPieceBytes = 512;  // a few rows of these models

struct Weights {
  Geometry geometry;
  std::vector<float> norm, q, k, v, o, bias, wi_0, wi_1, wo;

  explicit Weights(const Geometry& g) : geometry(g) {
    const size_t width = size_t(g.width), inner = size_t(g.inner()), ff = size_t(g.ff);
    norm = random_floats(width, 1), bias = random_floats(size_t(g.buckets * g.heads), 2);
    q = random_floats(inner * width, 3), k = random_floats(inner * width, 4), v = random_floats(inner * width, 5);
    o = random_floats(inner * width, 6);
    wi_0 = random_floats(ff * width, 7), wi_1 = random_floats(ff * width, 8), wo = random_floats(ff * width, 9);
  }

  SubBlockTensors tensors(int sub_block) const {
    const Geometry& g = geometry;
    SubBlockTensors t;
    t.norm = tensor(norm, 1);
    if (is_attention(sub_block)) {
      t.q = tensor(q, g.inner()), t.k = tensor(k, g.inner()), t.v = tensor(v, g.inner()), t.o = tensor(o, g.width);
      if (g.bias_per_block) t.bias = tensor(bias, g.buckets);
    } else {
      t.wi_0 = tensor(wi_0, g.ff), t.wo = tensor(wo, g.width);
      if (g.gated) t.wi_1 = tensor(wi_1, g.ff);
    }
    return t;
  }

 private:
  static Tensor tensor(const std::vector<float>& values, int64_t rows) {
    return {"weights", reinterpret_cast<const std::byte*>(values.data()), DType::kF32, rows, int64_t(values.size()) / rows, 1};
  }
};

LoadedSlot load(Loader& loader, const Weights& w, int sub_block, const CancelFlag& cancel = CancelFlag()) {
  return load_slot(test_device(), loader, w.geometry, sub_block, w.tensors(sub_block), nullptr, cancel);
}

template <class T>
std::vector<T> downloaded(const T* from, size_t count) {
  std::vector<T> values(count);
  test_device().download(values.data(), from, count * sizeof(T));
  return values;
}

// A matrix [rows, columns] of the checkpoint inside one of the device [.., stride]: element (r, c) at (row(r), column(c)).
template <class Row, class Column>
void lies_at(const std::vector<bf16>& packed, size_t stride, const std::vector<float>& values, int columns, Row row, Column column) {
  for (size_t i = 0; i < values.size(); i++) {
    const size_t at = size_t(row(int(i) / columns)) * stride + size_t(column(int(i) % columns));
    CHECK(packed[at].bits == to_bf16(values[i]));
  }
}

size_t zeros(const std::vector<bf16>& packed) {
  return size_t(std::count_if(packed.begin(), packed.end(), [](bf16 value) { return value.bits == 0; }));
}

void an_attention_lies_as_it_is_read(Loader& loader, const Geometry& g) {
  const Weights w(g);
  const Shape shape(g);
  const LoadedSlot loaded = load(loader, w, 0);
  const size_t width = size_t(shape.width), inner = size_t(shape.inner);
  const std::vector<bf16> in = downloaded(loaded.slot.in, 3 * inner * width), out = downloaded(loaded.slot.out, width * inner);
  const auto same = [](int i) { return i; };
  const auto of_head = [&](int i) { return i / g.head_dim * shape.head_dim + i % g.head_dim; };
  int part = 0;
  for (const auto* matrix : {&w.q, &w.k, &w.v}) {
    lies_at(in, width, *matrix, g.width, [&](int r) { return part * shape.inner + of_head(r); }, same);
    part++;
  }
  lies_at(out, inner, w.o, g.inner(), same, of_head);
  CHECK(zeros(in) == in.size() - 3 * w.q.size());
  CHECK(zeros(out) == out.size() - w.o.size());
  if (g.bias_per_block) CHECK(downloaded(loaded.slot.bias, w.bias.size()) == w.bias);
}

void a_feed_forward_lies_as_it_is_read(Loader& loader, const Geometry& g) {
  const Weights w(g);
  const Shape shape(g);
  const LoadedSlot loaded = load(loader, w, 1);
  const size_t width = size_t(shape.width), ff = size_t(shape.ff), up = size_t(shape.up);
  const std::vector<bf16> in = downloaded(loaded.slot.in, up * width), out = downloaded(loaded.slot.out, width * ff);
  const auto same = [](int i) { return i; };
  if (g.gated) {
    lies_at(in, width, w.wi_0, g.width, [](int r) { return r / 8 * 16 + r % 8; }, same);
    lies_at(in, width, w.wi_1, g.width, [](int r) { return r / 8 * 16 + 8 + r % 8; }, same);
  } else {
    lies_at(in, width, w.wi_0, g.width, same, same);
  }
  lies_at(out, ff, w.wo, g.ff, same, same);
  CHECK(zeros(in) == in.size() - (g.gated ? 2 : 1) * w.wi_0.size());
  CHECK(zeros(out) == out.size() - w.wo.size());
  std::vector<float> norm = w.norm;
  norm.resize(width);
  CHECK(downloaded(loaded.slot.norm, width) == norm);
}

// `fails` is called with a loader in the middle of other work, and must throw this.
template <class Fails>
void nothing_is_left_behind(const char* message, Fails fails) {
  const Weights good(encoder_suite::kT5);
  const size_t before = simt::device_bytes_in_use();
  {
    Loader loader(test_device(), kThreads, kPieceBytes);
    std::string found;
    try {
      fails(loader);
    } catch (const Error& error) {
      found = error.what();
    } catch (const Cancelled&) {
      found = "cancelled";
    }
    CHECK(found.find(message) == 0);
    CHECK(simt::device_bytes_in_use() == before);
    load(loader, good, 1);
  }
  CHECK(simt::device_bytes_in_use() == before);
  CHECK(simt::staging_bytes_in_use() == 0);
  check_findings();
}

}  // namespace

int main() {
  const Geometry odd{2, 43, 3, 20, 53, 50, 32, 128, 1e-6f, Activation::kGeluTanh, true, false};
  for (int time = 0; time < 5; time++) {  // threads never meet in the same order
    Loader loader(test_device(), kThreads, kPieceBytes);
    for (const Geometry& g : {encoder_suite::kT5, encoder_suite::kV10, encoder_suite::kUmt5, odd}) {
      an_attention_lies_as_it_is_read(loader, g);
      a_feed_forward_lies_as_it_is_read(loader, g);
    }
  }
  check_findings();

  Weights broken(encoder_suite::kT5);
  broken.wo[broken.wo.size() / 2] = std::numeric_limits<float>::quiet_NaN();
  nothing_is_left_behind("weights: found a weight that is NaN", [&](Loader& loader) { load(loader, broken, 1); });
  const Weights good(encoder_suite::kT5);
  CancelFlag cancelled;
  cancelled.raise();
  nothing_is_left_behind("cancelled", [&](Loader& loader) { load(loader, good, 0, cancelled); });
  nothing_is_left_behind("out of device memory: sub-block 0 needs", [&](Loader& loader) {
    simt::limit_device_memory(simt::device_bytes_in_use() + 1000);
    const auto memory_again = [](void*) { simt::limit_device_memory(~size_t(0)); };
    const std::unique_ptr<Loader, decltype(memory_again)> until_the_end(&loader, memory_again);
    load(loader, good, 0);
  });
  return finish("loading");
}
