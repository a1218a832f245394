// GELU and its gradient for training, over floats and over bf16. Included behind kernels.inl.

static inline F element(const float* p) { return f_load(p); }
static inline F element(const std::uint16_t* p) { return f_load_bf16(p); }
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

// out[i] = of(a[i], b[i]), with whole vectors in the middle and a copy for the last few.
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
    for (int j = 0; j < kBlock; j += kLanes) f_store(block + j, of(element(from_a + j), element(from_b + j)));
    put_elements(block, count, out + i);
  }
}

template <class Element>
static void gelu(const Element* x, std::ptrdiff_t n, Element* y) {
  map_elements(x, x, n, y, [](F a, F) { return gelu_tanh(a); });
}
template <class Element>
static void gelu_gradient(const Element* x, const Element* upstream, std::ptrdiff_t n, Element* out) {
  map_elements(x, upstream, n, out, [](F a, F g) { return f_mul(gelu_slope(a), g); });
}

static void gelu_f32(const float* x, std::ptrdiff_t n, float* y) { gelu(x, n, y); }
static void gelu_bf16(const std::uint16_t* x, std::ptrdiff_t n, std::uint16_t* y) { gelu(x, n, y); }
static void gelu_gradient_f32(const float* x, const float* upstream, std::ptrdiff_t n, float* out) { gelu_gradient(x, upstream, n, out); }
static void gelu_gradient_bf16(const std::uint16_t* x, const std::uint16_t* upstream, std::ptrdiff_t n, std::uint16_t* out) {
  gelu_gradient(x, upstream, n, out);
}
