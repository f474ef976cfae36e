// Transposes through registers, for vector_kernels.inl and dot_kernels.inl. Numbers are moved, never computed with: any 4 bytes
// will do.

typedef float Quad __attribute__((vector_size(16)));

// out[c * out_stride + r] = x[r * stride + c] for 4 x 4 floats
inline void transpose_4x4(const float* x, int64_t stride, float* out, int64_t out_stride) {
  Quad rows[4], columns[4];
  for (int r = 0; r < 4; r++) std::memcpy(&rows[r], x + r * stride, sizeof(Quad));
  const Quad low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
  const Quad low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
  const Quad high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
  const Quad high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  columns[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  columns[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  columns[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  columns[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
  for (int c = 0; c < 4; c++) std::memcpy(out + c * out_stride, &columns[c], sizeof(Quad));
}

// out [columns][width] = the transpose of x [rows, columns], rows `stride` apart; where rows < width, zeros follow.
template <int width>
inline void transpose(const float* x, int rows, int columns, int64_t stride, float* out) {
  const int whole = rows / 4 * 4, even = columns / 4 * 4;
  for (int c = 0; c < even; c += 4) {
    for (int r = 0; r < whole; r += 4) transpose_4x4(x + r * stride + c, stride, out + c * width + r, width);
  }
  for (int c = 0; c < columns; c++) {
    for (int r = c < even ? whole : 0; r < width; r++) out[c * width + r] = r < rows ? x[r * stride + c] : 0.0f;
  }
}
