// Small encoders for tests: architectures by their sizes, and checkpoint files of random weights with their reference in double.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "engine/encoder.h"
#include "engine/numeric.h"
#include "test/engine/check.h"
#include "test/engine/reference.h"

namespace models {

using namespace skrr;

// What tests vary in an architecture whose blocks are all alike.
struct Sizes {
  int blocks = 2, width = 64, heads = 4, head_dim = 16, inner = 112;
  int buckets = 32, max_distance = 128;  // buckets 0: no distance table
  float epsilon = 1e-6f;
  Activation activation = Activation::kGeluTanh;
  bool gated = true;
};

constexpr int kVocab = 50;

inline Architecture architecture_of(const Sizes& s) {
  Block block;
  block.attention.norm = block.feed_forward.norm = {Norm::Kind::kRms, s.epsilon};
  block.attention.heads = block.attention.key_heads = s.heads;
  block.attention.head_dim = s.head_dim;
  block.attention.distance.buckets = s.buckets, block.attention.distance.max_distance = s.max_distance;
  block.feed_forward.inner = s.inner;
  block.feed_forward.gated = s.gated;
  block.feed_forward.activation = s.activation;
  Architecture a;
  a.width = s.width;
  a.vocab = kVocab;
  a.blocks.assign(size_t(s.blocks), block);
  a.output_norm = {Norm::Kind::kRms, s.epsilon};
  return a;
}

// Writes tensors one after the other into a file and remembers them for the reference too.
struct Fixture {
  Architecture architecture;
  std::string path = "test_encoder." + std::to_string(getpid()) + ".bin";
  EncoderSpec spec;
  reference::Model model;
  reference::Matrix embedding, positions;
  std::ofstream file;
  uint64_t offset = 0;
  unsigned seed = 1;

  explicit Fixture(const Architecture& a) : architecture(a), file(path, std::ios::binary) {
    spec.architecture = model.architecture = a;
    spec.files = {path};
    add(spec.embedding, &embedding, a.vocab, a.width, 1);
    if (a.positions > 0) add(spec.positions, &positions, a.positions, a.width, 1);
    add(spec.final_norm, &model.final_norm, 1, a.width, 1);
    if (a.output_norm.kind == Norm::Kind::kLayer) add(spec.final_norm_bias, &model.final_norm_bias, 1, a.width, 1);
    for (int s = 0; s < a.sub_blocks(); s++) add_sub_block(s);
    file.close();
  }
  ~Fixture() { std::remove(path.c_str()); }

  // Rounds matrices as the engine does when it packs them; norms and distance tables stay float32.
  void round_reference_to(Precision precision) {
    for (int s = 0; s < architecture.sub_blocks(); s++) {
      for (int role = 0; role < kRoles; role++) {
        if (kind_of(Role(role)) == RoleFacts::kMatrix) round(precision, model.sub_blocks[size_t(s)].all[size_t(role)], inputs(s, Role(role)));
      }
    }
  }

  // The same for int4, whose groups have a choice: the reference takes what the loaded slots hold, which must be near what was packed.
  void take_int4(Encoder& encoder, const std::vector<int>& slots) {
    for (const int slot : slots) {
      const int s = sub_block_of(slot);
      const Backend::Packed packed = encoder.backend().packed(slot);
      const auto take = [&](Role role, const PackedTensor& from, size_t first_panel, size_t stride) {
        reference::Matrix& matrix = model.sub_blocks[size_t(s)][role];
        const size_t width = size_t(inputs(s, role));
        const reference::Matrix held = reference::unpack_int4(from, matrix.size() / width, width, first_panel, stride);
        CHECK_AT_MOST(relative_error(held, matrix), 0.2);
        matrix = held;
      };
      if (is_attention(s)) {
        const Attention& a = architecture.attention(s);
        const size_t queries = size_t((a.inner() + 31) / 32), keys = size_t((a.key_heads * a.head_dim + 31) / 32);
        take(Role::kQ, packed.in, 0, 1), take(Role::kK, packed.in, queries, 1), take(Role::kV, packed.in, queries + keys, 1);
        take(Role::kO, packed.out, 0, 1);
      } else {
        const bool gated = architecture.feed_forward(s).gated;
        if (gated) take(Role::kGate, packed.in, 0, 2);
        take(Role::kUp, packed.in, gated ? 1 : 0, gated ? 2 : 1);
        take(Role::kDown, packed.out, 0, 1);
      }
    }
  }

  Encoder open(const Encoder::MakeBackend& make_backend) const { return Encoder(spec, make_backend); }

 private:
  void add_sub_block(int s) {
    const int width = architecture.width;
    spec.sub_blocks.emplace_back(), model.sub_blocks.emplace_back();
    const auto add_role = [&](Role role, int rows, int columns, float scale) {
      add(spec.sub_blocks.back()[role], &model.sub_blocks.back()[role], rows, columns, scale);
    };
    const auto add_product = [&](Role role, Role bias, int rows, int columns, bool biased) {
      add_role(role, rows, columns, 0.2f);
      if (biased) add_role(bias, 1, rows, 1);
    };
    const auto add_norms = [&](const Norm& norm, bool post_norm) {
      add_role(Role::kNorm, 1, width, 1);
      if (norm.kind == Norm::Kind::kLayer) add_role(Role::kNormBias, 1, width, 1);
      if (post_norm) add_role(Role::kPostNorm, 1, width, 1);
    };
    if (is_attention(s)) {
      const Attention& a = architecture.attention(s);
      const int keys = a.key_heads * a.head_dim;
      const bool biased = a.bias != Bias::kNone;
      add_norms(a.norm, a.post_norm.has_value());
      add_product(Role::kQ, Role::kQBias, a.inner(), width, biased);
      add_product(Role::kK, Role::kKBias, keys, width, biased), add_product(Role::kV, Role::kVBias, keys, width, biased);
      add_product(Role::kO, Role::kOBias, width, a.inner(), a.bias == Bias::kAll);
      if (a.head_norm) add_role(Role::kQNorm, 1, a.head_dim, 1), add_role(Role::kKNorm, 1, a.head_dim, 1);
      if (a.distance.buckets > 0) add_role(Role::kDistance, a.distance.buckets, a.heads, 1);
    } else {
      const FeedForward& f = architecture.feed_forward(s);
      add_norms(f.norm, f.post_norm.has_value());
      if (f.gated) add_product(Role::kGate, Role::kGateBias, f.inner, width, f.bias);
      add_product(Role::kUp, Role::kUpBias, f.inner, width, f.bias);
      add_product(Role::kDown, Role::kDownBias, width, f.inner, f.bias);
    }
  }

  void add(TensorSource& source, reference::Matrix* copy, int rows, int columns, float scale) {
    const std::vector<float> values = random_floats(size_t(rows) * size_t(columns), seed++, scale);
    source = {"tensor " + std::to_string(seed), 0, offset, Encoding::kF32, rows, columns, 1};
    file.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * 4));
    offset += values.size() * 4;
    if (copy) copy->assign(values.begin(), values.end());
  }

  int inputs(int s, Role role) const {
    if (role == Role::kO) return architecture.attention(s).inner();
    return role == Role::kDown ? architecture.feed_forward(s).inner : architecture.width;
  }

  static void round(Precision precision, reference::Matrix& matrix, int k) {
    if (precision == Precision::kInt8) reference::round_to_integers(matrix, size_t(k), 127);
    if (precision != Precision::kBF16) return;
    for (double& value : matrix) value = double(from_bf16(to_bf16(float(value))));
  }
};

// Every sub-block with its own weights.
inline LayerTable dense(const Architecture& a, Precision precision) {
  LayerTable table;
  for (int s = 0; s < a.sub_blocks(); s++) table.push_back({slot_of(s, precision), 1});
  return table;
}

inline std::unique_ptr<LoadedPlan> load(Encoder& encoder, const LayerTable& table, const MapSpec* map = nullptr) {
  return encoder.load_plan(table, map, [](uint64_t, uint64_t) {}, CancelFlag());
}

// The embeddings [*, width] of a whole pass under the plan.
inline std::vector<Output> embeddings_to(float* data, const int32_t* rows, const LoadedPlan& plan, int width) {
  Output output;
  output.after = int(plan.table().size());
  output.data = data, output.rows = rows, output.stride = width;
  return {output};
}

// x + sum over j < rank of (down_j . x) up_j, as an encoder takes it: down, up [rank, width].
struct LowRank {
  std::vector<float> down, up;
  std::vector<float> transposed;  // up as [width, rank]
  MapSpec spec;

  LowRank(int width, int rank, unsigned seed)
      : down(random_floats(size_t(rank * width), seed, 0.2f)), up(random_floats(size_t(rank * width), seed + 1)), transposed(up.size()) {
    for (int j = 0; j < rank; j++) {
      for (int i = 0; i < width; i++) transposed[size_t(i * rank + j)] = up[size_t(j * width + i)];
    }
    spec.layers = {{view_of("down", down.data(), rank, width), {}}, {view_of("up", transposed.data(), width, rank), {}}};
    spec.residual = true;
  }
  LowRank(const LowRank&) = delete;
};

}  // namespace models
