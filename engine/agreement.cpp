#include "engine/agreement.h"

#include <cmath>
#include <list>
#include <random>
#include <vector>

namespace skrr {
namespace {

const Geometry kSmall{2, 72, 2, 64, 136, 0, 32, 128, 1e-6f, Activation::kGeluTanh, true, false};
constexpr int kLong = 130, kShort = 9, kTokens = kLong + kShort;  // the first is more than one tile of any kernel

// Tensors that keep what goes through them at about its size, so that every one of them shows in the result.
class RandomWeights {
 public:
  Tensor norm() { return tensor(1, kSmall.width, 0.5f, 1); }
  Tensor matrix(int rows, int columns, float gain = 1) { return tensor(rows, columns, gain * std::sqrt(3.0f / float(columns)), 0); }
  Tensor bias() { return tensor(kSmall.buckets, kSmall.heads, 1, 0); }

 private:
  // Uniform in middle +- spread: bits of a generator whose numbers the standard fixes.
  Tensor tensor(int rows, int columns, float spread, float middle) {
    std::vector<float>& values = kept_.emplace_back(size_t(rows) * size_t(columns));
    for (float& value : values) value = middle + spread * (float(generator_() >> 8) * (2.0f / (1 << 24)) - 1);
    return {"random", reinterpret_cast<const std::byte*>(values.data()), DType::kF32, rows, columns, 1};
  }

  std::mt19937 generator_{1};
  std::list<std::vector<float>> kept_;  // they never move: tensors point into them
};

struct Model {
  RandomWeights weights;
  FixedTensors fixed;
  SubBlockTensors attention, feed_forward;
  Tensor embeddings;  // [kTokens, width]

  Model() {
    const Geometry& g = kSmall;
    fixed.final_norm = weights.norm(), fixed.bias = weights.bias();
    attention.norm = weights.norm();
    attention.q = weights.matrix(g.inner(), g.width, 0.3f);  // logits of a few units
    attention.k = weights.matrix(g.inner(), g.width), attention.v = weights.matrix(g.inner(), g.width);
    attention.o = weights.matrix(g.width, g.inner());
    feed_forward.norm = weights.norm();
    feed_forward.wi_0 = weights.matrix(g.ff, g.width), feed_forward.wi_1 = weights.matrix(g.ff, g.width);
    feed_forward.wo = weights.matrix(g.width, g.ff);
    embeddings = weights.matrix(kTokens, g.width, 5);
  }
};

std::vector<float> embed(const BackendInQuestion& in_question, const Model& model) {
  const std::unique_ptr<Backend> backend = in_question.make(kSmall, model.fixed);
  backend->load(0, in_question.precision, model.attention, CancelFlag());
  backend->load(1, in_question.precision, model.feed_forward, CancelFlag());
  const LayerTable table{{0, 1}, {1, 0.5f}, {kSkipped, 1}, {1, 1}};
  const std::vector<int32_t> starts{0, kLong, kTokens};
  std::vector<int32_t> positions;
  for (int t = 0; t < kTokens; t++) positions.push_back(t < kLong ? t : t - kLong);
  std::vector<uint8_t> visible(kTokens, 1);
  visible[kLong + 3] = visible[kTokens - 1] = 0;
  const Batch batch{2, kTokens, starts.data(), positions.data(), visible.data()};
  const auto states = backend->begin(batch, rows_from(reinterpret_cast<const float*>(model.embeddings.data), kSmall.width));
  backend->run(table, 0, int(table.size()), *states, CancelFlag());
  std::vector<float> out(size_t(kTokens) * size_t(kSmall.width));
  backend->finish(*states, nullptr, rows_to(out.data(), kSmall.width));
  return out;
}

}  // namespace

double disagreement(const BackendInQuestion& reference, const BackendInQuestion& asked) {
  const Model model;
  const std::vector<float> expected = embed(reference, model), found = embed(asked, model);
  double error = 0, squares = 0;
  for (size_t i = 0; i < expected.size(); i++) {
    const double x = double(expected[i]), difference = double(found[i]) - x;
    error += difference * difference, squares += x * x;
  }
  return std::sqrt(error / squares);
}

}  // namespace skrr
