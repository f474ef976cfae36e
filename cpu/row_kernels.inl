// Norms of rows, rotary positions, biases. Part of vector_kernels.inl.

// The sum of f(0), ..., f(n - 1). Plain loops: g++ 12 converts to double better in these than between vector types.
template <class F>
inline double sum_of(int n, F f) {
  constexpr int kSums = 2 * kLanes;
  double sums[kSums] = {}, total = 0;
  int i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (int j = 0; j < kSums; j++) sums[j] += f(i + j);
  }
  for (; i < n; i++) total += f(i);
  for (double sum : sums) total += sum;
  return total;
}

void rms_norm(const float* x, const float* weight, int n, double epsilon, float* __restrict out) {
  const double squares = sum_of(n, [x](int i) { return double(x[i]) * double(x[i]); });
  const double factor = 1.0 / __builtin_sqrt(squares / n + epsilon);
  for (int i = 0; i < n; i++) out[i] = float(double(x[i]) * factor * double(weight[i]));
}

void layer_norm(const float* x, const float* weight, const float* bias, int n, double epsilon, float* __restrict out) {
  const double mean = sum_of(n, [x](int i) { return double(x[i]); }) / n;
  const double squares = sum_of(n, [x, mean](int i) { return (double(x[i]) - mean) * (double(x[i]) - mean); });
  const double factor = 1.0 / __builtin_sqrt(squares / n + epsilon);
  for (int i = 0; i < n; i++) {
    const double normed = (double(x[i]) - mean) * factor * double(weight[i]);
    out[i] = float(bias ? normed + double(bias[i]) : normed);
  }
}

// Of each pair (a, b): a cos - b sin, b cos + a sin.
inline void turn_halves(float* x, const float* cosines, const float* sines, int pairs) {
  int j = 0;
  for (; j + kLanes <= pairs; j += kLanes) {
    const Vec a = load(x + j), b = load(x + pairs + j), c = load(cosines + j), s = load(sines + j);
    store(x + j, a * c - b * s);
    store(x + pairs + j, b * c + a * s);
  }
  for (; j < pairs; j++) {
    const float a = x[j], b = x[pairs + j];
    x[j] = a * cosines[j] - b * sines[j];
    x[pairs + j] = b * cosines[j] + a * sines[j];
  }
}

inline void turn_neighbours(float* x, const float* cosines, const float* sines, int pairs) {
  for (int j = 0; j < pairs; j++) {
    const float a = x[2 * j], b = x[2 * j + 1];
    x[2 * j] = a * cosines[j] - b * sines[j];
    x[2 * j + 1] = b * cosines[j] + a * sines[j];
  }
}

void turn(float* x, int n, const float* cosines, const float* sines, int pairs, bool interleaved, float factor) {
  if (interleaved) turn_neighbours(x, cosines, sines, pairs);
  else turn_halves(x, cosines, sines, pairs);
  for (int i = 0; factor != 1 && i < n; i++) x[i] *= factor;
}

void add_bias(float* c, int rows, int columns, const float* bias) {
  for (int r = 0; r < rows; r++) {
    for (int i = 0; i < columns; i += kLanes, c += kLanes) store(c, load(c) + load(bias + i));
  }
}
