// attention.cu against softmax by the book in double: packed sequences, hidden keys, every bucket, head dimensions, every way to
// see, and what else happens to logits.
#include "test/cuda/device_test.h"

#include <algorithm>
#include <functional>

#include "cuda/states.h"
#include "engine/position_bucket.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

// How a query sees, beside the table of biases that all cases share.
const Distance kEverything{32, 128};
const Distance kCausal{32, 128, 0};
const Distance kCausalWithoutTable{0, 0, 0};
const Distance kWindow{0, 0, 0, 19};
const Distance kBothSidesWithoutTable{0, 0, 30, 70};
const Distance kBothSides{32, 128, 30, 70};

// What an attention is, beside its distance.
struct Kind {
  int heads, head_dim, key_heads = 0;  // 0: as many as heads
  bool mean = true;
  float scale = 1, softcap = 0;
  float size = 0.3f;  // of q, k and v

  int keys() const { return key_heads > 0 ? key_heads : heads; }
  int stride() const { return (heads + 2 * keys()) * head_dim; }
};

// Sequences of the given lengths; hidden(sequence, token) says which tokens are not attended to.
struct Sample {
  std::vector<int> starts{0}, indices;
  std::vector<uint8_t> visible;

  template <class Hidden>
  Sample(const std::vector<int>& lengths, int first_index, Hidden hidden) {
    for (size_t s = 0; s < lengths.size(); s++) {
      for (int t = 0; t < lengths[s]; t++) {
        indices.push_back(first_index + t);
        visible.push_back(hidden(int(s), t) ? 0 : 1);
      }
      starts.push_back(starts.back() + lengths[s]);
    }
  }
  int tokens() const { return int(indices.size()); }
  Batch batch() const { return {int(starts.size()) - 1, tokens(), starts.data(), indices.data(), visible.data()}; }
};

struct Result {
  std::vector<double> values, magnitudes;  // [tokens, heads * head_dim]; magnitudes: sum of |weight * v|
};

// Logits of query i over the keys of its sequence; -infinity where a key is not seen.
std::vector<double> logits(const Sample& sample, const Distance& distance, const std::vector<float>& table, int heads, int h,
                           int first, int last, int i, const std::function<double(int)>& product) {
  std::vector<double> scores;
  for (int j = first; j < last; j++) {
    const int d = sample.indices[size_t(j)] - sample.indices[size_t(i)];
    const bool reached = (distance.ahead < 0 || d <= distance.ahead) && (distance.back < 0 || -d <= distance.back);
    const double bias = distance.buckets > 0 ? double(table[size_t(position_bucket(d, distance.buckets, distance.max_distance) * heads + h)]) : 0;
    scores.push_back(reached && sample.visible[size_t(j)] ? product(j) + bias : -INFINITY);
  }
  return scores;
}

Result attend_by_the_book(const Sample& sample, const Distance& distance, const Kind& kind, const std::vector<bf16>& qkv,
                          const std::vector<float>& table) {
  const int heads = kind.heads, head_dim = kind.head_dim, inner = heads * head_dim;
  Result result{std::vector<double>(size_t(sample.tokens() * inner)), std::vector<double>(size_t(sample.tokens() * inner))};
  const auto at = [&](int part, int token, int h, int d) {
    const int head = part == 0 ? h : heads + (part - 1) * kind.keys() + h / (heads / kind.keys());
    return real(qkv[size_t(token * kind.stride() + head * head_dim + d)]);
  };
  for (size_t s = 0; s + 1 < sample.starts.size(); s++) {
    const int first = sample.starts[s], last = sample.starts[s + 1];
    for (int i = first; i < last; i++) {
      for (int h = 0; h < heads; h++) {
        std::vector<double> weights = logits(sample, distance, table, heads, h, first, last, i, [&](int j) {
          double score = 0;
          for (int d = 0; d < head_dim; d++) score += at(0, i, h, d) * at(1, j, h, d);
          const double cap = double(kind.softcap), logit = score * double(kind.scale);
          return cap > 0 ? cap * std::tanh(logit / cap) : logit;
        });
        const double largest = *std::max_element(weights.begin(), weights.end());
        if (largest == -INFINITY && !kind.mean) continue;
        double sum = 0;
        for (double& w : weights) w = largest == -INFINITY ? 1 : std::exp(w - largest), sum += w;
        for (int d = 0; d < head_dim; d++) {
          const size_t to = size_t(i * inner + h * head_dim + d);
          for (size_t j = 0; j < weights.size(); j++) {
            const double term = weights[j] / sum * at(2, first + int(j), h, d);
            result.values[to] += term, result.magnitudes[to] += std::fabs(term);
          }
        }
      }
    }
  }
  return result;
}

// The second of two distances of a model: the first must not be mistaken for it.
void matches_the_book(const Sample& sample, const Kind& kind, const Distance& distance = kEverything) {
  const int heads = kind.heads, inner = heads * kind.head_dim, tokens = sample.tokens();
  const std::vector<bf16> qkv = random_bf16(size_t(tokens * kind.stride()), 1, kind.size);
  const std::vector<float> table = random_floats(size_t(std::max(distance.buckets, 1) * heads), 2, 1.5f);
  const OnDevice<bf16> qkv_device(qkv), out(size_t(tokens * inner));
  const OnDevice<float> table_device(table);
  const auto pool = std::make_shared<Pool>(0, "");
  const std::vector<Distance> distances{Distance{0, 0, 2, 2}, distance};
  const BatchRows rows(*pool, {distances, {}}, sample.batch());
  Slot attention_slot{nullptr, nullptr, nullptr, distance.buckets > 0 ? table_device.data() : nullptr, WeightFormat::kBF16};
  attention_slot.reach = {1, distance.ahead, distance.back, kind.mean};
  attention_slot.scale = kind.scale, attention_slot.softcap = kind.softcap;
  const OneSlot slot(attention_slot, 1);
  attention(test_device().stream(), {slot.at(), qkv_device.data(), out.data(), BatchRows::view(rows.extent(), rows.data()),
                                    {heads, kind.keys(), kind.head_dim}, distance.buckets > 0});

  const Result expected = attend_by_the_book(sample, distance, kind, qkv, table);
  const std::vector<bf16> got = out.values();
  for (size_t i = 0; i < got.size(); i++) {  // the weights and the result are rounded to bf16
    CHECK_AT_MOST(std::fabs(real(got[i]) - expected.values[i]),
                  std::fabs(expected.values[i]) * 0.004 + expected.magnitudes[i] * 0.004 + 1e-5);
  }
  check_findings();
}

void a_skipped_step_writes_nothing() {
  const OnDevice<bf16> qkv(std::vector<bf16>(96)), out(std::vector<bf16>(32, bf16{0x1234}));
  const OneSlot slot({}, 1);
  attention(test_device().stream(), {slot.skipped(), qkv.data(), out.data(), {nullptr, nullptr, nullptr, nullptr, nullptr, nullptr, 1, 1, 1, 0, 0}, {1, 1, 32}, true});
  CHECK(out.values()[0].bits == 0x1234);
  check_findings();
}

// Multiplications of one head of 64 by tiles of 64 x 64, for 512 rows and one distance.
uint64_t tiles_multiplied(const Distance& distance, const std::vector<uint8_t>& visible) {
  constexpr int kTokens = 512, kTileMma = 4 * 2 * (64 / 8) * (64 / 16);  // warps, Q K^T and P V, of 16 x 8 x 16
  std::vector<int> starts{0, kTokens}, indices(kTokens);
  for (int t = 0; t < kTokens; t++) indices[size_t(t)] = t;
  const OnDevice<bf16> qkv(random_bf16(size_t(kTokens * 192), 1)), out(size_t(kTokens * 64));
  const auto pool = std::make_shared<Pool>(0, "");
  const BatchRows rows(*pool, {{distance}, {}}, {1, kTokens, starts.data(), indices.data(), visible.data()});
  Slot attention_slot{nullptr, nullptr, nullptr, nullptr, WeightFormat::kBF16};
  attention_slot.reach = {0, distance.ahead, distance.back, true};
  const OneSlot slot(attention_slot, 1);
  multiplications();
  attention(test_device().stream(), {slot.at(), qkv.data(), out.data(), BatchRows::view(rows.extent(), rows.data()), {1, 1, 64}, false});
  check_findings();
  return multiplications() / kTileMma;
}

// Of 8 x 8 tiles.
void tiles_out_of_reach_are_left_out() {
  const std::vector<uint8_t> all(512, 1);
  std::vector<uint8_t> left_padded(512, 1);
  std::fill_n(left_padded.begin(), 70, uint8_t(0));
  if (!kMachineCounts) return;
  CHECK(tiles_multiplied({}, all) == 64);
  CHECK(tiles_multiplied({0, 0, 0}, all) == 36);
  CHECK(tiles_multiplied({0, 0, 0, 63}, all) == 15);
  CHECK(tiles_multiplied({0, 0, 64, 64}, all) == 22);                    // three each, two at the ends
  CHECK(tiles_multiplied({0, 0, 0}, left_padded) == 36 + 7 + 6);  // the two that have queries with the mean of all values
}

}  // namespace

int main() {
  skip_without_device();
  const auto all_visible = [](int, int) { return false; };
  matches_the_book(Sample({64}, 0, all_visible), {2, 64});
  matches_the_book(Sample({72, 1, 41}, 3, all_visible), {1, 64});                               // tails, packed
  matches_the_book(Sample({300}, 0, all_visible), {1, 32});                                     // every bucket, both signs
  matches_the_book(Sample({40, 9, 30}, 0, [](int s, int t) { return s == 1 || t % 3 == 1; }), {2, 32});  // 1: uniform
  matches_the_book(Sample({150}, 0, [](int, int t) { return t < 70; }), {1, 64});  // a first step in which nothing is visible
  matches_the_book(Sample({70}, 0, all_visible), {1, 128});
  matches_the_book(Sample({70}, 0, all_visible), {1, 256});
  matches_the_book(Sample({80}, 0, all_visible), {1, 64, 1, true, 1, 0, 3.0f});  // large logits: one key takes it all
  for (const int head_dim : {8, 40, 80, 136}) {                                  // heads narrower than their tile
    matches_the_book(Sample({70}, 0, all_visible), {2, head_dim}, head_dim == 40 ? kCausal : kCausalWithoutTable);
  }
  matches_the_book(Sample({70}, 0, all_visible), {6, 32, 2, true, 0.25f, 0, 1}, kCausalWithoutTable);
  matches_the_book(Sample({70}, 0, all_visible), {2, 32, 1, true, 0.25f, 2, 2}, kWindow);
  matches_the_book(Sample({70}, 0, all_visible), {1, 32, 1, true, 0.5f, 3, 2});
  for (const Distance& distance : {kCausal, kCausalWithoutTable, kWindow, kBothSides, kBothSidesWithoutTable}) {
    matches_the_book(Sample({150, 1, 70}, 2, all_visible), {1, 32}, distance);
    for (const bool mean : {true, false}) {  // hidden before, between and after: queries that see no key at each end
      matches_the_book(Sample({140, 5}, 0, [](int s, int t) { return s == 1 || t < 30 || (t > 60 && t < 100); }), {2, 32, 2, mean}, distance);
    }
  }
  CHECK(ldmatrix_conflicts() == 0);
  a_skipped_step_writes_nothing();
  tiles_out_of_reach_are_left_out();
  return finish("attention");
}
