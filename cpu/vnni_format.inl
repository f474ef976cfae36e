// int8 by VNNI, for dot_kernels.inl: unsigned by signed bytes, with sums in int32. `multiply_add` is the instruction.
//
// A is stored as int8 + 128, to be unsigned. The sums start at -128 * (sum of b), which takes the 128s back:
// sum a b = sum (a + 128) b - 128 sum b.
struct Int8 {
  static constexpr int kDepth = packed::kDepth;

  static VecI dot(VecI sum, VecI x, VecI b) { return multiply_add(sum, x, b); }
  static VecI add(VecI a, VecI b) { return a + b; }

  static void start(const char* b, int blocks, VecI* start) {
    const VecI all_128 = int32_t(0x80808080) - VecI{};
    for (int v = 0; v < kVectors; v++) start[v] = VecI{};
    for (; blocks > 0; blocks--, b += kBlockBytes) {
      for (int v = 0; v < kVectors; v++) {
        const char* first = b + vector_at(v);
        for (int line = 0; line < kTileBytes; line += kLine) start[v] = multiply_add(start[v], all_128, load(first + line));
      }
    }
    for (int v = 0; v < kVectors; v++) start[v] = -start[v];
  }

  // To the nearest integer, ties to even: 1.5 * 2^23 makes it the low bits of the sum.
  static void round(const float* x, char* out) {
    for (int i = 0; i < kDepth; i++) out[i] = char(bits_of(x[i] + 12582912.0f) + 128);
  }
};
