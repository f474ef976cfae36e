// What every backend must do with an encoder: the tests that do not depend on the device.
#pragma once

#include <functional>

#include "test/engine/models.h"

namespace encoder_suite {

using namespace models;

// Three sequences: 5 tokens, 1 token, 40 tokens with a hole in what is visible; a fourth in which nothing is visible.
struct Sample {
  std::vector<int32_t> starts{0, 5, 6, 46, 50}, indices, rows;
  std::vector<uint8_t> visible;
  std::vector<float> embeds;
  Sample(int width, int first_row = 0) : embeds(random_floats(50 * size_t(width), 99)) {
    for (size_t s = 0; s + 1 < starts.size(); s++) {
      for (int t = starts[s]; t < starts[s + 1]; t++) {
        indices.push_back(t - starts[s] + (s == 2 ? 3 : 0));
        visible.push_back(s == 3 ? 0 : !(s == 2 && t > 20 && t < 30));
        rows.push_back(first_row + t);
      }
    }
  }
  Batch batch() const { return {4, 50, starts.data(), indices.data(), visible.data()}; }
};

inline std::vector<float> encode(Encoder& encoder, const Sample& sample, const LoadedPlan& plan, int width) {
  std::vector<float> out(50 * size_t(width));
  encoder.encode({sample.batch(), nullptr, sample.embeds.data()}, plan,
                 embeddings_to(out.data(), sample.rows.data(), plan, width), CancelFlag());
  return out;
}

inline const Architecture kSmall = architecture_of({3, 40, 5, 24, 72, 20, 50, 1e-5f});
inline const Architecture kUngated = architecture_of({2, 32, 4, 8, 96, 32, 128, 1e-6f, Activation::kRelu, false});
inline const Architecture kGated = architecture_of({});

// How a backend under test is made, and what is expected of it.
struct Subject {
  Encoder::MakeBackend make;
  Precision precision = Precision::kF32;           // of the weights: the reference rounds its own alike
  reference::Rows rows = reference::Rows::kExact;  // how the reference rounds the rows that meet them
  int integer_max = 0;                             // of rows of integers (TileKernel)
  bool tensor_cores = false;                       // where it rounds (reference::Model)
  double tolerance = 1e-5;                         // relative, in the L2 norm
};

inline void matches_the_reference(const Subject& subject, const Architecture& a) {
  Fixture fixture(a);
  fixture.round_reference_to(subject.precision);
  fixture.model.rows = subject.rows;
  fixture.model.integer_max = subject.integer_max;
  fixture.model.tensor_cores = subject.tensor_cores;
  const Sample sample(a.width);
  Encoder encoder = fixture.open(subject.make);
  const LayerTable all = dense(a, subject.precision);
  const auto whole = load(encoder, all);
  if (subject.precision == Precision::kInt4) fixture.take_int4(encoder, slots_of(all));
  std::vector<LayerTable> tables{all, all, LayerTable(all.size())};
  tables[1][0] = {all[2].slot, 0.5f};  // re-used, damped
  tables[1][1] = {kSkipped, 1};        // skipped
  for (const LayerTable& table : tables) {
    const reference::Matrix expected = reference::encode(
        fixture.model, table, sample.batch(), reference::Matrix(sample.embeds.begin(), sample.embeds.end()));
    CHECK_AT_MOST(relative_error(encode(encoder, sample, *load(encoder, table), a.width), expected), subject.tolerance);
  }
}

// An encoder that stops between sub-blocks and continues gives the same bits.
inline void pieces_make_the_whole(const Subject& subject) {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  Encoder encoder = fixture.open(subject.make);
  const auto plan = load(encoder, dense(kSmall, subject.precision));
  const std::vector<float> whole = encode(encoder, sample, *plan, kSmall.width);
  const int end = kSmall.sub_blocks();
  const auto states = encoder.begin({sample.batch(), nullptr, sample.embeds.data()});
  encoder.advance(*states, *plan, 0, 2, CancelFlag());
  const auto copy = states->clone();
  encoder.advance(*states, *plan, 2, end, CancelFlag());
  encoder.advance(*copy, *plan, 2, 3, CancelFlag());
  encoder.advance(*copy, *plan, 3, end, CancelFlag());
  for (const States* finished : {states.get(), copy.get()}) {
    std::vector<float> out(whole.size());
    encoder.backend().read(*finished, true, {}, rows_to(out.data(), kSmall.width));
    CHECK(out == whole);
  }
}

// Outputs of one call: a state between sub-blocks, side by side with the embeddings, and projected rows of some tokens.
inline void outputs_are_states_of_one_pass(const Subject& subject) {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  EncoderSpec spec = fixture.spec;
  spec.projection = spec.sub_blocks[0][Role::kK];
  Encoder encoder(spec, subject.make);
  const auto plan = load(encoder, dense(kSmall, subject.precision));
  const size_t width = size_t(kSmall.width), columns = size_t(spec.projection.rows);
  const std::vector<float> embeddings = encode(encoder, sample, *plan, kSmall.width);
  std::vector<float> state(50 * width), both(50 * 2 * width), pooled(2 * columns);
  const auto states = encoder.begin({sample.batch(), nullptr, sample.embeds.data()});
  encoder.advance(*states, *plan, 0, 2, CancelFlag());
  encoder.backend().read(*states, false, {}, rows_to(state.data(), kSmall.width));

  std::vector<int32_t> pick(50, -1);
  pick[3] = 1, pick[49] = 0;
  const int end = kSmall.sub_blocks(), stride = 2 * kSmall.width;
  const std::vector<Output> outputs{
      {2, false, false, OutputType::kF32, both.data(), sample.rows.data(), stride, 0, 2},
      {end, true, false, OutputType::kF32, both.data(), sample.rows.data(), stride, 1, 2},
      {end, true, true, OutputType::kF32, pooled.data(), pick.data(), int64_t(columns)},
  };
  encoder.encode({sample.batch(), nullptr, sample.embeds.data()}, *plan, outputs, CancelFlag());
  for (size_t i = 0; i < state.size(); i++) CHECK(both[2 * i] == state[i] && both[2 * i + 1] == embeddings[i]);
  std::vector<double> expected;
  for (const size_t token : {49, 3}) {
    for (size_t c = 0; c < columns; c++) {
      double sum = 0;
      for (size_t i = 0; i < width; i++) sum += fixture.model.sub_blocks[0][Role::kK][c * width + i] * double(embeddings[token * width + i]);
      expected.push_back(sum);
    }
  }
  CHECK_AT_MOST(relative_error(pooled, expected), 1e-6);
}

// y + sum over j of (down_j . y) up_j, computed in double from what the same encoder gives without. Then again without: one
// call does not change the next.
inline void a_low_rank_map_is_added(const Subject& subject, const Architecture& a) {
  const Fixture fixture(a);
  const Sample sample(a.width);
  Encoder encoder = fixture.open(subject.make);
  const LayerTable table = dense(a, subject.precision);
  const auto without = load(encoder, table);
  const std::vector<float> plain = encode(encoder, sample, *without, a.width);
  const size_t width = size_t(a.width);
  for (const int rank : {1, 3, 19}) {
    const LowRank map(a.width, rank, 7);
    const auto plan = load(encoder, table, &map.spec);
    std::vector<double> expected(plain.begin(), plain.end());
    for (size_t t = 0; t < 50; t++) {
      for (size_t j = 0; j < size_t(rank); j++) {
        double product = 0;
        for (size_t i = 0; i < width; i++) product += double(map.down[j * width + i]) * double(plain[t * width + i]);
        for (size_t i = 0; i < width; i++) expected[t * width + i] += product * double(map.up[j * width + i]);
      }
    }
    CHECK_AT_MOST(relative_error(encode(encoder, sample, *plan, a.width), expected), 1e-6);
    CHECK(plan->bytes() >= 2 * size_t(rank) * width * sizeof(float));
  }
  CHECK(encode(encoder, sample, *without, a.width) == plain);
}

// Compares features and states with sums over what read() gives.
inline void features_are_mapped_and_compared(const Subject& subject) {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  Encoder encoder = fixture.open(subject.make);
  const auto plan = load(encoder, dense(kSmall, subject.precision));
  Backend& backend = encoder.backend();
  const auto a = encoder.begin({sample.batch(), nullptr, sample.embeds.data()}), b = a->clone();
  encoder.advance(*b, *plan, 0, 1, CancelFlag());

  const size_t width = size_t(kSmall.width), features = 24;
  const std::vector<float> weight = random_floats(features * width, 5), bias = random_floats(features, 6);
  const MapSpec layer{{{view_of("weight", weight.data(), int64_t(features), kSmall.width), view_of("bias", bias.data(), 1, int64_t(features))}}};
  const auto projection = backend.load_map(layer);
  const LowRank low_rank(kSmall.width, 3, 7);
  const auto map = backend.load_map(low_rank.spec);
  const std::vector<Comparison> got = backend.compare(*backend.features(*a, {map.get(), projection.get()}, CancelFlag()),
                                                      *backend.features(*b, {nullptr, projection.get()}, CancelFlag()));
  std::vector<float> x(50 * width), y(50 * width);
  backend.read(*a, true, {map.get()}, rows_to(x.data(), kSmall.width));
  backend.read(*b, true, {}, rows_to(y.data(), kSmall.width));
  for (size_t s = 0; s < 4; s++) {
    double error = 0, cosines = 0, squares = 0;
    for (size_t t = size_t(sample.starts[s]); t < size_t(sample.starts[s + 1]); t++) {
      double dot = 0, left_squares = 0, right_squares = 0;
      for (size_t f = 0; f < features; f++) {
        double left = double(bias[f]), right = double(bias[f]);
        for (size_t i = 0; i < width; i++) {
          left += double(weight[f * width + i]) * double(x[t * width + i]);
          right += double(weight[f * width + i]) * double(y[t * width + i]);
        }
        error += (left - right) * (left - right);
        dot += left * right, left_squares += left * left, right_squares += right * right;
      }
      cosines += dot / std::sqrt(left_squares * right_squares), squares += right_squares;
    }
    CHECK_AT_MOST(std::fabs(got[s].squared_error / error - 1), 1e-5);
    CHECK_AT_MOST(std::fabs(got[s].squares_b / squares - 1), 1e-5);
    CHECK_AT_MOST(std::fabs(got[s].cosine - cosines), 1e-5 * double(sample.starts[s + 1] - sample.starts[s]));
  }
  CHECK(backend.compare(*a, *a)[2].squared_error == 0 && backend.compare(*a, *b)[2].squared_error > 0);
}

// Weights are counted, stay while any plan needs them, and go with the last one at trim().
inline void plans_hold_leases_on_slots(const Subject& subject) {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  Encoder encoder = fixture.open(subject.make);
  const LayerTable all = dense(kSmall, subject.precision);
  LayerTable first_two(all.size());
  first_two[0] = all[0], first_two[1] = all[1];
  auto small = load(encoder, first_two);
  const size_t two = encoder.memory().weights;
  auto whole = load(encoder, all);
  const std::vector<float> expected = encode(encoder, sample, *whole, kSmall.width);
  const size_t six = encoder.memory().weights;
  CHECK(six > two);
  encoder.trim();
  CHECK(encoder.memory().weights == six);
  whole.reset();
  CHECK(encoder.memory().weights == six);  // they stay for the next plan
  encoder.trim();
  CHECK(encoder.memory().weights == two);
  small.reset(), encoder.trim();
  CHECK(encoder.memory().weights < two);
  CHECK(encode(encoder, sample, *load(encoder, all), kSmall.width) == expected);
}

inline void a_plan_may_outlive_its_encoder(const Subject& subject) {
  const Fixture fixture(kSmall);
  std::unique_ptr<LoadedPlan> plan;
  {
    Encoder encoder = fixture.open(subject.make);
    plan = load(encoder, dense(kSmall, subject.precision));
  }
  CHECK(plan->table().size() == size_t(kSmall.sub_blocks()));
}

// After a cancelled load, an encoder gives the same bits as a fresh one.
inline void cancelling_leaves_an_encoder_that_works(const Subject& subject) {
  const Fixture fixture(kSmall);
  const Sample sample(kSmall.width);
  const LayerTable all = dense(kSmall, subject.precision);
  Encoder encoder = fixture.open(subject.make), fresh = fixture.open(subject.make);
  CancelFlag cancel;
  bool cancelled = false;
  try {
    encoder.load_plan(all, nullptr, [&](uint64_t done, uint64_t total) { if (done > total / 2) cancel.raise(); }, cancel);
  } catch (const Cancelled&) {
    cancelled = true;
  }
  CHECK(cancelled);
  const std::vector<float> expected = encode(fresh, sample, *load(fresh, all), kSmall.width);
  CHECK(encode(encoder, sample, *load(encoder, all), kSmall.width) == expected);
}

inline void bad_ids_and_nan_are_errors(const Subject& subject) {
  const Fixture fixture(kSmall);
  Sample sample(kSmall.width);
  Encoder encoder = fixture.open(subject.make);
  const auto plan = load(encoder, dense(kSmall, subject.precision));
  std::vector<float> out(50 * size_t(kSmall.width));
  const std::vector<int32_t> ids(50, kSmall.vocab);
  int refused = 0;
  try {
    encoder.encode({sample.batch(), ids.data(), nullptr}, *plan,
                   embeddings_to(out.data(), sample.rows.data(), *plan, kSmall.width), CancelFlag());
  } catch (const Error& error) {
    refused += std::string(error.code) == "ERR_INPUT";
  }
  sample.embeds[7] = NAN;
  try {
    encode(encoder, sample, *plan, kSmall.width);
  } catch (const Error& error) {
    refused += std::string(error.what()).find("NaN or infinite") != std::string::npos;
  }
  CHECK(refused == 2);
}

// Rows of the token embedding are scaled, rows that are given are not; to both the position's row is added.
inline void embeddings_are_scaled_and_placed(const Subject& subject) {
  Architecture a = kSmall;
  a.input_scale = 6.5f, a.positions = 60;
  const Fixture fixture(a);
  Sample sample(a.width);
  Encoder encoder = fixture.open(subject.make);
  const auto plan = load(encoder, LayerTable(size_t(a.sub_blocks())));
  std::vector<int32_t> ids, positions;
  for (int t = 0; t < 50; t++) ids.push_back(t * 7 % a.vocab), positions.push_back(t * 11 % a.positions);
  Batch batch = sample.batch();
  for (const bool placed : {false, true}) {
    batch.positions = placed ? positions.data() : nullptr;
    reference::Matrix of_ids, of_rows;
    for (size_t t = 0; t < 50; t++) {
      const size_t position = size_t(placed ? positions[t] : sample.indices[t]), width = size_t(a.width);
      for (size_t c = 0; c < width; c++) {
        const double added = fixture.positions[position * width + c];
        of_ids.push_back(fixture.embedding[size_t(ids[t]) * width + c] * double(a.input_scale) + added);
        of_rows.push_back(double(sample.embeds[t * width + c]) + added);
      }
    }
    std::vector<float> out(of_ids.size());
    const std::vector<Output> outputs = embeddings_to(out.data(), sample.rows.data(), *plan, a.width);
    encoder.encode({batch, ids.data(), nullptr}, *plan, outputs, CancelFlag());
    CHECK_AT_MOST(relative_error(out, reference::encode(fixture.model, plan->table(), batch, of_ids)), 1e-6);
    encoder.encode({batch, nullptr, sample.embeds.data()}, *plan, outputs, CancelFlag());
    CHECK_AT_MOST(relative_error(out, reference::encode(fixture.model, plan->table(), batch, of_rows)), 1e-6);
  }
  std::string refusal;
  positions[31] = a.positions;
  try {
    encoder.begin({batch, ids.data(), nullptr});
  } catch (const Error& error) {
    refusal = std::string(error.code) + " " + error.what();
  }
  CHECK(refusal == "ERR_INPUT position: found 60, expected 0 to 59");
}

inline void run_all(const Subject& subject) {
  for (const Architecture& a : {kSmall, kUngated, kGated}) matches_the_reference(subject, a);
  for (const Architecture& a : {kSmall, kGated}) a_low_rank_map_is_added(subject, a);
  pieces_make_the_whole(subject);
  outputs_are_states_of_one_pass(subject);
  features_are_mapped_and_compared(subject);
  plans_hold_leases_on_slots(subject);
  a_plan_may_outlive_its_encoder(subject);
  cancelling_leaves_an_encoder_that_works(subject);
  bad_ids_and_nan_are_errors(subject);
  embeddings_are_scaled_and_placed(subject);
}

}  // namespace encoder_suite
