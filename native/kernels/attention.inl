// Attention over a paged cache, for each of its formats. Included by kernels.inl.

// What the next stretch of a loop over the cache will read: its pages lie far apart, out of the sight of the processor's own
// prefetcher.
static inline void fetch(const void* p, std::ptrdiff_t bytes) {
  for (std::ptrdiff_t at = 0; at < bytes; at += 64) prefetch(static_cast<const char*>(p) + at);
}

// Softmax over the scores of one query, with `bias` added where there is one and scaled first, without the division: put(t, p) is
// called for the vectors of weights from position t, and the factor that makes their sum one is returned.
template <class Put>
static inline float soften(float* scores, const float* bias, float scale, int visible, int stored, float* log_sum, const Put& put) {
  const float lowest = -__builtin_inff();
  F largest = f_set(lowest);
  for (int t = 0; t < stored; t += kLanes) {
    const int left = visible - t;
    const F raw = bias ? f_add(f_load(scores + t), f_load(bias + t)) : f_load(scores + t);
    const F s = f_first(f_mul(raw, f_set(scale)), left < 0 ? 0 : left < kLanes ? left : kLanes, lowest);
    f_store(scores + t, s);
    largest = f_max(largest, s);
  }
  const F top = f_set(f_hmax(largest));
  F sum = f_set(0.0f);
  for (int t = 0; t < stored; t += kLanes) {
    const F p = f_exp(f_sub(f_load(scores + t), top));
    put(t, p);
    sum = f_add(sum, p);
  }
  const float total = f_sum(sum);
  if (log_sum) *log_sum = f_hmax(top) + static_cast<float>(__builtin_log(static_cast<double>(total)));
  return 1.0f / total;
}

// The two halves of attention, for each format. `scores` of Q queries against one page: lanes run over positions, the sums over
// head_dim. `values` of Q queries, C vectors of the head from `column`: the sums run over positions. Between them `weigh` makes
// of n weights of softmax what meets the values. `Ready` is what of Q queries is computed once.

struct CacheF32 {
  using Element = float;
  static constexpr int queries = kQueryTile;
  static std::ptrdiff_t key_bytes(const Attend& job) { return static_cast<std::ptrdiff_t>(job.head_dim) * kPage * 4; }
  static std::ptrdiff_t value_bytes(const Attend& job) { return static_cast<std::ptrdiff_t>(job.value_stride) * kPage * 4; }
  static void weigh(const Attend&, float*, int) {}

  template <int Q>
  struct Ready {
    Ready(const Attend& job, int query) : queries(job.query + query * job.query_stride) {}
    const float* queries;
  };

  template <int Q>
  static inline void scores(const Attend& job, const Ready<Q>& ready, const float* keys, float* out) {
    constexpr int B = kPage / kLanes;
    F sum[Q][B];
    EACH(q, Q) {
      EACH(b, B) { sum[q][b] = f_set(0.0f); };
    };
    const float* x = ready.queries;
    for (int d = 0; d < job.head_dim; ++d)
      EACH(b, B) {
        const F key = f_load(keys + (b * job.head_dim + d) * kLanes);
        EACH(q, Q) { sum[q][b] = f_fma(f_set(x[q * job.query_stride + d]), key, sum[q][b]); };
      };
    EACH(q, Q) {
      EACH(b, B) { f_store(out + q * job.score_stride + b * kLanes, sum[q][b]); };
    };
  }

  template <int Q, int C>
  static inline void values(const Attend& job, int column, int visible, F (&total)[Q][C]) {
    for (int page = 0; page * kPage < visible; ++page) {
      const float* v = static_cast<const float*>(job.pages[page]) + job.value_offset + column;
      if (Q == 1 && column == 0 && (page + 1) * kPage < visible)
        fetch(static_cast<const float*>(job.pages[page + 1]) + job.value_offset, value_bytes(job));
      const float* p = job.scores + page * kPage;
      const int count = visible - page * kPage < kPage ? visible - page * kPage : kPage;
      for (int t = 0; t < count; ++t, v += job.value_stride)
        EACH(c, C) {
          const F value = f_load(v + c * kLanes);
          EACH(q, Q) { total[q][c] = f_fma(f_set(p[q * job.score_stride + t]), value, total[q][c]); };
        };
    }
  }
};

struct CacheBf16 {
  using Element = std::uint16_t;
  static constexpr int queries = kRowTileBf16;
  static int depth(const Attend& job) { return round_up(job.head_dim, kDepthBf16); }
  static std::ptrdiff_t key_bytes(const Attend& job) { return static_cast<std::ptrdiff_t>(depth(job)) * kPage * 2; }
  static std::ptrdiff_t value_bytes(const Attend& job) { return static_cast<std::ptrdiff_t>(job.value_stride) * kPage * 2; }
  static void weigh(const Attend&, float* p, int n) {
    for (int i = 0; i < n; ++i) p[i] = rounded_float(p[i]);
  }

  template <int Q>
  struct Ready {
    Ready(const Attend& job, int query) : queries(static_cast<std::uint16_t*>(job.rounded)) {
      for (int q = 0; q < Q; ++q) round_row(job.query + (query + q) * job.query_stride, job.head_dim, depth(job), queries + q * depth(job));
    }
    std::uint16_t* queries;
  };

  template <int Q>
  static inline void scores(const Attend& job, const Ready<Q>& ready, const std::uint16_t* keys, float* out) {
    constexpr int B = kPage / kLanes;
    F total[Q][B];
    EACH(q, Q) {
      EACH(b, B) { total[q][b] = f_set(0.0f); };
    };
    alignas(64) float wide[Q][kDepthBf16];
    const int deep = depth(job);
    for (int d = 0; d < deep; d += kDepthBf16) {
      EACH(q, Q) {
        for (int i = 0; i < kDepthBf16; i += kLanes) f_store(wide[q] + i, f_load_bf16(ready.queries + q * deep + d + i));
      };
      F even[Q][B], odd[Q][B];
      EACH(q, Q) {
        EACH(b, B) { even[q][b] = odd[q][b] = f_set(0.0f); };
      };
      for (int i = 0; i < kDepthBf16; i += 2, keys += kPage * 2)
        EACH(b, B) {
          F key_even, key_odd;
          f_load_pairs(keys + b * kLanes * 2, key_even, key_odd);
          EACH(q, Q) {
            even[q][b] = f_fma(f_set(wide[q][i]), key_even, even[q][b]);
            odd[q][b] = f_fma(f_set(wide[q][i + 1]), key_odd, odd[q][b]);
          };
        };
      EACH(q, Q) {
        EACH(b, B) { total[q][b] = f_add(total[q][b], f_add(even[q][b], odd[q][b])); };
      };
    }
    EACH(q, Q) {
      EACH(b, B) { f_store(out + q * job.score_stride + b * kLanes, total[q][b]); };
    };
  }

  // Whole pages, as a tile unit does: what is not visible has weight 0.
  template <int Q, int C>
  static inline void values(const Attend& job, int column, int visible, F (&total)[Q][C]) {
    for (int page = 0; page * kPage < visible; ++page) {
      const std::uint16_t* v = static_cast<const std::uint16_t*>(job.pages[page]) + job.value_offset + column * 2;
      if (Q == 1 && column == 0 && (page + 1) * kPage < visible)
        fetch(static_cast<const std::uint16_t*>(job.pages[page + 1]) + job.value_offset, value_bytes(job));
      const float* p = job.scores + page * kPage;
      F even[Q][C], odd[Q][C];
      EACH(q, Q) {
        EACH(c, C) { even[q][c] = odd[q][c] = f_set(0.0f); };
      };
      for (int t = 0; t < kPage; t += 2, v += job.value_stride * 2)
        EACH(c, C) {
          F value_even, value_odd;
          f_load_pairs(v + c * kLanes * 2, value_even, value_odd);
          EACH(q, Q) {
            even[q][c] = f_fma(f_set(p[q * job.score_stride + t]), value_even, even[q][c]);
            odd[q][c] = f_fma(f_set(p[q * job.score_stride + t + 1]), value_odd, odd[q][c]);
          };
        };
      EACH(q, Q) {
        EACH(c, C) { total[q][c] = f_add(total[q][c], f_add(even[q][c], odd[q][c])); };
      };
    }
  }
};

struct CacheI8 {
  using Element = std::uint8_t;
  static constexpr int queries = kRowTileBf16;
  static int depth(const Attend& job) { return round_up(job.head_dim, kDepthI8); }
  static std::ptrdiff_t key_bytes(const Attend& job) { return static_cast<std::ptrdiff_t>(depth(job) + 8) * kPage; }
  static std::ptrdiff_t value_bytes(const Attend& job) { return static_cast<std::ptrdiff_t>(job.value_stride) * kPage; }
  static const std::uint8_t* keys_of(const Attend& job, int page) { return static_cast<const std::uint8_t*>(job.pages[page]) + job.key_offset; }
  static const std::int8_t* values_of(const Attend& job, int page) { return static_cast<const std::int8_t*>(job.pages[page]) + job.value_offset; }
  static const float* key_scales_of(const Attend& job, int page) {
    return reinterpret_cast<const float*>(keys_of(job, page) + static_cast<std::ptrdiff_t>(depth(job)) * kPage);
  }
  static const float* value_scales_of(const Attend& job, int page) { return key_scales_of(job, page) + kPage; }

  // Eight bits would lose the many small ones beside a large one.
  static void weigh(const Attend& job, float* p, int n) {
    for (int page = 0; page * kPage < n; ++page, p += kPage) {
      const float* scale = value_scales_of(job, page);
      for (int i = 0; i < kPage; ++i) p[i] = rounded_float(p[i] * scale[i]);
    }
  }

  template <int Q>
  struct Ready {
    Ready(const Attend& job, int query) : queries(static_cast<std::int8_t*>(job.rounded)) {
      const int deep = depth(job);
      for (int q = 0; q < Q; ++q) quantize_row(job.query + (query + q) * job.query_stride, job.head_dim, deep, deep, queries + q * deep, scale + q, sum + q);
    }
    std::int8_t* queries;
    float scale[Q];
    std::int32_t sum[Q];
  };

  // Not the product of both scales first: it could leave the range of floats where the score does not.
  static inline F score(I sum, float query_scale, const float* key_scale) { return f_mul(f_mul(i_float(sum), f_set(query_scale)), f_load(key_scale)); }

  template <int Q>
  static inline void scores(const Attend& job, const Ready<Q>& ready, const std::uint8_t* keys, float* out) {
    constexpr int B = kPage / kLanes;
    const int deep = depth(job);
    const auto* key_scale = reinterpret_cast<const float*>(keys + static_cast<std::ptrdiff_t>(deep) * kPage);
    I sum[Q][B];
    EACH(q, Q) {
      EACH(b, B) { sum[q][b] = i_start_u8(ready.sum[q]); };
    };
    for (int d = 0; d < job.head_dim; d += kQuad, keys += kPage * kQuad) {
      W key[B];
      EACH(b, B) { key[b] = w_load(keys + b * kLanes * kQuad); };
      EACH(q, Q) {
        const Quad x = quad_set(ready.queries + q * deep + d);
        EACH(b, B) { sum[q][b] = i_dot_u8(sum[q][b], key[b], x); };
      };
    }
    EACH(q, Q) {
      EACH(b, B) { f_store(out + q * job.score_stride + b * kLanes, score(sum[q][b], ready.scale[q], key_scale + b * kLanes)); };
    };
  }

  // Whole pages, even and odd positions apart, as a tile unit sums the same numbers as bf16.
  template <int Q, int C>
  static inline void values(const Attend& job, int column, int visible, F (&total)[Q][C]) {
    for (int page = 0; page * kPage < visible; ++page) {
      const std::int8_t* v = values_of(job, page) + column;
      if (Q == 1 && column == 0 && (page + 1) * kPage < visible) fetch(values_of(job, page + 1), value_bytes(job));
      const float* p = job.scores + page * kPage;
      F even[Q][C], odd[Q][C];
      EACH(q, Q) {
        EACH(c, C) { even[q][c] = odd[q][c] = f_set(0.0f); };
      };
      for (int t = 0; t < kPage; t += 2, v += job.value_stride * 2)
        EACH(c, C) {
          const F value_even = f_load_s8(v + c * kLanes), value_odd = f_load_s8(v + job.value_stride + c * kLanes);
          EACH(q, Q) {
            even[q][c] = f_fma(f_set(p[q * job.score_stride + t]), value_even, even[q][c]);
            odd[q][c] = f_fma(f_set(p[q * job.score_stride + t + 1]), value_odd, odd[q][c]);
          };
        };
      EACH(q, Q) {
        EACH(c, C) { total[q][c] = f_add(total[q][c], f_add(even[q][c], odd[q][c])); };
      };
    }
  }
};

template <class Cache, int Q, int C>
static inline void weighted_values(const Attend& job, int query, int column, const float* factor) {
  F total[Q][C];
  EACH(q, Q) {
    EACH(c, C) { total[q][c] = f_set(0.0f); };
  };
  Cache::template values<Q, C>(job, column, job.visible + query + Q - 1, total);  // to an earlier query the last ones weigh nothing
  EACH(q, Q) {
    EACH(c, C) {
      const int at = column + c * kLanes, left = job.head_dim - at;
      if (left > 0) f_store_n(job.out + (query + q) * job.out_stride + at, f_mul(total[q][c], f_set(factor[q])), left < kLanes ? left : kLanes);
    };
  };
}

template <class Cache, int Q, int C>
static inline void attend_tile(const Attend& job, int query) {
  using Element = typename Cache::Element;
  const int visible = job.visible + query, stored = round_up(visible + Q - 1, kPage);
  const typename Cache::template Ready<Q> ready(job, query);
  for (int t = 0; t < stored; t += kPage) {
    if (Q == 1) {
      if (t + kPage < visible) fetch(static_cast<const Element*>(job.pages[t / kPage + 1]) + job.key_offset, Cache::key_bytes(job));
      else fetch(static_cast<const Element*>(job.pages[0]) + job.value_offset, Cache::value_bytes(job));
    }
    Cache::template scores<Q>(job, ready, static_cast<const Element*>(job.pages[t / kPage]) + job.key_offset, job.scores + t);
  }
  float factor[Q];
  EACH(q, Q) {
    float* scores = job.scores + q * job.score_stride;
    const float* bias = job.bias ? job.bias + (query + q) * job.bias_stride : nullptr;
    factor[q] = soften(scores, bias, job.scale, visible + q, stored, job.log_sum ? job.log_sum + query + q : nullptr,
                       [&](int t, F p) { f_store(scores + t, p); });
    Cache::weigh(job, scores, stored);
  };
  int column = 0;
  for (; column + C * kLanes <= job.value_stride; column += C * kLanes) weighted_values<Cache, Q, C>(job, query, column, factor);
  for (; column < job.value_stride; column += kLanes) weighted_values<Cache, Q, 1>(job, query, column, factor);
}

template <class Cache>
static void attend(const Attend& job) {
  int query = 0;
  for (; query + Cache::queries <= job.queries; query += Cache::queries) attend_tile<Cache, Cache::queries, kValueTile>(job, query);
  for (; query < job.queries; ++query) attend_tile<Cache, 1, 4>(job, query);
}

static void attend_f32(const Attend& job) { attend<CacheF32>(job); }
static void attend_bf16(const Attend& job) { attend<CacheBf16>(job); }
static void attend_i8(const Attend& job) { attend<CacheI8>(job); }
