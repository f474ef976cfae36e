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

struct Values {
  Architecture architecture;
  std::vector<float> norm, q, k, v, o, table, gate, up, down;

  explicit Values(const Architecture& a) : architecture(a) {
    const Attention& attention = a.attention(0);
    const size_t width = size_t(a.width), inner = size_t(attention.inner()), ff = size_t(a.feed_forward(1).inner);
    norm = random_floats(width, 1), table = random_floats(size_t(attention.distance.buckets * attention.heads), 2);
    q = random_floats(inner * width, 3), k = random_floats(inner * width, 4), v = random_floats(inner * width, 5);
    o = random_floats(inner * width, 6);
    gate = random_floats(ff * width, 7), up = random_floats(ff * width, 8), down = random_floats(ff * width, 9);
  }

  skrr::Weights weights(int sub_block) const {
    const Attention& a = architecture.attention(0);
    const FeedForward& f = architecture.feed_forward(1);
    skrr::Weights w;
    w[Role::kNorm] = tensor(norm, 1);
    if (is_attention(sub_block)) {
      w[Role::kQ] = tensor(q, a.inner()), w[Role::kK] = tensor(k, a.inner()), w[Role::kV] = tensor(v, a.inner());
      w[Role::kO] = tensor(o, architecture.width), w[Role::kDistance] = tensor(table, a.distance.buckets);
    } else {
      w[Role::kUp] = tensor(up, f.inner), w[Role::kDown] = tensor(down, architecture.width);
      if (f.gated) w[Role::kGate] = tensor(gate, f.inner);
    }
    return w;
  }

 private:
  static Tensor tensor(const std::vector<float>& values, int64_t rows) {
    return view_of("weights", values.data(), rows, int64_t(values.size()) / rows);
  }
};

LoadedSlot load(Loader& loader, const Values& w, int sub_block, const CancelFlag& cancel = CancelFlag()) {
  return load_slot(test_device(), loader, w.architecture, sub_block, w.weights(sub_block), cancel);
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

void an_attention_lies_as_it_is_read(Loader& loader, const Architecture& architecture) {
  const Values w(architecture);
  const Shape shape(architecture);
  const Attention& a = architecture.attention(0);
  const LoadedSlot loaded = load(loader, w, 0);
  const size_t width = size_t(shape.width), inner = size_t(shape.inner);
  const std::vector<bf16> in = downloaded(loaded.slot.in, 3 * inner * width), out = downloaded(loaded.slot.out, width * inner);
  const auto same = [](int i) { return i; };
  const auto of_head = [&](int i) { return i / a.head_dim * shape.heads.head_dim + i % a.head_dim; };
  int part = 0;
  for (const auto* matrix : {&w.q, &w.k, &w.v}) {
    lies_at(in, width, *matrix, architecture.width, [&](int r) { return part * shape.inner + of_head(r); }, same);
    part++;
  }
  lies_at(out, inner, w.o, a.inner(), same, of_head);
  CHECK(zeros(in) == in.size() - 3 * w.q.size());
  CHECK(zeros(out) == out.size() - w.o.size());
  CHECK(downloaded(loaded.slot.distance, w.table.size()) == w.table);
}

void a_feed_forward_lies_as_it_is_read(Loader& loader, const Architecture& architecture) {
  const Values w(architecture);
  const Shape shape(architecture);
  const bool gated = shape.gated;
  const LoadedSlot loaded = load(loader, w, 1);
  const size_t width = size_t(shape.width), ff = size_t(shape.ff), up = size_t(shape.up);
  const std::vector<bf16> in = downloaded(loaded.slot.in, up * width), out = downloaded(loaded.slot.out, width * ff);
  const auto same = [](int i) { return i; };
  if (gated) {
    lies_at(in, width, w.gate, architecture.width, [](int r) { return r / 8 * 16 + r % 8; }, same);
    lies_at(in, width, w.up, architecture.width, [](int r) { return r / 8 * 16 + 8 + r % 8; }, same);
  } else {
    lies_at(in, width, w.up, architecture.width, same, same);
  }
  lies_at(out, ff, w.down, int(w.down.size()) / architecture.width, same, same);
  CHECK(zeros(in) == in.size() - (gated ? 2 : 1) * w.up.size());
  CHECK(zeros(out) == out.size() - w.down.size());
  std::vector<float> norm = w.norm;
  norm.resize(width);
  CHECK(downloaded(loaded.slot.norm, width) == norm);
}

// `fails` is called with a loader in the middle of other work, and must throw this.
template <class Fails>
void nothing_is_left_behind(const char* message, Fails fails) {
  const Values good(encoder_suite::kSmall);
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
  const Architecture odd = models::architecture_of({2, 43, 3, 20, 53});
  for (int time = 0; time < 5; time++) {  // threads never meet in the same order
    Loader loader(test_device(), kThreads, kPieceBytes);
    for (const Architecture& a : {encoder_suite::kSmall, encoder_suite::kUngated, encoder_suite::kGated, odd}) {
      an_attention_lies_as_it_is_read(loader, a);
      a_feed_forward_lies_as_it_is_read(loader, a);
    }
  }
  check_findings();

  Values broken(encoder_suite::kSmall);
  broken.down[broken.down.size() / 2] = std::numeric_limits<float>::quiet_NaN();
  nothing_is_left_behind("weights: found a weight that is NaN", [&](Loader& loader) { load(loader, broken, 1); });
  const Values good(encoder_suite::kSmall);
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
