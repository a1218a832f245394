// The kernels themselves, written once over the sixteen-wide vectors F and I of a vec_*.h.
// Included inside an anonymous namespace by one .cpp per instruction set. No standard library: an inline function of it,
// compiled here for AVX-512, could be the copy that the linker keeps for every processor.

// A loop over the registers of a tile, as so many copies of its body: EACH(i, n) { ... };
// An array that a standing loop indexes would live in memory.
template <int I>
struct Index {
  constexpr operator int() const { return I; }
};
template <int N>
struct Each {
  template <class Body, int I>
  inline __attribute__((always_inline)) void run(const Body& body, Index<I> i) const {
    if constexpr (I < N) {
      body(i);
      run(body, Index<I + 1>{});
    }
  }
  template <class Body>
  inline __attribute__((always_inline)) void operator<<(const Body& body) const { run(body, Index<0>{}); }
};
#define EACH(i, n) Each<n>{} << [&]([[maybe_unused]] auto i) __attribute__((always_inline))

// ---- elementary functions ----------------------------------------------------------------------------------------

// exp(x) to about 1 unit in the last place for x in [-87.3, 87.3]; smaller x give 0, larger ones e^87.3, whose inverse
// is still a normal number: others are slow to compute with.
static inline F f_exp(F x) {
  const F clamped = f_max(f_min(x, f_set(87.3f)), f_set(-87.3f));
  const F n = f_rint(f_mul(clamped, f_set(1.44269504088896341f)));
  F r = f_fma(n, f_set(-0.693359375f), clamped);
  r = f_fma(n, f_set(2.12194440e-4f), r);
  F p = f_set(1.9875691500e-4f);
  p = f_fma(p, r, f_set(1.3981999507e-3f));
  p = f_fma(p, r, f_set(8.3334519073e-3f));
  p = f_fma(p, r, f_set(4.1665795894e-2f));
  p = f_fma(p, r, f_set(1.6666665459e-1f));
  p = f_fma(p, r, f_set(5.0000001201e-1f));
  p = f_fma(f_mul(p, r), r, f_add(r, f_set(1.0f)));
  const F y = f_mul(p, f_exp2i(n));
  // max(0, min(y, (x + 87.3) * 2^127)) is y for every x above the clamp and 0 for every x below it
  return f_max(f_set(0.0f), f_min(y, f_mul(f_add(x, f_set(87.3f)), f_set(1.7014118e38f))));
}

// 1 / x to about 1 unit in the last place for x in [1, 2^125], larger ones counting as 2^125: Newton's method from a guess that
// takes the bits of a float for its logarithm. Four times as fast as a division.
static inline F inverse(F x) {
  const F minus = f_sub(f_set(0.0f), f_min(x, f_set(0x1.0p125f)));
  F y = f_inverse_guess(f_sub(f_set(0.0f), minus));
  EACH(i, 3) { y = f_fma(y, f_fma(minus, y, f_set(1.0f)), y); };
  return y;
}

static inline F sigmoid(F x) { return inverse(f_add(f_set(1.0f), f_exp(f_sub(f_set(0.0f), x)))); }

// GELU's tanh form, x/2 (1 + tanh u) = x sigmoid(2u) (Hendrycks & Gimpel 2016, section 2).
static inline F gelu_tanh(F x) {
  const F inner = f_fma(f_mul(f_mul(x, x), x), f_set(0.044715f), x);
  return f_mul(x, sigmoid(f_mul(inner, f_set(1.5957691216057308f))));
}

// erf by Abramowitz & Stegun 7.1.26, absolute error below 1.5e-7.
static inline F f_erf(F x) {
  const F a = f_abs(x);
  const F t = f_div(f_set(1.0f), f_fma(a, f_set(0.3275911f), f_set(1.0f)));
  F p = f_set(1.061405429f);
  p = f_fma(p, t, f_set(-1.453152027f));
  p = f_fma(p, t, f_set(1.421413741f));
  p = f_fma(p, t, f_set(-0.284496736f));
  p = f_fma(p, t, f_set(0.254829592f));
  p = f_mul(p, t);
  const F e = f_exp(f_sub(f_set(0.0f), f_mul(a, a)));
  return f_copysign(f_sub(f_set(1.0f), f_mul(p, e)), x);
}

static inline F activate(F x, Activation kind) {
  switch (kind) {
    case Activation::none: return x;
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::gelu_erf:
      return f_mul(f_mul(x, f_set(0.5f)), f_add(f_set(1.0f), f_erf(f_mul(x, f_set(0.70710678118654752f)))));
    case Activation::relu: return f_max(f_set(0.0f), x);  // in this order not-a-number stays what it is
    case Activation::silu: return f_mul(x, sigmoid(x));
    case Activation::tanh:
      return f_sub(f_set(1.0f), f_div(f_set(2.0f), f_add(f_set(1.0f), f_exp(f_add(x, x)))));
  }
  return x;
}

static inline void finish(F value, const Output& out, int row, int column) {
  float* y = out.y + row * out.ldy + column;
  if (out.epilogue.bias) value = f_add(value, f_load(out.epilogue.bias + column));
  value = activate(value, out.epilogue.activation);
  if (out.epilogue.add) value = f_add(f_load(y), value);
  f_store(y, value);
}

// ---- matrix products -----------------------------------------------------------------------------------------------
//
// Each struct below computes one tile, R rows by C vectors of columns, of one kind of product.

// The weights to ask for while computing, because the processor's own prefetcher stays too close to keep the memory busy. For
// few rows they lie a little further on in the same panel. For more, which pass over a panel several times, they are the next
// panel's, each pass asking for its share, so that the memory has work in every one.
struct Ahead {
  const char* at;
  int shift;  // of as many bytes as a step of the product reads of the whole panel, a pass asks for this power of two less

  inline void go(int bytes) {
    const int share = bytes >> shift;
    for (int line = 0; line < share; line += 64) prefetch(at + line);
    at += share;
  }
};
constexpr int kNothingAhead = 30;
constexpr int kAhead = 2048;  // bytes
constexpr int kStep = 4 * kPanel;  // bytes that a step of a product reads: a float, a pair of bf16 or a quad for each column

struct TilesF32 {
  using Job = ProductF32;
  static std::ptrdiff_t panel_bytes(const Job& job) { return static_cast<std::ptrdiff_t>(job.k) * kPanel * 4; }
  static constexpr int few = kFewRows, rows = kRowTile, columns = kColumnTile;

  // A tall tile goes through k in stretches, so that the panel's share of a stretch stays in the cache while all rows pass;
  // in between its sums wait in the scratch. The order of the additions is the same.
  static constexpr int stretch = 768;

  template <int R, int C>
  static inline void run(const Job& job, int row, int panel, int column, Ahead ahead) {
    add<R, C>(job, row, panel, column, ahead, 0, job.k, job.out.y);  // in one go: nothing waits
  }

  template <int R, int C>
  static inline void add(const Job& job, int row, int panel, int column, Ahead ahead, int from, int to, float* waiting) {
    const float* w = job.weights + (static_cast<std::ptrdiff_t>(panel) * job.k + from) * kPanel + column;
    const float* x = job.x + row * job.ldx;
    F sum[R][C];
    EACH(r, R) {
      EACH(c, C) { sum[r][c] = from > 0 ? f_load(waiting + r * kPanel + column + c * kLanes) : f_set(0.0f); };
    };
    for (int k = from; k < to; ++k, w += kPanel) {
      ahead.go(kStep);
      F b[C];
      EACH(c, C) { b[c] = f_load(w + c * kLanes); };
      EACH(r, R) {
        const F a = f_set(x[r * job.ldx + k]);
        EACH(c, C) { sum[r][c] = f_fma(a, b[c], sum[r][c]); };
      };
    }
    EACH(r, R) {
      EACH(c, C) {
        if (to < job.k) f_store(waiting + r * kPanel + column + c * kLanes, sum[r][c]);
        else finish(sum[r][c], job.out, row + r, panel * kPanel + column + c * kLanes);
      };
    };
  }
};

struct TilesBf16 {
  using Job = ProductBf16;
  static std::ptrdiff_t panel_bytes(const Job& job) { return static_cast<std::ptrdiff_t>(job.k) * kPanel * 2; }
  static constexpr int few = 1, rows = kRowTileBf16, columns = kColumnTile;

  template <int R, int C>
  static inline void run(const Job& job, int row, int panel, int column, Ahead ahead) {
    const std::uint16_t* w = job.weights + static_cast<std::ptrdiff_t>(panel) * job.k * kPanel + column * 2;
    const std::uint16_t* x = job.x + static_cast<std::ptrdiff_t>(row) * job.k;
    F total[R][C];
    EACH(r, R) {
      EACH(c, C) { total[r][c] = f_set(0.0f); };
    };
    alignas(64) float wide[R][kDepthBf16];
    for (int k = 0; k < job.k; k += kDepthBf16) {
      EACH(r, R) {
        for (int i = 0; i < kDepthBf16; i += kLanes) f_store(wide[r] + i, f_load_bf16(x + static_cast<std::ptrdiff_t>(r) * job.k + k + i));
      };
      F even[R][C], odd[R][C];
      EACH(r, R) {
        EACH(c, C) { even[r][c] = odd[r][c] = f_set(0.0f); };
      };
      for (int i = 0; i < kDepthBf16; i += 2, w += kPanel * 2) {
        ahead.go(kStep);
        EACH(c, C) {
          F w_even, w_odd;
          f_load_pairs(w + c * kLanes * 2, w_even, w_odd);
          EACH(r, R) {
            even[r][c] = f_fma(f_set(wide[r][i]), w_even, even[r][c]);
            odd[r][c] = f_fma(f_set(wide[r][i + 1]), w_odd, odd[r][c]);
          };
        };
      }
      EACH(r, R) {
        EACH(c, C) { total[r][c] = f_add(total[r][c], f_add(even[r][c], odd[r][c])); };
      };
    }
    EACH(r, R) {
      EACH(c, C) { finish(total[r][c], job.out, row + r, panel * kPanel + column + c * kLanes); };
    };
  }
};

struct TilesI8 {
  using Job = ProductI8;
  static std::ptrdiff_t panel_bytes(const Job& job) { return static_cast<std::ptrdiff_t>(job.k) * kPanel; }
  static constexpr int few = kFewRows, rows = kRowTile, columns = kColumnTile;

  template <int R, int C>
  static inline void run(const Job& job, int row, int panel, int column, Ahead ahead) {
    const std::uint8_t* w = job.weights + static_cast<std::ptrdiff_t>(panel) * job.k * kPanel + column * kQuad;
    const std::int8_t* x = job.x.q + static_cast<std::ptrdiff_t>(row) * job.k;
    alignas(64) float total[R][C * kLanes];  // in memory: the registers belong to the integer sums
    EACH(r, R) {
      EACH(c, C) { f_store(total[r] + c * kLanes, f_set(0.0f)); };
    };
    for (int group = 0, k = 0; group < job.x.groups; ++group) {
      const int end = job.k - k < kGroupI8 ? job.k : k + kGroupI8;
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * job.x.groups + group;
      I sum[R][C];
      EACH(r, R) {
        EACH(c, C) { sum[r][c] = i_start_u8(job.x.sum[at + static_cast<std::ptrdiff_t>(r) * job.x.groups]); };
      };
      for (; k < end; k += kQuad, w += kPanel * kQuad) {
        ahead.go(kStep);
        W b[C];
        EACH(c, C) { b[c] = w_load(w + c * kLanes * kQuad); };
        EACH(r, R) {
          const Quad a = quad_set(x + static_cast<std::ptrdiff_t>(r) * job.k + k);
          EACH(c, C) { sum[r][c] = i_dot_u8(sum[r][c], b[c], a); };
        };
      }
      EACH(r, R) {
        const F scale = f_set(job.x.scale[at + static_cast<std::ptrdiff_t>(r) * job.x.groups]);
        EACH(c, C) { f_store(total[r] + c * kLanes, f_fma(i_float(sum[r][c]), scale, f_load(total[r] + c * kLanes))); };
      };
    }
    EACH(r, R) {
      EACH(c, C) {
        const int at = panel * kPanel + column + c * kLanes;
        finish(f_mul(f_load(total[r] + c * kLanes), f_load(job.w_scale + at)), job.out, row + r, at);
      };
    };
  }
};

struct TilesI4 {
  using Job = ProductI4;
  static std::ptrdiff_t panel_bytes(const Job& job) { return static_cast<std::ptrdiff_t>(job.x.groups) * static_cast<std::ptrdiff_t>(kGroupBytesI4); }
  static constexpr int few = 1, rows = kRowTileI4, columns = kColumnTile;

  template <int R, int C>
  static inline void run(const Job& job, int row, int panel, int column, Ahead ahead) {
    const std::uint8_t* group_weights = job.weights + static_cast<std::ptrdiff_t>(panel) * job.x.groups * static_cast<std::ptrdiff_t>(kGroupBytesI4);
    const std::int8_t* x = job.x.q + static_cast<std::ptrdiff_t>(row) * job.k;
    F total[R][C];
    EACH(r, R) {
      EACH(c, C) { total[r][c] = f_set(0.0f); };
    };
    for (int group = 0; group < job.x.groups; ++group, group_weights += kGroupBytesI4, x += kGroupI4) {
      const auto* w_scale = reinterpret_cast<const std::uint16_t*>(group_weights) + column;
      const std::uint8_t* w = group_weights + kScalesI4 + column * kQuad;
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row) * job.x.groups + group;
      ahead.go(static_cast<int>(kScalesI4));
      I sum[R][C];
      EACH(r, R) {
        EACH(c, C) { sum[r][c] = i_start_u4(job.x.sum[at + static_cast<std::ptrdiff_t>(r) * job.x.groups]); };
      };
      for (int i = 0; i < kGroupI4; i += 2 * kQuad, w += kPanel * kQuad) {
        ahead.go(kStep);
        EACH(c, C) {
          W low, high;
          w_load_halves(w + c * kLanes * kQuad, low, high);
          EACH(r, R) {
            const std::int8_t* a = x + static_cast<std::ptrdiff_t>(r) * job.k + i;
            sum[r][c] = i_dot_u4(i_dot_u4(sum[r][c], low, quad_set(a)), high, quad_set(a + kQuad));
          };
        };
      }
      EACH(c, C) {
        const F scale = f_load_f16(w_scale + c * kLanes);
        EACH(r, R) {
          total[r][c] = f_fma(i_float(sum[r][c]), f_mul(scale, f_set(job.x.scale[at + static_cast<std::ptrdiff_t>(r) * job.x.groups])), total[r][c]);
        };
      };
    }
    EACH(r, R) {
      EACH(c, C) { finish(total[r][c], job.out, row + r, panel * kPanel + column + c * kLanes); };
    };
  }
};

// `count` rows, at most R, of one panel, C vectors of columns at a time; `pass` numbers the passes over the panel.
template <class Tiles, int R, int C>
static inline void rows_of_panel(const typename Tiles::Job& job, int row, int count, int panel, int pass, Ahead ahead, std::ptrdiff_t share) {
  if (count == R) {
    for (int column = 0; column < kPanel; column += C * kLanes, ++pass) {
      const bool asks = pass < 1 << ahead.shift;
      Tiles::template run<R, C>(job, row, panel, column, asks ? Ahead{ahead.at + pass * share, ahead.shift} : Ahead{ahead.at, kNothingAhead});
    }
  } else if constexpr (R > 1) {
    rows_of_panel<Tiles, R - 1, C>(job, row, count, panel, pass, ahead, share);
  }
}

template <class Tiles>
static void product(const typename Tiles::Job& job, int first, int last) {
  const std::ptrdiff_t bytes = Tiles::panel_bytes(job);
  const auto* weights = reinterpret_cast<const char*>(job.weights);
  constexpr int kWide = kPanel / kLanes / Tiles::columns;   // passes for each block of rows
  const int blocks = (job.m + Tiles::rows - 1) / Tiles::rows;  // of nearly equal height
  const int passes = blocks * kWide, shift = passes >= 8 ? 3 : passes >= 4 ? 2 : passes >= 2 ? 1 : 0;
  for (int panel = first; panel < last; ++panel) {
    if (job.m <= Tiles::few) {
      rows_of_panel<Tiles, Tiles::few, kPanel / kLanes>(job, 0, job.m, panel, 0, {weights + panel * bytes + kAhead, 0}, 0);
      continue;
    }
    const Ahead ahead{weights + (panel + 1) * bytes, shift};  // behind the last panel lie other weights, or nothing: asking does no harm
    for (int block = 0; block < blocks; ++block) {
      const int row = job.m * block / blocks;
      rows_of_panel<Tiles, Tiles::rows, Tiles::columns>(job, row, job.m * (block + 1) / blocks - row, panel, block * kWide, ahead, bytes >> shift);
    }
  }
}

// `count` rows, at most R, of one panel from input `from` up to `to`.
template <int R>
static inline void stretch_of_panel(const ProductF32& job, int row, int count, int panel, int from, int to, float* waiting) {
  if (count == R) {
    for (int column = 0; column < kPanel; column += kColumnTile * kLanes)
      TilesF32::add<R, kColumnTile>(job, row, panel, column, Ahead{nullptr, kNothingAhead}, from, to, waiting);
  } else if constexpr (R > 1) {
    stretch_of_panel<R - 1>(job, row, count, panel, from, to, waiting);
  }
}

static void product_f32(const ProductF32& job, int first, int last) {
  if (job.m <= kRowTile || job.k <= TilesF32::stretch) return product<TilesF32>(job, first, last);
  constexpr int kBlocks = 12;  // rows of tiles that pass together
  alignas(64) float waiting[kBlocks * kRowTile * kPanel];
  const int blocks = (job.m + kRowTile - 1) / kRowTile;
  for (int panel = first; panel < last; ++panel)
    for (int start = 0; start < blocks; start += kBlocks) {
      const int end = blocks - start < kBlocks ? blocks : start + kBlocks;
      for (int from = 0; from < job.k; from += TilesF32::stretch) {
        const int to = job.k - from < TilesF32::stretch ? job.k : from + TilesF32::stretch;
        for (int block = start; block < end; ++block) {
          const int row = job.m * block / blocks;
          stretch_of_panel<kRowTile>(job, row, job.m * (block + 1) / blocks - row, panel, from, to, waiting + (block - start) * kRowTile * kPanel);
        }
      }
    }
}
static void product_bf16(const ProductBf16& job, int first, int last) { product<TilesBf16>(job, first, last); }
static void product_i8(const ProductI8& job, int first, int last) { product<TilesI8>(job, first, last); }
static void product_i4(const ProductI4& job, int first, int last) { product<TilesI4>(job, first, last); }

// ---- rows --------------------------------------------------------------------------------------------------------

static void quantize_row(const float* x, int k, int k_padded, int group, std::int8_t* q, float* scale, std::int32_t* sum) {
  F poison = f_set(0.0f);  // not a number once any input is infinite or not a number
  for (int start = 0, g = 0; start < k_padded; start += group, ++g) {
    const int end = k_padded - start < group ? k_padded : start + group;
    const auto load = [&](int i) { return i + kLanes <= k ? f_load(x + i) : f_load_n(x + i, k < i ? 0 : k - i, 0.0f); };
    F largest = f_set(0.0f);
    for (int i = start; i < end; i += kLanes) {
      const F v = load(i);
      largest = f_max(largest, f_abs(v));
      poison = f_fma(v, f_set(0.0f), poison);
    }
    const float top = f_hmax(largest);
    scale[g] = top / 127.0f;
    const F inverse = f_set(top > 0x1.0p-100f ? 127.0f / top : 0.0f);  // infinite for the smallest
    F total = f_set(0.0f);  // of whole numbers, few enough to be exact
    for (int i = start; i < end; i += kLanes) {
      const F whole = f_rint(f_min(f_max(f_mul(load(i), inverse), f_set(-127.0f)), f_set(127.0f)));
      f_store_s8(q + i, whole);
      total = f_add(total, whole);
    }
    sum[g] = static_cast<std::int32_t>(f_sum(total));
  }
  scale[0] += f_sum(poison);
}

// The bits of the nearest bf16, ties to even; numbers below the normal range become zeros of their sign. As VCVTNEPS2BF16 does
// it (Intel SDM).
static inline std::uint32_t rounded_bits(float x) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  const std::uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  const bool is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u, is_tiny = (bits & 0x7F800000u) == 0;
  return is_nan ? bits >> 16 | 0x40u : is_tiny ? bits >> 16 & 0x8000u : rounded;
}
static inline void store_bf16(std::uint16_t* p, F x) {
#if defined(__AVX512BF16__)
  f_store_bf16(p, x);
#else
  alignas(64) float plain[kLanes];
  f_store(plain, x);
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<std::uint16_t>(rounded_bits(plain[i]));
#endif
}
static inline float rounded_float(float x) {
  const std::uint32_t bits = rounded_bits(x) << 16;
  float y;
  __builtin_memcpy(&y, &bits, 4);
  return y;
}

static void round_row(const float* x, int k, int k_padded, std::uint16_t* out) {
  int i = 0;
  for (; i + kLanes <= k; i += kLanes) store_bf16(out + i, f_load(x + i));
  for (; i < k; ++i) out[i] = static_cast<std::uint16_t>(rounded_bits(x[i]));
  for (; i < k_padded; ++i) out[i] = 0;
}

// The mean of a row and one over its deviation.
struct Moments {
  float mean, scale;
};
static inline Moments row_moments(const float* x, float epsilon, int n) {
  F sum = f_set(0.0f);
  for (int i = 0; i < n; i += kLanes) sum = f_add(sum, f_load_n(x + i, n - i < kLanes ? n - i : kLanes, 0.0f));
  const float mean = f_sum(sum) / static_cast<float>(n);
  F squares = f_set(0.0f);
  for (int i = 0; i < n; i += kLanes) {
    const int m = n - i < kLanes ? n - i : kLanes;
    const F d = f_first(f_sub(f_load_n(x + i, m, 0.0f), f_set(mean)), m, 0.0f);
    squares = f_fma(d, d, squares);
  }
  const float variance = f_sum(squares) / static_cast<float>(n);
  return {mean, 1.0f / __builtin_sqrtf(variance + epsilon)};
}

static void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, int n, float* y) {
  const auto [mean, scale] = row_moments(x, epsilon, n);
  for (int i = 0; i < n; i += kLanes) {
    const int m = n - i < kLanes ? n - i : kLanes;
    const F d = f_mul(f_sub(f_load_n(x + i, m, 0.0f), f_set(mean)), f_set(scale));
    f_store_n(y + i, f_fma(d, f_load_n(gain + i, m, 0.0f), f_load_n(bias + i, m, 0.0f)), m);
  }
}

#include "attention.inl"

// ---- logits --------------------------------------------------------------------------------------------------------

static void block_max(const float* x, int n, float* out) {
  for (int i = 0; i < n; i += kPanel) {
    F largest = f_load(x + i);
    for (int j = kLanes; j < kPanel; j += kLanes) largest = f_max(largest, f_load(x + i + j));
    out[i / kPanel] = f_hmax(largest);
  }
}

static void exp_shifted(const float* x, int n, float shift, float* out) {
  for (int i = 0; i < n; i += kLanes) {
    const int m = n - i < kLanes ? n - i : kLanes;
    f_store_n(out + i, f_exp(f_sub(f_load_n(x + i, m, 0.0f), f_set(shift))), m);
  }
}

static RowStats row_stats(const float* x, int n, float* out_exp) {
  constexpr int kStretch = 512;  // summed in float, then added to a double: long rows lose nothing
  const float lowest = -__builtin_inff();
  F largest = f_set(lowest);
  for (int i = 0; i < n; i += kLanes) largest = f_max(largest, f_load_n(x + i, n - i < kLanes ? n - i : kLanes, lowest));
  const float top = f_hmax(largest);
  double total = 0.0, weighted = 0.0;
  for (int start = 0; start < n; start += kStretch) {
    const int end = n - start < kStretch ? n : start + kStretch;
    F sum = f_set(0.0f), moment = f_set(0.0f);
    for (int i = start; i < end; i += kLanes) {
      const int m = end - i < kLanes ? end - i : kLanes;
      const F d = f_sub(f_load_n(x + i, m, lowest), f_set(top));
      const F e = f_exp(d);
      sum = f_add(sum, e);
      // an impossible token (-inf) has probability 0 and adds 0 to the entropy, not 0 * inf
      moment = f_fma(e, f_max(d, f_set(-1e30f)), moment);
      if (out_exp) f_store_n(out_exp + i, e, m);
    }
    total += static_cast<double>(f_sum(sum));
    weighted += static_cast<double>(f_sum(moment));
  }
  const double log_total = __builtin_log(total);
  return {top, static_cast<double>(top) + log_total, log_total - weighted / total};
}

#include "dropout.inl"
#include "training.inl"

// The table of this instruction set.
#define GPT2LAB_KERNELS(name)                                                                                        \
  {name, product_f32, product_bf16, product_i8, product_i4, quantize_row, round_row, layer_norm, attend_f32, attend_bf16, attend_i8, \
   block_max, row_stats, exp_shifted, gelu_f32, gelu_gradient_f32, look_up, look_up_times, add_half, sum_columns, layer_norm_gradient, \
   exponentials_f32, exponentials_bf16, drop_f32, drop_bf16, nullptr}
