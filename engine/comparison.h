// How far two batches of rows are apart: sums over the tokens of each sequence, in double and in a fixed order, which no
// thread, batch or device changes.
#pragma once

#include <cmath>
#include <vector>

#include "engine/error.h"

namespace skrr {

// Of one sequence.
struct Comparison {
  double squared_error = 0;  // sum of (a - b)^2 over tokens and features
  double cosine = 0;         // sum over tokens of cos(a, b)
  double squares_a = 0;      // sum of a^2
  double squares_b = 0;
};

// Of one token.
struct TokenSums {
  double squared_error = 0, dot = 0, squares_a = 0, squares_b = 0;
};

// starts_a, starts_b: where the sequences of a and of b begin. `of_token`(t) gives the sums of token t.
template <class Int, class OfToken>
std::vector<Comparison> compare_sequences(const std::vector<Int>& starts_a, const std::vector<Int>& starts_b, OfToken of_token) {
  if (starts_a != starts_b) throw Error("ERR_ENGINE", "two states of different batches cannot be compared");
  std::vector<Comparison> sums(starts_a.size() - 1);
  for (size_t s = 0; s < sums.size(); s++) {
    for (Int t = starts_a[s]; t < starts_a[s + 1]; t++) {
      const TokenSums token = of_token(t);
      sums[s].squared_error += token.squared_error;
      if (token.squares_a > 0 && token.squares_b > 0) sums[s].cosine += token.dot / std::sqrt(token.squares_a * token.squares_b);
      sums[s].squares_a += token.squares_a;
      sums[s].squares_b += token.squares_b;
    }
  }
  return sums;
}

}  // namespace skrr
