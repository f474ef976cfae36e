// Every pattern of every short format, against the definition of the format.
#include "engine/numeric.h"

#include "engine/weights.h"
#include "test/engine/check.h"

using namespace skrr;

namespace {

// sign, e exponent bits, m mantissa bits, by the book, in double
double decode(unsigned pattern, int e, int m, bool infinities) {
  const unsigned exponent = (pattern >> m) & ((1u << e) - 1), mantissa = pattern & ((1u << m) - 1);
  const int bias = (1 << (e - 1)) - 1;
  const double sign = (pattern >> (e + m)) ? -1 : 1;
  if (infinities && exponent == (1u << e) - 1) return mantissa ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(double(mantissa), 1 - bias - m);
  return sign * std::ldexp(double((1u << m) + mantissa), int(exponent) - bias - m);
}

bool same(float a, double b) { return std::isnan(b) ? std::isnan(a) : double(a) == b && std::signbit(a) == std::signbit(b); }

void every_pattern_reads_as_defined() {
  for (unsigned p = 0; p < 65536; p++) {
    CHECK(same(from_f16(uint16_t(p)), decode(p, 5, 10, true)));
    CHECK(same(from_bf16(uint16_t(p)), decode(p, 8, 7, true)));
  }
  for (unsigned p = 0; p < 256; p++) {
    CHECK(same(from_f8_e4m3(uint8_t(p)), (p & 0x7f) == 0x7f ? NAN : decode(p, 4, 3, false)));
  }
}

void writing_undoes_reading() {
  for (unsigned p = 0; p < 65536; p++) {
    if (!std::isnan(from_f16(uint16_t(p)))) CHECK(to_f16(from_f16(uint16_t(p))) == p);
    if (!std::isnan(from_bf16(uint16_t(p)))) CHECK(to_bf16(from_bf16(uint16_t(p))) == p);
  }
  CHECK(std::isnan(from_f16(to_f16(NAN))));
  CHECK(std::isnan(from_bf16(to_bf16(float_of(0x7f800001u)))));
}

// Halfway values go to the even neighbour, others to the nearer one.
void rounding_is_to_nearest_even() {
  for (unsigned p = 0; p + 1 < 0x7c00; p++) {
    const float low = from_f16(uint16_t(p)), high = from_f16(uint16_t(p + 1));
    const float middle = (low + high) / 2;
    CHECK(to_f16(middle) == (p % 2 == 0 ? p : p + 1));
    CHECK(to_f16(std::nextafter(middle, 0.0f)) == p);
    CHECK(to_f16(std::nextafter(middle, INFINITY)) == p + 1);
  }
  for (unsigned p = 0; p + 1 < 0x7f80; p++) {
    const float middle = float_of((p << 16) | 0x8000u);
    CHECK(to_bf16(middle) == (p % 2 == 0 ? p : p + 1));
    CHECK(to_bf16(std::nextafter(middle, 0.0f)) == p);
  }
  CHECK(to_f16(65519.996f) == 0x7bff);
  CHECK(to_f16(65520.0f) == 0x7c00);
}

void unaligned_and_non_finite_weights() {
  alignas(4) std::byte bytes[9] = {};
  const float value = 1.5f;
  std::memcpy(bytes + 1, &value, 4);
  Tensor tensor{"w", bytes + 1, Encoding::kF32, 1, 1, 2.0f};
  float out = 0;
  read_floats(tensor, 0, 1, &out);
  CHECK(out == 3.0f);  // the tensor's scale applies

  const float bad = NAN;
  std::memcpy(bytes + 1, &bad, 4);
  bool refused = false;
  try {
    read_floats(tensor, 0, 1, &out);
  } catch (const Error& error) {
    refused = std::string(error.what()).find("w: found a weight that is NaN") != std::string::npos;
  }
  CHECK(refused);
}

}  // namespace

int main() {
  every_pattern_reads_as_defined();
  writing_undoes_reading();
  rounding_is_to_nearest_even();
  unaligned_and_non_finite_weights();
  return finish("numeric");
}
