// Conversions between float32 and the 16- and 8-bit formats, written so that compilers vectorise loops over them.
#pragma once

#include <cstdint>
#include <cstring>

namespace skrr {

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline bool is_finite_bits(uint32_t bits) { return (bits & 0x7f800000u) != 0x7f800000u; }

inline float from_bf16(uint16_t h) { return float_of(uint32_t(h) << 16); }

// Round to nearest, ties to even. NaN stays NaN (quiet bit set: its payload may lie in the lost bits).
inline uint16_t to_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return uint16_t((bits >> 16) | 0x40u);
  return uint16_t((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// The 15 value bits, moved under float32's exponent, are the value times 2^-112; the multiplication also normalises
// subnormals. Exponent 31 (infinity, NaN) lands at 2^16 * 1.m and is moved to float32's own by or-ing its exponent.
inline float from_f16(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000u) << 16;
  const float magnitude = float_of(uint32_t(h & 0x7fffu) << 13) * float_of((127u + 112u) << 23);
  const uint32_t special = (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
  return float_of(bits_of(magnitude) | special | sign);
}

// Round to nearest, ties to even, overflow to infinity.
inline uint16_t to_f16(float value) {
  const uint32_t bits = bits_of(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return uint16_t(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return uint16_t(sign | 0x7c00u);  // 65520 and more round to infinity
  if (magnitude < 0x38800000u) {
    // Subnormal: adding 0.5 puts the last kept bit (2^-24) at the float's last bit; the addition rounds.
    const float shifted = float_of(magnitude) + 0.5f;
    return uint16_t(sign | (bits_of(shifted) - bits_of(0.5f)));
  }
  const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return uint16_t(sign | ((rounded - (112u << 23)) >> 13));
}

// OCP E4M3: bias 7, no infinities, 0x7f and 0xff are NaN.
inline float from_f8_e4m3(uint8_t b) {
  const uint32_t sign = uint32_t(b & 0x80u) << 24;
  const float magnitude = float_of(uint32_t(b & 0x7fu) << 20) * float_of((127u + 120u) << 23);
  const uint32_t nan = (b & 0x7fu) == 0x7fu ? 0x7fc00000u : 0u;
  return float_of(bits_of(magnitude) | nan | sign);
}

}  // namespace skrr
