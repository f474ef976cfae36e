#include "engine/agreement.h"

#include <cmath>
#include <list>
#include <random>
#include <vector>

namespace skrr {
namespace {

// Bf16 operands against float32: the emulated device differs by 0.0075; one wrong row of the batch's 139 would make it 0.11.
constexpr double kMaxDisagreement = 0.03;

constexpr int kWidth = 72, kInner = 136;

Architecture small() {
  Architecture a;
  a.width = kWidth;
  a.output_norm = {Norm::Kind::kRms, 1e-6f};
  Block block;
  block.attention.norm = block.feed_forward.norm = a.output_norm;
  block.attention.heads = block.attention.key_heads = 2, block.attention.head_dim = 64;
  block.attention.distance.buckets = 32, block.attention.distance.max_distance = 128;
  block.feed_forward.inner = kInner, block.feed_forward.gated = true;
  a.blocks = {block, block};
  return a;
}

constexpr int kLong = 130, kShort = 9, kTokens = kLong + kShort;  // the first is more than one tile of any kernel

// Each tensor keeps its input at about its size, so that every tensor shows in the result.
class RandomWeights {
 public:
  Tensor norm() { return tensor(1, kWidth, 0.5f, 1); }
  Tensor matrix(int rows, int columns, float gain = 1) { return tensor(rows, columns, gain * std::sqrt(3.0f / float(columns)), 0); }
  Tensor distance_table(int buckets, int heads) { return tensor(buckets, heads, 1, 0); }

 private:
  // Uniform in middle +- spread, from a generator whose numbers the C++ standard fixes.
  Tensor tensor(int rows, int columns, float spread, float middle) {
    std::vector<float>& values = kept_.emplace_back(size_t(rows) * size_t(columns));
    for (float& value : values) value = middle + spread * (float(generator_() >> 8) * (2.0f / (1 << 24)) - 1);
    return view_of("random", values.data(), rows, columns);
  }

  std::mt19937 generator_{1};
  std::list<std::vector<float>> kept_;  // they never move: tensors point into them
};

struct Model {
  const Architecture architecture = small();
  RandomWeights random;
  FixedTensors fixed;
  Weights attention, feed_forward;
  Tensor embeddings;  // [kTokens, width]

  Model() {
    const Attention& a = architecture.attention(0);
    fixed.final_norm = random.norm();
    attention[Role::kDistance] = random.distance_table(a.distance.buckets, a.heads);
    attention[Role::kNorm] = random.norm();
    attention[Role::kQ] = random.matrix(a.inner(), kWidth, 0.3f);  // logits of a few units
    attention[Role::kK] = random.matrix(a.inner(), kWidth), attention[Role::kV] = random.matrix(a.inner(), kWidth);
    attention[Role::kO] = random.matrix(kWidth, a.inner());
    feed_forward[Role::kNorm] = random.norm();
    feed_forward[Role::kGate] = random.matrix(kInner, kWidth), feed_forward[Role::kUp] = random.matrix(kInner, kWidth);
    feed_forward[Role::kDown] = random.matrix(kWidth, kInner);
    embeddings = random.matrix(kTokens, kWidth, 5);
  }
};

std::vector<float> embed(const Device& device, const std::string& product_path, const Model& model) {
  const std::unique_ptr<Backend> backend = device.open(model.architecture, model.fixed, product_path);
  const Precision precision = device.facts().precisions.front();
  const int attention = slot_of(0, precision), feed_forward = slot_of(1, precision);
  backend->load(attention, model.attention, CancelFlag());
  backend->load(feed_forward, model.feed_forward, CancelFlag());
  const LayerTable table{{attention, 1}, {feed_forward, 0.5f}, {kSkipped, 1}, {feed_forward, 1}};
  const std::vector<int32_t> starts{0, kLong, kTokens};
  std::vector<int32_t> indices;
  indices.reserve(kTokens);
  for (int t = 0; t < kTokens; t++) indices.push_back(t < kLong ? t : t - kLong);
  std::vector<uint8_t> visible(kTokens, 1);
  visible[kLong + 3] = visible[kTokens - 1] = 0;
  const Batch batch{2, kTokens, starts.data(), indices.data(), visible.data()};
  const auto states = backend->begin(batch, rows_from(reinterpret_cast<const float*>(model.embeddings.data), kWidth));
  backend->run(table, 0, int(table.size()), *states, CancelFlag());
  std::vector<float> out(size_t(kTokens) * size_t(kWidth));
  backend->read(*states, true, {}, rows_to(out.data(), kWidth));
  return out;
}

}  // namespace

double disagreement(const Device& reference, const Device& asked, const std::string& product_path) {
  const Model model;
  const std::vector<float> expected = embed(reference, "", model), found = embed(asked, product_path, model);
  double error = 0, squares = 0;
  for (size_t i = 0; i < expected.size(); i++) {
    const double x = double(expected[i]), difference = double(found[i]) - x;
    error += difference * difference, squares += x * x;
  }
  return std::sqrt(error / squares);
}

void require_agreement(const Device& reference, const Device& asked) {
  const DeviceFacts& facts = asked.facts();
  for (const std::string& path : facts.product_paths) {
    const double found = disagreement(reference, asked, path);
    if (found <= kMaxDisagreement) continue;  // false for NaN
    throw Error("ERR_DEVICE", "device " + facts.id + ": " + facts.name + " computes otherwise than the CPU: found a relative difference of " +
                                  std::to_string(found) + " by " + path +
                                  " products, expected at most 0.03. Update the driver, or use device 'cpu'");
  }
}

}  // namespace skrr
