// One sub-block with attributes, sizes and a batch drawn at random, against the reference in double, on any backend in any
// precision. A case is a struct that says what it is and how far it may be off; a failure prints the case, which its seed
// makes again. (The idea of ggml's test-backend-ops.)
#pragma once

#include <algorithm>

#include "test/engine/encoder_suite.h"

namespace sub_block_suite {

using namespace encoder_suite;

// Draws numbers from a seed, the same everywhere.
class Dice {
 public:
  explicit Dice(unsigned seed) : generator_(seed) {}
  int between(int low, int high) { return low + int(generator_() % unsigned(high - low + 1)); }
  bool one_in(int n) { return between(1, n) == 1; }
  template <class T>
  T any_of(const std::vector<T>& choices) {
    return choices[size_t(between(0, int(choices.size()) - 1))];
  }

 private:
  std::mt19937 generator_;
};

// What a backend has kernels for.
struct Limits {
  std::vector<Attribute> attributes;  // DeviceFacts::attributes
  int max_head_dim = 128;
  int max_length = 150;  // of a sequence

  bool has(Attribute attribute) const { return std::find(attributes.begin(), attributes.end(), attribute) != attributes.end(); }
};

struct Case {
  unsigned seed;
  bool attends;
  Architecture architecture;  // of one block
  float scale;                // of the residual
  std::vector<int32_t> starts{0}, indices, positions;
  std::vector<uint8_t> visible;

  Case(unsigned seed, const Limits& limits) : seed(seed) {
    Dice dice(seed);
    attends = dice.one_in(2) || dice.one_in(2);
    architecture.width = dice.between(1, 160);
    architecture.output_norm = draw_norm(dice, limits);
    architecture.vocab = 1;
    Block& block = architecture.blocks.emplace_back();
    draw_attention(block.attention, dice, limits);
    draw_feed_forward(block.feed_forward, dice, limits);
    scale = dice.any_of<float>({1, 0.25f, -2});
    draw_batch(dice, limits);
  }

  Batch batch() const {
    return {int(starts.size()) - 1, int(indices.size()), starts.data(), indices.data(), visible.data(),
            positions.empty() ? nullptr : positions.data()};
  }

  // Relative, in the L2 norm. Sums of float32 are exact to 1e-5. Where rows are rounded before they are multiplied, in a few places
  // a float32 and a double on two sides of a rounding edge become neighbours of the format: errors of a few steps are left, more
  // where logits carry them through a softmax.
  double bound(const Subject& subject) const {
    if (subject.rows == reference::Rows::kExact) return 1e-5;
    const double step = subject.rows == reference::Rows::kBF16 ? 0x1p-8 : 1.0 / subject.integer_max;
    return std::min(attends ? 8 * step : 2 * step, 0.02);
  }

  std::string text() const {
    std::string text = "seed " + std::to_string(seed) + ": width " + std::to_string(architecture.width) + ", ";
    const Attention& a = architecture.attention(0);
    const FeedForward& f = architecture.feed_forward(1);
    text += attends ? text_of(a) : std::to_string(f.inner) + (f.gated ? " gated " : " ") + kActivationNames[int(f.activation)];
    if (!attends && f.bias) text += ", biases";
    if (attends ? a.post_norm.has_value() : f.post_norm.has_value()) text += ", post-norm";
    for (const Norm& norm : {attends ? a.norm : f.norm, architecture.output_norm}) {
      text += norm.kind == Norm::Kind::kLayer ? ", LayerNorm" : ", RMS norm";
    }
    text += ", scale " + std::to_string(scale) + ", sequences to";
    for (size_t s = 1; s < starts.size(); s++) text += " " + std::to_string(starts[s]);
    return text + (positions.empty() ? "" : ", with positions");
  }

 private:
  static std::string text_of(const Attention& a) {
    const Distance& d = a.distance;
    std::string text = std::to_string(a.heads) + " heads of " + std::to_string(a.head_dim) + " on " + std::to_string(a.key_heads) + ", " +
                       std::to_string(d.buckets) + " buckets to " + std::to_string(d.max_distance) + ", ahead " +
                       std::to_string(d.ahead) + ", back " + std::to_string(d.back) +
                       (a.unseeing == Unseeing::kMean ? ", mean" : ", zero") + ", logits times " + std::to_string(a.scale);
    if (a.bias != Bias::kNone) text += a.bias == Bias::kAll ? ", all biases" : ", biases of q, k, v";
    if (a.head_norm) text += ", head norm";
    if (a.softcap) text += ", softcap " + std::to_string(*a.softcap);
    if (a.rope) {
      text += ", " + std::to_string(a.rope->frequencies.size()) + (a.rope->interleaved ? " interleaved" : "") + " pairs turn, times " +
              std::to_string(a.rope->magnitude) + ", query beta " + std::to_string(a.rope->query_beta);
    }
    return text;
  }

  // Attributes that the device lacks are drawn all the same and left out, so that a seed's other numbers are the same everywhere.
  static bool draw(int one_in, Attribute attribute, Dice& dice, const Limits& limits) {
    return dice.one_in(one_in) && limits.has(attribute);
  }

  static Norm draw_norm(Dice& dice, const Limits& limits) {
    const float epsilon = dice.any_of<float>({1e-6f, 1e-5f, 1e-2f});
    return {draw(3, Attribute::kLayerNorm, dice, limits) ? Norm::Kind::kLayer : Norm::Kind::kRms, epsilon};
  }

  static std::optional<Norm> draw_post_norm(Dice& dice, const Limits& limits) {
    const Norm norm{Norm::Kind::kRms, dice.any_of<float>({1e-6f, 1e-2f})};
    return draw(4, Attribute::kPostNorm, dice, limits) ? std::optional<Norm>(norm) : std::nullopt;
  }

  static Rope draw_rope(int head_dim, Dice& dice) {
    Rope rope;
    const int pairs = dice.one_in(2) ? head_dim / 2 : dice.between(1, head_dim / 2);
    const double theta = dice.any_of<double>({10, 1e4, 1e6});
    for (int j = 0; j < pairs; j++) rope.frequencies.push_back(std::pow(theta, -double(j) / pairs));
    rope.interleaved = dice.one_in(2);
    rope.magnitude = dice.any_of<float>({1, 1.1f});
    rope.query_beta = dice.any_of<float>({0, 0.1f});
    rope.query_period = dice.any_of<int>({1, 16});
    return rope;
  }

  static void draw_attention(Attention& a, Dice& dice, const Limits& limits) {
    a.norm = draw_norm(dice, limits);
    a.post_norm = draw_post_norm(dice, limits);
    a.heads = a.key_heads = dice.between(1, 5);
    a.head_dim = dice.one_in(3) ? dice.any_of<int>({8, 32, 64, limits.max_head_dim}) : dice.between(1, limits.max_head_dim);
    const int group = dice.between(2, 3);
    if (draw(2, Attribute::kKeyHeads, dice, limits)) a.key_heads = dice.between(1, 2), a.heads = group * a.key_heads;
    if (draw(3, Attribute::kAttentionBias, dice, limits)) a.bias = dice.one_in(2) ? Bias::kQkv : Bias::kAll;
    if (draw(3, Attribute::kHeadNorm, dice, limits)) a.head_norm = Norm{Norm::Kind::kRms, dice.any_of<float>({1e-6f, 1e-2f})};
    if (draw(2, Attribute::kScale, dice, limits)) a.scale = dice.any_of<float>({0.125f, 1 / std::sqrt(float(a.head_dim)), 1.5f});
    if (draw(4, Attribute::kSoftcap, dice, limits)) a.softcap = dice.any_of<float>({5, 50});
    if (draw(2, Attribute::kRope, dice, limits) && a.head_dim > 1) a.rope = draw_rope(a.head_dim, dice);
    if (dice.one_in(2)) a.distance.buckets = dice.between(2, 32) * 2, a.distance.max_distance = a.distance.buckets / 4 + dice.between(1, 128);
    if (dice.one_in(2)) a.distance.ahead = dice.one_in(2) ? 0 : dice.between(0, 100);
    if (dice.one_in(3)) a.distance.back = dice.between(0, 100);
    a.unseeing = dice.one_in(2) ? Unseeing::kMean : Unseeing::kZero;
  }

  static void draw_feed_forward(FeedForward& f, Dice& dice, const Limits& limits) {
    f.norm = draw_norm(dice, limits);
    f.post_norm = draw_post_norm(dice, limits);
    f.inner = dice.between(1, 300);
    f.gated = dice.one_in(2);
    f.bias = draw(3, Attribute::kFeedForwardBias, dice, limits);
    std::vector<Activation> activations{Activation::kRelu, Activation::kGeluTanh};
    if (limits.has(Attribute::kGelu)) activations.push_back(Activation::kGelu);
    if (limits.has(Attribute::kQuickGelu)) activations.push_back(Activation::kQuickGelu);
    if (limits.has(Attribute::kSilu)) activations.push_back(Activation::kSilu);
    f.activation = dice.any_of(activations);
  }

  // Sequences that begin anywhere and may have gaps, where rows were left out; hidden tokens at the ends or anywhere; positions
  // that are the indices, or anything.
  void draw_batch(Dice& dice, const Limits& limits) {
    const int sequences = dice.between(1, 3);
    for (int s = 0; s < sequences; s++) {
      const int length = dice.one_in(3) ? dice.between(1, limits.max_length) : dice.between(1, 40);
      const bool gaps = dice.one_in(4);
      const int kind = dice.between(0, 4), edge = dice.between(0, length);  // which tokens are hidden
      int index = dice.between(0, 5);
      for (int t = 0; t < length; t++) {
        const bool hidden = kind == 2 ? t < edge : kind == 3 ? t >= edge : kind == 4 && dice.one_in(3);
        visible.push_back(hidden ? 0 : 1);
        indices.push_back(index);
        index += gaps && dice.one_in(5) ? dice.between(2, 20) : 1;
      }
      starts.push_back(starts.back() + length);
    }
    if (dice.one_in(3)) return;
    for (size_t t = 0; t < indices.size(); t++) positions.push_back(dice.between(0, 200));
  }
};

inline void check(const Subject& subject, const Case& c) {
  Fixture fixture(c.architecture);
  fixture.round_reference_to(subject.precision);
  fixture.model.rows = subject.rows;
  fixture.model.integer_max = subject.integer_max;
  fixture.model.tensor_cores = subject.tensor_cores;
  LayerTable table(2);
  const size_t position = c.attends ? 0 : 1;
  table[position] = {slot_of(int(position), subject.precision), c.scale};

  const int width = c.architecture.width;
  const std::vector<float> rows = random_floats(c.indices.size() * size_t(width), c.seed);
  Encoder encoder = fixture.open(subject.make);
  const auto plan = load(encoder, table);
  if (subject.precision == Precision::kInt4) fixture.take_int4(encoder, slots_of(table));
  const auto states = encoder.backend().begin(c.batch(), rows_from(rows.data(), width));
  encoder.advance(*states, *plan, 0, 2, CancelFlag());
  std::vector<float> found(rows.size());
  encoder.backend().read(*states, true, {}, rows_to(found.data(), width));

  const reference::Matrix expected = reference::encode(fixture.model, table, c.batch(), reference::Matrix(rows.begin(), rows.end()));
  const double error = relative_error(found, expected), bound = c.bound(subject);
  if (error <= bound) return;
  failures++;
  std::printf("%s in %s: off by %g, expected at most %g\n", c.text().c_str(), kPrecisionNames[int(subject.precision)], error, bound);
}

inline void run(const Subject& subject, int cases, const Limits& limits) {
  for (int seed = 1; seed <= cases; seed++) check(subject, Case(unsigned(seed), limits));
}

}  // namespace sub_block_suite
