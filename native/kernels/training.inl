// GELU and its gradient, any function of a bf16 by a table, dropout, the gradient of layer norm and rows of exponentials, for
// training.
// Included behind kernels.inl.

static inline F element(const float* p) { return f_load(p); }
static inline F element(const std::uint16_t* p) { return f_load_bf16(p); }
static inline F first_halves(const std::uint16_t* p, int n) {  // the first n of a vector, and zeros
  if (n == kLanes) return f_load_bf16(p);
  alignas(64) std::uint16_t some[kLanes] = {};
  __builtin_memcpy(some, p, static_cast<std::size_t>(n) * 2);
  return f_load_bf16(some);
}
static inline void put_elements(const float* from, int n, float* to) { __builtin_memcpy(to, from, static_cast<std::size_t>(n) * 4); }
static inline void put_elements(const float* from, int n, std::uint16_t* to) { round_row(from, n, n, to); }

// d gelu_tanh(x) / dx: with s = sigmoid(2 u), s + x s (1 - s) 2 u'. Beyond 20 it is 0 or 1; what is not finite gives no number.
static inline F gelu_slope(F wide) {
  const F x = f_max(f_min(wide, f_set(20.0f)), f_set(-20.0f));
  const F square = f_mul(x, x);
  const F inner = f_fma(f_mul(square, x), f_set(0.044715f), x);
  const F s = sigmoid(f_mul(inner, f_set(1.5957691216057308f)));
  const F slope = f_fma(square, f_set(0.134145f * 1.5957691216057308f), f_set(1.5957691216057308f));
  return f_fma(f_mul(f_mul(x, s), f_sub(f_set(1.0f), s)), slope, f_fma(wide, f_set(0.0f), s));
}

// out[i] = of(a + i, b + i, i), for whole vectors: with a copy for the last few.
template <class Element, class Of>
static inline void map_elements(const Element* a, const Element* b, std::ptrdiff_t n, Element* out, const Of& of) {
  constexpr int kBlock = 8 * kLanes;
  alignas(64) float block[kBlock];
  alignas(64) Element last_a[kBlock] = {}, last_b[kBlock] = {};
  for (std::ptrdiff_t i = 0; i < n; i += kBlock) {
    const int count = n - i < kBlock ? static_cast<int>(n - i) : kBlock;
    const Element *from_a = a + i, *from_b = b + i;
    if (count < kBlock) {
      __builtin_memcpy(last_a, from_a, static_cast<std::size_t>(count) * sizeof(Element));
      __builtin_memcpy(last_b, from_b, static_cast<std::size_t>(count) * sizeof(Element));
      from_a = last_a;
      from_b = last_b;
    }
    for (int j = 0; j < kBlock; j += kLanes) f_store(block + j, of(from_a + j, from_b + j, i + j));
    put_elements(block, count, out + i);
  }
}

static void gelu_f32(const float* x, std::ptrdiff_t n, float* y) {
  map_elements(x, x, n, y, [](const float* a, const float*, std::ptrdiff_t) { return gelu_tanh(f_load(a)); });
}
static void gelu_gradient_f32(const float* x, const float* upstream, std::ptrdiff_t n, float* out) {
  map_elements(x, upstream, n, out, [](const float* a, const float* g, std::ptrdiff_t) { return f_mul(gelu_slope(f_load(a)), f_load(g)); });
}

static void look_up(const std::uint16_t* x, const float* table, std::ptrdiff_t n, std::uint16_t* y) {
  map_elements(x, x, n, y, [=](const std::uint16_t* a, const std::uint16_t*, std::ptrdiff_t) { return f_look_up(table, a); });
}
static void look_up_times(const std::uint16_t* x, const float* table, const std::uint16_t* factor, std::ptrdiff_t n, std::uint16_t* y) {
  map_elements(x, factor, n, y, [=](const std::uint16_t* a, const std::uint16_t* b, std::ptrdiff_t) { return f_mul(f_look_up(table, a), f_load_bf16(b)); });
}

template <class Element>
static void drop(const Element* x, const Dropout& dropout, std::ptrdiff_t n, Element* out) {
  map_elements(x, x, n, out, [&](const Element* a, const Element*, std::ptrdiff_t i) {
    return f_mul(element(a), kept_keys(dropout, 0, static_cast<int>(i)));
  });
}
static void drop_f32(const float* x, const Dropout& dropout, std::ptrdiff_t n, float* out) { drop(x, dropout, n, out); }
static void drop_bf16(const std::uint16_t* x, const Dropout& dropout, std::ptrdiff_t n, std::uint16_t* out) { drop(x, dropout, n, out); }

// out = x + y, for the residual stream and what joins it.
static void add_half(const float* x, const std::uint16_t* y, std::ptrdiff_t n, float* out) {
  std::ptrdiff_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f_store(out + i, f_add(f_load(x + i), f_load_bf16(y + i)));
  const int left = static_cast<int>(n - i);
  f_store_n(out + i, f_add(f_load_n(x + i, left, 0.0f), first_halves(y + i, left)), left);
}

// total[i] += the sum of column i of x (rows, n), four rows at a time.
static void sum_columns(const std::uint16_t* x, int rows, int n, float* total) {
  const auto row = [&](int r, int i, int m) { return first_halves(x + static_cast<std::ptrdiff_t>(r) * n + i, m); };
  for (int r = 0; r < rows; r += 4) {
    for (int i = 0; i < n; i += kLanes) {
      const int m = n - i < kLanes ? n - i : kLanes;
      F sum = row(r, i, m);
      for (int k = r + 1; k < r + 4 && k < rows; ++k) sum = f_add(sum, row(k, i, m));
      f_store_n(total + i, f_add(f_load_n(total + i, m, 0.0f), sum), m);
    }
  }
}

// With y = d gain + bias and d = (x - mean) / deviation, the gradient of x is (h - mean(h) - d mean(h d)) / deviation, where
// h = upstream gain; those of gain and bias, upstream d and upstream, are added to what is there.
static void layer_norm_gradient(const float* x, const std::uint16_t* upstream, const float* gain, float epsilon, int n, float* d_x, float* d_gain,
                                float* d_bias) {
  const auto left = [&](int i) { return n - i < kLanes ? n - i : kLanes; };
  const auto [mean, scale] = row_moments(x, epsilon, n);
  F sum = f_set(0.0f), along = f_set(0.0f);
  for (int i = 0; i < n; i += kLanes) {
    const int m = left(i);
    const F g = first_halves(upstream + i, m), d = f_mul(f_sub(f_load_n(x + i, m, mean), f_set(mean)), f_set(scale));
    const F h = f_mul(g, f_load_n(gain + i, m, 0.0f));
    f_store_n(d_gain + i, f_fma(g, d, f_load_n(d_gain + i, m, 0.0f)), m);
    f_store_n(d_bias + i, f_add(g, f_load_n(d_bias + i, m, 0.0f)), m);
    sum = f_add(sum, h);
    along = f_fma(h, d, along);
  }
  const F shift = f_set(f_sum(sum) / static_cast<float>(n)), tilt = f_set(f_sum(along) / static_cast<float>(n));
  for (int i = 0; i < n; i += kLanes) {
    const int m = left(i);
    const F d = f_mul(f_sub(f_load_n(x + i, m, mean), f_set(mean)), f_set(scale));
    const F h = f_mul(first_halves(upstream + i, m), f_load_n(gain + i, m, 0.0f));
    f_store_n(d_x + i, f_mul(f_sub(f_sub(h, shift), f_mul(d, tilt)), f_set(scale)), m);
  }
}

// x[i] = exp(x[i] - max) for a row; returns their sum in float, from before they are rounded.
template <class Element>
static float exponentials(Element* x, int n, float* highest) {
  constexpr int kBlock = 8 * kLanes;
  alignas(64) float block[kBlock];
  alignas(64) Element last[kBlock];
  const auto load = [&](int start, int count) -> const Element* {  // whole blocks: the last one filled up with its first number
    if (count == kBlock) return x + start;
    for (int i = 0; i < kBlock; ++i) last[i] = x[start + (i < count ? i : 0)];
    return last;
  };
  F largest = f_set(-__builtin_inff());
  for (int start = 0; start < n; start += kBlock) {
    const Element* from = load(start, n - start < kBlock ? n - start : kBlock);
    for (int j = 0; j < kBlock; j += kLanes) largest = f_max(element(from + j), largest);
  }
  *highest = f_hmax(largest);
  F sum = f_set(0.0f);
  for (int start = 0; start < n; start += kBlock) {
    const int count = n - start < kBlock ? n - start : kBlock;
    const Element* from = load(start, count);
    for (int j = 0; j < count; j += kLanes) {
      const F e = f_exp(f_sub(element(from + j), f_set(*highest)));
      f_store(block + j, e);
      sum = f_add(sum, count - j < kLanes ? f_first(e, count - j, 0.0f) : e);
    }
    put_elements(block, count, x + start);
  }
  return f_sum(sum);
}

static float exponentials_f32(float* x, int n, float* highest) { return exponentials(x, n, highest); }
static float exponentials_bf16(std::uint16_t* x, int n, float* highest) { return exponentials(x, n, highest); }
