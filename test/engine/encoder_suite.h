// A checkpoint file of random weights, its reference in double, and what every backend must do with it: the tests of the
// encoder that do not depend on the device.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "engine/encoder.h"
#include "engine/numeric.h"
#include "test/engine/check.h"
#include "test/engine/reference.h"

namespace encoder_suite {

using namespace skrr;

// Writes tensors one after the other into a file and remembers them for the reference too.
struct Fixture {
  Geometry geometry;
  std::string path = "test_encoder." + std::to_string(getpid()) + ".bin";
  EncoderSpec spec;
  reference::Model model;
  std::ofstream file;
  uint64_t offset = 0;
  unsigned seed = 1;

  explicit Fixture(const Geometry& g) : geometry(g), file(path, std::ios::binary) {
    spec.geometry = g;
    spec.files = {path};
    model.geometry = g;
    const size_t width = size_t(g.width), inner = size_t(g.inner()), ff = size_t(g.ff);
    const size_t buckets = size_t(g.buckets), heads = size_t(g.heads);
    add(spec.embedding, nullptr, size_t(g.vocab), width, 1);
    add(spec.final_norm, &model.final_norm, 1, width, 1);
    if (!g.bias_per_block) add(spec.bias, &model.bias, buckets, heads, 1);
    for (int s = 0; s < g.sub_blocks(); s++) {
      SubBlockSource& source = spec.sub_blocks.emplace_back();
      reference::SubBlock& w = model.sub_blocks.emplace_back();
      add(source.norm, &w.norm, 1, width, 1);
      if (is_attention(s)) {
        add(source.q, &w.q, inner, width, 0.2f), add(source.k, &w.k, inner, width, 0.2f);
        add(source.v, &w.v, inner, width, 0.2f), add(source.o, &w.o, width, inner, 0.2f);
        if (g.bias_per_block) add(source.bias, &w.bias, buckets, heads, 1);
      } else {
        add(source.wi_0, &w.wi_0, ff, width, 0.2f);
        if (g.gated) add(source.wi_1, &w.wi_1, ff, width, 0.2f);
        add(source.wo, &w.wo, width, ff, 0.2f);
      }
    }
    file.close();
  }
  ~Fixture() { std::remove(path.c_str()); }

  void add(TensorSource& source, reference::Matrix* copy, size_t rows, size_t columns, float scale) {
    const std::vector<float> values = random_floats(rows * columns, seed++, scale);
    source = {"tensor " + std::to_string(seed), 0, offset, DType::kF32, int64_t(rows), int64_t(columns), 1};
    file.write(reinterpret_cast<const char*>(values.data()), std::streamsize(values.size() * 4));
    offset += values.size() * 4;
    if (copy) copy->assign(values.begin(), values.end());
  }

  // What the engine does to matrices when it packs them; norms and biases stay float32.
  void round_reference_to(Precision precision) {
    for (reference::SubBlock& w : model.sub_blocks) {
      for (reference::Matrix* matrix : {&w.q, &w.k, &w.v, &w.o, &w.wi_0, &w.wi_1, &w.wo}) {
        const bool reads_width = matrix != &w.o && matrix != &w.wo;
        const int k = reads_width ? geometry.width : matrix == &w.o ? geometry.inner() : geometry.ff;
        if (precision == Precision::kInt8) reference::round_to_integers(*matrix, size_t(k), 127);
        if (precision == Precision::kInt4) reference::round_to_int4(*matrix, size_t(k));
        if (precision != Precision::kBF16) continue;
        for (double& value : *matrix) value = double(from_bf16(to_bf16(float(value))));
      }
    }
  }

  Encoder open(const Encoder::MakeBackend& make_backend, Precision precision) const {
    EncoderSpec opened = spec;
    opened.precision = precision;
    return Encoder(opened, make_backend);
  }
};

// Three sequences: 5 tokens, 1 token, 40 tokens with a hole in what is visible; a fourth in which nothing is visible.
struct Sample {
  std::vector<int32_t> starts{0, 5, 6, 46, 50}, positions, rows;
  std::vector<uint8_t> visible;
  std::vector<float> embeds;
  Sample(int width, int first_row = 0) : embeds(random_floats(50 * size_t(width), 99)) {
    for (size_t s = 0; s + 1 < starts.size(); s++) {
      for (int t = starts[s]; t < starts[s + 1]; t++) {
        positions.push_back(t - starts[s] + (s == 2 ? 3 : 0));
        visible.push_back(s == 3 ? 0 : !(s == 2 && t > 20 && t < 30));
        rows.push_back(first_row + t);
      }
    }
  }
  Batch batch() const { return {4, 50, starts.data(), positions.data(), visible.data()}; }
};

inline std::vector<int> all(const Geometry& g) {
  std::vector<int> sub_blocks;
  for (int s = 0; s < g.sub_blocks(); s++) sub_blocks.push_back(s);
  return sub_blocks;
}

inline void load(Encoder& encoder, const std::vector<int>& sub_blocks) {
  encoder.load(sub_blocks, [](uint64_t, uint64_t) {}, CancelFlag());
}

inline std::vector<float> encode(Encoder& encoder, const Sample& sample, const LayerTable& table, int width,
                                 const Compensation* compensation = nullptr) {
  std::vector<float> out(50 * size_t(width));
  encoder.encode({sample.batch(), nullptr, sample.embeds.data()}, table, compensation,
                 {OutputType::kF32, out.data(), sample.rows.data()}, CancelFlag());
  return out;
}

inline LayerTable dense(const Geometry& g) {
  LayerTable table;
  for (int s : all(g)) table.push_back({s, 1});
  return table;
}

inline const Geometry kT5{3, 40, 5, 24, 72, 50, 20, 50, 1e-5f, Activation::kGeluTanh, true, false};
inline const Geometry kV10{2, 32, 4, 8, 96, 50, 32, 128, 1e-6f, Activation::kRelu, false, false};
inline const Geometry kUmt5{2, 64, 4, 16, 112, 50, 32, 128, 1e-6f, Activation::kGeluTanh, true, true};

// How a backend under test is made, and what is expected of it.
struct Subject {
  Encoder::MakeBackend make;
  Precision precision = Precision::kF32;          // of the weights: the reference rounds its own
  reference::Rows rows = reference::Rows::kExact;  // and what meets them
  int most = 0;                                  // of rows of integers
  bool tensor_cores = false;                     // and where (reference::Model)
  double tolerance = 1e-5;                         // relative, in the L2 norm
};

inline void matches_the_reference(const Subject& subject, const Geometry& g) {
  Fixture fixture(g);
  fixture.round_reference_to(subject.precision);
  fixture.model.rows = subject.rows;
  fixture.model.most = subject.most;
  fixture.model.tensor_cores = subject.tensor_cores;
  const Sample sample(g.width);
  Encoder encoder = fixture.open(subject.make, subject.precision);
  load(encoder, all(g));
  std::vector<LayerTable> tables{dense(g), dense(g), LayerTable(size_t(g.sub_blocks()))};
  tables[1][0] = {2, 0.5f};      // re-used, damped
  tables[1][1] = {kSkipped, 1};  // skipped
  for (const LayerTable& table : tables) {
    const reference::Matrix expected = reference::encode(
        fixture.model, table, sample.batch(), reference::Matrix(sample.embeds.begin(), sample.embeds.end()));
    CHECK_AT_MOST(relative_error(encode(encoder, sample, table, g.width), expected), subject.tolerance);
  }
}

// Stopped at any sub-block and continued, the result is the same to the bit.
inline void pieces_make_the_whole(const Subject& subject) {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder encoder = fixture.open(subject.make, subject.precision);
  load(encoder, all(kT5));
  const std::vector<float> whole = encode(encoder, sample, dense(kT5), kT5.width);
  const int end = kT5.sub_blocks();
  const auto states = encoder.begin({sample.batch(), nullptr, sample.embeds.data()});
  encoder.advance(*states, dense(kT5), 0, 2, CancelFlag());
  const auto copy = states->clone();
  encoder.advance(*states, dense(kT5), 2, end, CancelFlag());
  encoder.advance(*copy, dense(kT5), 2, 3, CancelFlag());
  encoder.advance(*copy, dense(kT5), 3, end, CancelFlag());
  for (const States* finished : {states.get(), copy.get()}) {
    std::vector<float> out(whole.size());
    encoder.backend().finish(*finished, nullptr, rows_to(out.data(), kT5.width));
    CHECK(out == whole);
  }
}

// y + sum over j of (down_j . y) up_j, computed in double from what the same encoder gives without. Then again without: a call
// is not touched by the one before.
inline void a_compensation_is_added(const Subject& subject, const Geometry& g) {
  const Fixture fixture(g);
  const Sample sample(g.width);
  Encoder encoder = fixture.open(subject.make, subject.precision);
  load(encoder, all(g));
  const std::vector<float> plain = encode(encoder, sample, dense(g), g.width);
  const size_t width = size_t(g.width);
  for (const int rank : {1, 3, 19}) {
    const std::vector<float> down = random_floats(size_t(rank) * width, 7, 0.2f), up = random_floats(size_t(rank) * width, 8);
    const auto compensation = encoder.backend().load_compensation(down.data(), up.data(), rank);
    std::vector<double> expected(plain.begin(), plain.end());
    for (size_t t = 0; t < 50; t++) {
      for (size_t j = 0; j < size_t(rank); j++) {
        double product = 0;
        for (size_t i = 0; i < width; i++) product += double(down[j * width + i]) * double(plain[t * width + i]);
        for (size_t i = 0; i < width; i++) expected[t * width + i] += product * double(up[j * width + i]);
      }
    }
    CHECK_AT_MOST(relative_error(encode(encoder, sample, dense(g), g.width, compensation.get()), expected), 1e-6);
    CHECK(compensation->bytes() >= 2 * size_t(rank) * width * sizeof(float));
  }
  CHECK(encode(encoder, sample, dense(g), g.width) == plain);
}

// Features and states against sums over what finish() gives.
inline void features_are_projected_and_compared(const Subject& subject) {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder encoder = fixture.open(subject.make, subject.precision);
  load(encoder, all(kT5));
  Backend& backend = encoder.backend();
  const auto a = encoder.begin({sample.batch(), nullptr, sample.embeds.data()}), b = a->clone();
  encoder.advance(*b, dense(kT5), 0, 1, CancelFlag());

  const size_t width = size_t(kT5.width), features = 24;
  const std::vector<float> weight = random_floats(features * width, 5), bias = random_floats(features, 6);
  const auto tensor = [](const std::vector<float>& values, int64_t rows) {
    return Tensor{"projection", reinterpret_cast<const std::byte*>(values.data()), DType::kF32, rows,
                  int64_t(values.size()) / rows, 1};
  };
  const auto projection = backend.load_projection({{tensor(weight, int64_t(features)), tensor(bias, 1)}});
  const std::vector<float> down = random_floats(3 * width, 7, 0.2f), up = random_floats(3 * width, 8);
  const auto compensation = backend.load_compensation(down.data(), up.data(), 3);
  const std::vector<Comparison> got =
      backend.compare(*backend.features(*a, compensation.get(), projection.get(), CancelFlag()),
                      *backend.features(*b, nullptr, projection.get(), CancelFlag()));
  std::vector<float> x(50 * width), y(50 * width);
  backend.finish(*a, compensation.get(), rows_to(x.data(), kT5.width));
  backend.finish(*b, nullptr, rows_to(y.data(), kT5.width));
  for (size_t s = 0; s < 4; s++) {
    double error = 0, squares = 0;
    for (size_t t = size_t(sample.starts[s]); t < size_t(sample.starts[s + 1]); t++) {
      for (size_t f = 0; f < features; f++) {
        double left = double(bias[f]), right = double(bias[f]);
        for (size_t i = 0; i < width; i++) {
          left += double(weight[f * width + i]) * double(x[t * width + i]);
          right += double(weight[f * width + i]) * double(y[t * width + i]);
        }
        error += (left - right) * (left - right), squares += right * right;
      }
    }
    CHECK_AT_MOST(std::fabs(got[s].squared_error / error - 1), 1e-5);
    CHECK_AT_MOST(std::fabs(got[s].squares_b / squares - 1), 1e-5);
    CHECK(got[s].cosine > 0 && got[s].cosine < double(sample.starts[s + 1] - sample.starts[s]));
  }
  CHECK(backend.compare(*a, *a)[2].squared_error == 0 && backend.compare(*a, *b)[2].squared_error > 0);
}

inline void slots_are_counted_freed_and_needed(const Subject& subject) {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder encoder = fixture.open(subject.make, subject.precision);
  load(encoder, {0, 1});
  const size_t two = encoder.memory().weights;
  load(encoder, all(kT5));
  CHECK(encoder.memory().weights > two);
  bool refused = false;
  encoder.keep_only({0, 1});
  CHECK(encoder.memory().weights == two);
  try {
    encode(encoder, sample, dense(kT5), kT5.width);
  } catch (const Error& error) {
    refused = std::string(error.what()).find("sub-block 2 is in the layer table but not loaded") != std::string::npos;
  }
  CHECK(refused);
}

inline void cancelling_leaves_an_encoder_that_works(const Subject& subject) {
  const Fixture fixture(kT5);
  const Sample sample(kT5.width);
  Encoder encoder = fixture.open(subject.make, subject.precision);
  CancelFlag cancel;
  bool cancelled = false;
  try {
    encoder.load(all(kT5), [&](uint64_t done, uint64_t total) { if (done > total / 2) cancel.raise(); }, cancel);
  } catch (const Cancelled&) {
    cancelled = true;
  }
  CHECK(cancelled);
  load(encoder, all(kT5));
  const std::vector<float> result = encode(encoder, sample, dense(kT5), kT5.width);
  CHECK(std::isfinite(result[0]));
}

inline void bad_ids_and_nan_are_errors(const Subject& subject) {
  const Fixture fixture(kT5);
  Sample sample(kT5.width);
  Encoder encoder = fixture.open(subject.make, subject.precision);
  load(encoder, all(kT5));
  std::vector<float> out(50 * size_t(kT5.width));
  const std::vector<int32_t> ids(50, kT5.vocab);
  int refused = 0;
  try {
    encoder.encode({sample.batch(), ids.data(), nullptr}, dense(kT5), nullptr,
                   {OutputType::kF32, out.data(), sample.rows.data()}, CancelFlag());
  } catch (const Error& error) {
    refused += std::string(error.code) == "ERR_INPUT";
  }
  sample.embeds[7] = NAN;
  try {
    encode(encoder, sample, dense(kT5), kT5.width);
  } catch (const Error& error) {
    refused += std::string(error.what()).find("NaN or infinite") != std::string::npos;
  }
  CHECK(refused == 2);
}

inline void run_all(const Subject& subject) {
  for (const Geometry& geometry : {kT5, kV10, kUmt5}) matches_the_reference(subject, geometry);
  for (const Geometry& geometry : {kT5, kUmt5}) a_compensation_is_added(subject, geometry);
  pieces_make_the_whole(subject);
  features_are_projected_and_compared(subject);
  slots_are_counted_freed_and_needed(subject);
  cancelling_leaves_an_encoder_that_works(subject);
  bad_ids_and_nan_are_errors(subject);
}

}  // namespace encoder_suite
