// The kernels themselves, written once over the sixteen-wide vectors F and I of a vec_*.h.
// Included inside an anonymous namespace by one .cpp per instruction set. No standard library: an inline function of it,
// compiled here for AVX-512, could be the copy that the linker keeps for every processor.

// ---- elementary functions ----------------------------------------------------------------------------------------

// exp(x) to about 1 unit in the last place for x in [-87.3, 88.3]; smaller x give 0.
static inline F f_exp(F x) {
  const F clamped = f_max(f_min(x, f_set(88.3f)), f_set(-87.3f));
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
  // max(0, min(y, (x + 87.3) * 2^100)) is y for every x above the clamp and 0 for every x below it
  return f_max(f_set(0.0f), f_min(y, f_mul(f_add(x, f_set(87.3f)), f_set(1.2676506e30f))));
}

static inline F sigmoid(F x) { return f_div(f_set(1.0f), f_add(f_set(1.0f), f_exp(f_sub(f_set(0.0f), x)))); }

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
    case Activation::relu: return f_max(x, f_set(0.0f));
    case Activation::silu: return f_mul(x, sigmoid(x));
    case Activation::tanh:
      return f_sub(f_set(1.0f), f_div(f_set(2.0f), f_add(f_set(1.0f), f_exp(f_add(x, x)))));
  }
  return x;
}

static inline void finish(F value, int column, const Epilogue& epilogue, float* y) {
  if (epilogue.bias) value = f_add(value, f_load(epilogue.bias + column));
  value = activate(value, epilogue.activation);
  if (epilogue.add) value = f_add(f_load(y), value);
  f_store(y, value);
}

// ---- matrix products -----------------------------------------------------------------------------------------------

// Rows row..row+R-1 and C vectors of columns from `column` (inside panel `panel`).
template <int R, int C>
static inline void tile_f32(const ProductF32& job, int row, int panel, int column) {
  const float* w = job.weights + static_cast<std::ptrdiff_t>(panel) * job.k * kPanel + column;
  const float* x = job.x + row * job.ldx;
  F sum[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) sum[r][c] = f_set(0.0f);
  for (int k = 0; k < job.k; ++k, w += kPanel) {
    F b[C];
    for (int c = 0; c < C; ++c) b[c] = f_load(w + c * kLanes);
    for (int r = 0; r < R; ++r) {
      const F a = f_set(x[r * job.ldx + k]);
      for (int c = 0; c < C; ++c) sum[r][c] = f_fma(a, b[c], sum[r][c]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      const int out = panel * kPanel + column + c * kLanes;
      finish(sum[r][c], out, job.epilogue, job.y + (row + r) * job.ldy + out);
    }
}

template <int R, int C>
static inline void tile_i8(const ProductI8& job, int row, int panel, int column) {
  const std::int8_t* w = job.weights + static_cast<std::ptrdiff_t>(panel) * job.k * kPanel + column * kQuad;
  const std::uint8_t* x = job.x + row * job.ldx;
  I sum[R][C];
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) sum[r][c] = i_zero();
  for (int k = 0; k < job.k; k += kQuad, w += kPanel * kQuad)
    for (int r = 0; r < R; ++r) {
      const Quad a = quad_set(x + r * job.ldx + k);
      for (int c = 0; c < C; ++c) sum[r][c] = i_dot(sum[r][c], a, w + c * kLanes * kQuad);
    }
  for (int r = 0; r < R; ++r)
    for (int c = 0; c < C; ++c) {
      const int out = panel * kPanel + column + c * kLanes;
      const F scale = f_mul(f_load(job.w_scale + out), f_set(job.x_scale[row + r]));
      const F value = f_mul(i_finish(sum[r][c], job.w_sum + out), scale);
      finish(value, out, job.epilogue, job.y + (row + r) * job.ldy + out);
    }
}

struct TilesF32 {
  using Job = ProductF32;
  template <int R, int C>
  static inline void run(const Job& job, int row, int panel, int column) { tile_f32<R, C>(job, row, panel, column); }
};
struct TilesI8 {
  using Job = ProductI8;
  template <int R, int C>
  static inline void run(const Job& job, int row, int panel, int column) { tile_i8<R, C>(job, row, panel, column); }
};

template <class Tiles, int R>
static inline void rows_of_panel(const typename Tiles::Job& job, int row, int panel) {
  for (int column = 0; column < kPanel; column += kColumnTile * kLanes)
    Tiles::template run<R, kColumnTile>(job, row, panel, column);
}

template <class Tiles>
static void product(const typename Tiles::Job& job, int first, int last) {
  for (int panel = first; panel < last; ++panel) {
    if (job.m == 1) {  // four vectors wide whatever the path: one row alone must hide the latency of its own sums
      Tiles::template run<1, kPanel / kLanes>(job, 0, panel, 0);
      continue;
    }
    int row = 0;
    for (; row + kRowTile <= job.m; row += kRowTile) rows_of_panel<Tiles, kRowTile>(job, row, panel);
    switch (job.m - row) {
      case 5: rows_of_panel<Tiles, 5>(job, row, panel); break;
      case 4: rows_of_panel<Tiles, 4>(job, row, panel); break;
      case 3: rows_of_panel<Tiles, 3>(job, row, panel); break;
      case 2: rows_of_panel<Tiles, 2>(job, row, panel); break;
      case 1: rows_of_panel<Tiles, 1>(job, row, panel); break;
      default: break;
    }
  }
}

static void product_f32(const ProductF32& job, int first, int last) { product<TilesF32>(job, first, last); }
static void product_i8(const ProductI8& job, int first, int last) { product<TilesI8>(job, first, last); }

// ---- rows --------------------------------------------------------------------------------------------------------

static void quantize_row(const float* x, int k, int k_padded, std::uint8_t* q, float* scale) {
  F largest = f_set(0.0f);
  for (int i = 0; i < k; i += kLanes) largest = f_max(largest, f_abs(f_load_n(x + i, k - i < kLanes ? k - i : kLanes, 0.0f)));
  const float top = f_hmax(largest);
  *scale = top / 127.0f;
  const F inverse = f_set(top > 0.0f ? 127.0f / top : 0.0f);
  alignas(64) std::uint8_t last[kLanes];
  for (int i = 0; i < k_padded; i += kLanes) {
    const int n = k_padded - i < kLanes ? k_padded - i : kLanes;
    const int valid = k - i < 0 ? 0 : k - i < kLanes ? k - i : kLanes;
    f_store_u8(last, f_mul(f_load_n(x + i, valid, 0.0f), inverse));
    __builtin_memcpy(q + i, last, static_cast<std::size_t>(n));
  }
}

static void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, int n, float* y) {
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
  const F scale = f_set(1.0f / __builtin_sqrtf(variance + epsilon));
  for (int i = 0; i < n; i += kLanes) {
    const int m = n - i < kLanes ? n - i : kLanes;
    const F d = f_mul(f_sub(f_load_n(x + i, m, 0.0f), f_set(mean)), scale);
    f_store_n(y + i, f_fma(d, f_load_n(gain + i, m, 0.0f), f_load_n(bias + i, m, 0.0f)), m);
  }
}

// query . key for kLanes positions at a time: lanes run over positions, the sum runs over head_dim upwards.
static inline F block_scores(const Attend& job, const float* keys) {
  F sum = f_set(0.0f);
  for (int d = 0; d < job.head_dim; ++d) sum = f_fma(f_set(job.query[d]), f_load(keys + d * kLanes), sum);
  return f_mul(sum, f_set(job.scale));
}

// The weighted sum of the values, C vectors of the head from `column`; positions are added upwards.
template <int C>
static inline void weighted_values(const Attend& job, int column, float factor) {
  F sum[C];
  for (int c = 0; c < C; ++c) sum[c] = f_set(0.0f);
  for (int t = 0; t < job.visible; ++t) {
    const float* v = job.pages[t / kPage] + job.value_offset + static_cast<std::ptrdiff_t>(t % kPage) * job.value_stride + column;
    const F p = f_set(job.scores[t]);
    for (int c = 0; c < C; ++c) sum[c] = f_fma(p, f_load(v + c * kLanes), sum[c]);
  }
  for (int c = 0; c < C; ++c) {
    const int at = column + c * kLanes;
    const int left = job.head_dim - at;
    f_store_n(job.out + at, f_mul(sum[c], f_set(factor)), left < kLanes ? left : kLanes);
  }
}

static void attend(const Attend& job) {
  const float lowest = -__builtin_inff();
  F largest = f_set(lowest);
  for (int t = 0; t < job.visible; t += kLanes) {
    const float* keys = job.pages[t / kPage] + job.key_offset +
                        static_cast<std::ptrdiff_t>(t % kPage / kLanes) * job.head_dim * kLanes;
    const int left = job.visible - t;
    const F s = f_first(block_scores(job, keys), left < kLanes ? left : kLanes, lowest);
    f_store(job.scores + t, s);
    largest = f_max(largest, s);
  }
  const F top = f_set(f_hmax(largest));
  F sum = f_set(0.0f);
  for (int t = 0; t < job.visible; t += kLanes) {
    const F p = f_exp(f_sub(f_load(job.scores + t), top));
    f_store(job.scores + t, p);
    sum = f_add(sum, p);
  }
  const float factor = 1.0f / f_sum(sum);
  int column = 0;
  for (; column + 4 * kLanes <= job.value_stride; column += 4 * kLanes) weighted_values<4>(job, column, factor);
  for (; column < job.value_stride; column += kLanes) weighted_values<1>(job, column, factor);
}

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
