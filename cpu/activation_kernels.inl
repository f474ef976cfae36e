// Activation functions and the softcap of logits. Part of vector_kernels.inl.

inline Vec rectify(Vec x) { return x > Vec{} ? x : Vec{}; }

// x / (1 + exp(-factor x)): x times the logistic function.
inline Vec times_sigmoid(Vec x, Vec factor) { return x / (splat(1.0f) + exp_vec(-factor * x)); }
inline Vec silu(Vec x) { return times_sigmoid(x, splat(1.0f)); }
inline Vec quick_gelu(Vec x) { return times_sigmoid(x, splat(1.702f)); }

// 0.5 x (1 + tanh u) = x / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3): Hugging Face's gelu_new.
inline Vec gelu_tanh(Vec x) {
  const Vec u = splat(0.7978845608f) * (x + splat(0.044715f) * x * x * x);
  return x / (splat(1.0f) + exp_vec(splat(-2.0f) * u));
}

// Half of erfc(z) for z >= 0, relative to 2e-7: t exp(-z^2 + polynomial of t) / 2, t = 1 / (1 + z / 2) (erfcc in Numerical
// Recipes, section 6.2).
inline Vec half_erfc(Vec z) {
  const Vec t = splat(1.0f) / (splat(1.0f) + splat(0.5f) * z);
  Vec sum = splat(0.17087277f);
  for (const float factor : {-0.82215223f, 1.48851587f, -1.13520398f, 0.27886807f, -0.18628806f, 0.09678418f, 0.37409196f,
                             1.00002368f, -1.26551223f}) {
    sum = sum * t + splat(factor);
  }
  return splat(0.5f) * t * exp_vec(sum - z * z);
}

// 0.5 x (1 + erf(x / sqrt(2))). Far below 0, where 1 + erf would cancel out, it is x erfc(|x| / sqrt(2)) / 2.
inline Vec gelu(Vec x) {
  const Vec size = x < Vec{} ? -x : x;
  const Vec part = half_erfc(size * splat(0.70710678f));
  return x < Vec{} ? x * part : x - x * part;
}

template <Vec (*activation)(Vec)>
void activate(float* x, const float* gate, int n) {
  for_each_vector(n, x, 0, [&](int i, int count, Vec v) {
    Vec y = activation(v);
    if (gate) {
      Vec g{};
      std::memcpy(&g, gate + i, size_t(count) * sizeof(float));
      y *= g;
    }
    store_part(x + i, y, count);
  });
}

// tanh: near 0 x + x^3 times a polynomial of x^2 (Cephes, tanhf.c), elsewhere 1 - 2 / (1 + exp(2x)), which would cancel out there.
inline Vec tanh_vec(Vec x) {
  const Vec square = x * x;
  Vec sum = splat(-5.70498872745e-3f);
  for (const float factor : {2.06390887954e-2f, -5.37397155531e-2f, 1.33314422036e-1f, -3.33332819422e-1f}) {
    sum = sum * square + splat(factor);
  }
  const Vec far = splat(1.0f) - splat(2.0f) / (splat(1.0f) + exp_vec(x + x));
  return square < splat(0.625f * 0.625f) ? x + x * square * sum : far;
}

void softcap(float* x, int n, float cap) {
  const Vec factor = splat(1 / cap);
  for_each_vector(n, x, 0, [&](int i, int count, Vec v) { store_part(x + i, splat(cap) * tanh_vec(v * factor), count); });
}
