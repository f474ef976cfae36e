// heads.cu against double: norms of heads and rotations, apart and together, in both orders of pairs, on some of a head.
#include "cuda/states.h"
#include "test/cuda/device_test.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

constexpr int kHeads = 5, kKeyHeads = 2;
constexpr float kEpsilon = 0.01f;

struct Kind {
  int head_dim, pairs;  // 0: no rotation
  bool interleaved, normed;
};

// A rope with everything that one may have.
Rope rope_of(const Kind& kind) {
  Rope rope;
  for (int j = 0; j < kind.pairs; j++) rope.frequencies.push_back(std::pow(100.0, -double(j) / kind.pairs));
  rope.interleaved = kind.interleaved;
  rope.magnitude = 1.25f;
  rope.query_beta = 0.5f, rope.query_period = 4;
  return rope;
}

// One head of one token.
std::vector<double> turned(const Kind& kind, std::vector<double> x, const std::vector<float>& weight, int position, bool query) {
  if (kind.normed) {
    double mean = 0;
    for (const double value : x) mean += value * value / double(x.size());
    for (size_t c = 0; c < x.size(); c++) x[c] *= double(weight[c]) / std::sqrt(mean + double(kEpsilon));
  }
  if (kind.pairs == 0) return x;
  const Rope rope = rope_of(kind);
  for (int j = 0; j < kind.pairs; j++) {
    double &a = x[size_t(kind.interleaved ? 2 * j : j)], &b = x[size_t(kind.interleaved ? 2 * j + 1 : j + kind.pairs)];
    const double angle = position * rope.frequencies[size_t(j)], first = a, second = b;
    a = 1.25 * (first * std::cos(angle) - second * std::sin(angle));
    b = 1.25 * (second * std::cos(angle) + first * std::sin(angle));
  }
  const double factor = query ? 1 + 0.5 * std::log(1 + position / 4) : 1;
  for (double& value : x) value *= factor;
  return x;
}

void heads_are_turned(const Kind& kind) {
  const int padded = (kind.head_dim + 7) / 8 * 8, all = kHeads + 2 * kKeyHeads, stride = all * padded;
  const std::vector<int> starts{0, 3, 5}, indices{0, 1, 2, 0, 1}, positions{7, 0, 900, 7, 3};
  const std::vector<uint8_t> visible(5, 1);
  std::vector<bf16> qkv = random_bf16(size_t(5 * stride), 1);
  for (size_t i = 0; i < qkv.size(); i++) {
    if (int(i) % padded >= kind.head_dim) qkv[i] = {0};
  }
  const std::vector<float> q_norm = random_floats(size_t(padded), 2), k_norm = random_floats(size_t(padded), 3);
  const OnDevice<float> q_device(q_norm), k_device(k_norm);
  const OnDevice<bf16> device(qkv);
  const auto pool = std::make_shared<Pool>(0, "");
  // The second of two ropes: the first, of more pairs, must not be mistaken for it.
  Rope other;
  other.frequencies.assign(40, 1);
  const BatchRows rows(*pool, {{Distance()}, {other, rope_of(kind)}}, {2, 5, starts.data(), indices.data(), visible.data(), positions.data()});
  Slot heads_slot{nullptr, nullptr, nullptr, nullptr, WeightFormat::kBF16};
  if (kind.normed) heads_slot.q_norm = q_device.data(), heads_slot.k_norm = k_device.data(), heads_slot.head_epsilon = kEpsilon;
  if (kind.pairs > 0) heads_slot.turn = {1, kind.pairs, kind.interleaved};
  const OneSlot slot(heads_slot, 1);
  const Heads heads{kHeads, kKeyHeads, padded};
  turn_heads(test_device().stream(), {slot.skipped(), device.data(), BatchRows::view(rows.extent(), rows.data()), heads, kind.head_dim});
  turn_heads(test_device().stream(), {slot.at(), device.data(), BatchRows::view(rows.extent(), rows.data()), heads, kind.head_dim});

  const std::vector<bf16> got = device.values();
  for (int t = 0; t < 5; t++) {
    for (int h = 0; h < all; h++) {
      const size_t first = size_t(t * stride + h * padded);
      std::vector<double> x;
      for (int c = 0; c < kind.head_dim; c++) x.push_back(real(qkv[first + size_t(c)]));
      const bool value = h >= kHeads + kKeyHeads, query = h < kHeads;
      if (!value) x = turned(kind, x, query ? q_norm : k_norm, positions[size_t(t)], query);
      for (int c = 0; c < padded; c++) {
        const double expected = c < kind.head_dim ? x[size_t(c)] : 0;
        CHECK_AT_MOST(std::fabs(real(got[first + size_t(c)]) - expected), value ? 0 : std::fabs(expected) * 0.0040 + 1e-5);
      }
    }
  }
  check_findings();
}

}  // namespace

int main() {
  skip_without_device();
  heads_are_turned({64, 32, false, true});
  heads_are_turned({80, 40, false, false});  // more than a warp's worth of pairs
  heads_are_turned({40, 10, true, true});    // half of a head
  heads_are_turned({21, 5, false, true});    // padded
  heads_are_turned({32, 0, false, true});
  return finish("heads");
}
