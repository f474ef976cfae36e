// attention.cu against softmax by the book in double: packed sequences, hidden keys, every bucket, every head dimension.
#include "test/cuda/device_test.h"

#include <algorithm>

#include "engine/position_bucket.h"

using namespace skrr;
using namespace skrr::cuda;

namespace {

constexpr int kBuckets = 32, kMaxDistance = 128;

// Sequences of the given lengths; hidden(sequence, token) says which tokens are not attended to.
struct Sample {
  std::vector<int> starts{0}, positions, key_positions, uniform;
  int longest = 0;

  template <class Hidden>
  Sample(const std::vector<int>& lengths, int first_position, Hidden hidden) {
    for (size_t s = 0; s < lengths.size(); s++) {
      bool any = false;
      for (int t = 0; t < lengths[s]; t++) {
        positions.push_back(first_position + t);
        key_positions.push_back(hidden(int(s), t) ? -1 : first_position + t);
        any |= key_positions.back() >= 0;
      }
      starts.push_back(starts.back() + lengths[s]);
      uniform.push_back(any ? 0 : 1);
      longest = std::max(longest, lengths[s]);
    }
  }
  int tokens() const { return int(positions.size()); }
};

struct Result {
  std::vector<double> values, magnitudes;  // [tokens, heads * head_dim]; magnitudes: sum of |weight * v|
};

Result attend_by_the_book(const Sample& sample, const std::vector<bf16>& qkv, const std::vector<float>& bias, int heads,
                          int head_dim) {
  const int inner = heads * head_dim;
  Result result{std::vector<double>(size_t(sample.tokens() * inner)), std::vector<double>(size_t(sample.tokens() * inner))};
  const auto at = [&](int part, int token, int h, int d) {
    return real(qkv[size_t(token * 3 * inner + part * inner + h * head_dim + d)]);
  };
  for (size_t s = 0; s + 1 < sample.starts.size(); s++) {
    for (int i = sample.starts[s]; i < sample.starts[s + 1]; i++) {
      for (int h = 0; h < heads; h++) {
        std::vector<double> weights;
        double largest = -INFINITY, sum = 0;
        for (int j = sample.starts[s]; j < sample.starts[s + 1]; j++) {
          double score = 0;
          for (int d = 0; d < head_dim; d++) score += at(0, i, h, d) * at(1, j, h, d);
          const int distance = sample.positions[size_t(j)] - sample.positions[size_t(i)];
          score += double(bias[size_t(position_bucket(distance, kBuckets, kMaxDistance) * heads + h)]);
          if (sample.uniform[s]) score = 0;
          else if (sample.key_positions[size_t(j)] < 0) score = -INFINITY;
          weights.push_back(score);
          largest = std::max(largest, score);
        }
        for (double& w : weights) w = std::exp(w - largest), sum += w;
        for (int d = 0; d < head_dim; d++) {
          const size_t to = size_t(i * inner + h * head_dim + d);
          for (size_t j = 0; j < weights.size(); j++) {
            const double term = weights[j] / sum * at(2, sample.starts[s] + int(j), h, d);
            result.values[to] += term, result.magnitudes[to] += std::fabs(term);
          }
        }
      }
    }
  }
  return result;
}

void matches_the_book(const Sample& sample, int heads, int head_dim, float logits = 0.3f) {
  const int inner = heads * head_dim, tokens = sample.tokens();
  std::vector<bf16> qkv = random_bf16(size_t(tokens * 3 * inner), 1, logits);
  const std::vector<float> bias = random_floats(size_t(kBuckets * heads), 2, 1.5f);
  const int span = std::min(kMaxDistance, std::max(0, sample.longest - 1));
  std::vector<int> buckets;
  for (int d = -span; d <= span; d++) buckets.push_back(position_bucket(d, kBuckets, kMaxDistance));

  const OnDevice<bf16> qkv_device(qkv), out(size_t(tokens * inner));
  const OnDevice<float> bias_device(bias);
  const OnDevice<int> starts(sample.starts), positions(sample.positions), keys(sample.key_positions),
      uniform(sample.uniform), buckets_device(buckets);
  const OneSlot slot({nullptr, nullptr, nullptr, bias_device.data(), WeightFormat::kBF16}, 1);
  const Rows rows{starts.data(), positions.data(), keys.data(), uniform.data(), buckets_device.data(),
                  int(sample.uniform.size()), tokens, sample.longest, span};
  attention(test_device().stream(), {slot.at(), qkv_device.data(), out.data(), rows, heads, head_dim});

  const Result expected = attend_by_the_book(sample, qkv, bias, heads, head_dim);
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
  attention(test_device().stream(), {slot.skipped(), qkv.data(), out.data(), {nullptr, nullptr, nullptr, nullptr, nullptr, 1, 1, 1, 0}, 1, 32});
  CHECK(out.values()[0].bits == 0x1234);
  check_findings();
}

}  // namespace

int main() {
  skip_without_device();
  const auto all_visible = [](int, int) { return false; };
  matches_the_book(Sample({64}, 0, all_visible), 2, 64);
  matches_the_book(Sample({72, 1, 41}, 3, all_visible), 1, 64);                               // tails, packed
  matches_the_book(Sample({300}, 0, all_visible), 1, 32);                                     // every bucket, both signs
  matches_the_book(Sample({40, 9, 30}, 0, [](int s, int t) { return s == 1 || t % 3 == 1; }), 2, 32);  // 1: uniform
  matches_the_book(Sample({150}, 0, [](int, int t) { return t < 70; }), 1, 64);  // a first step in which nothing is visible
  matches_the_book(Sample({70}, 0, all_visible), 1, 128);
  matches_the_book(Sample({80}, 0, all_visible), 1, 64, 3.0f);  // large logits, as T5's are: one key takes it all
  CHECK(ldmatrix_conflicts() == 0);
  a_skipped_step_writes_nothing();
  return finish("attention");
}
