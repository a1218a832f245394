// Attention on a tile unit, for more queries than the vector kernels are best at. Included behind tiles.inl.
//
// A page's keys are a panel of weights for its scores, its values one for the weighted sums.

// Scores into softmax weights, rounded to bf16 in `weights` (kTileBlock, score_stride), for `rows` queries from `query` over
// so many pages. weigh(row, t, p) makes of the weights from position t what meets the values; factor[row] makes their sum one.
template <class Weigh>
static inline void soften_block(const Attend& job, int query, int rows, int pages, std::uint16_t* weights, float* factor, const Weigh& weigh) {
  for (int r = 0; r < rows; ++r) {
    std::uint16_t* const to = weights + r * job.score_stride;
    factor[r] = soften(job.scores + r * job.score_stride, job.bias ? job.bias + (query + r) * job.bias_stride : nullptr, job.scale,
                       job.visible + query + r, pages * kPage, job.log_sum ? job.log_sum + query + r : nullptr,
                       [&](int t, F p) { store_bf16(to + t, weigh(r, t, p)); });
  }
}

// Weights times values, both bf16: values_of(page) are those of a page, [kPage / 2][width][2], width a multiple of kTileBlock.
template <class Unit, class ValuesOf>
static inline void weigh_values(const Attend& job, int query, int rows, int pages, const std::uint16_t* weights, const float* factor, int width,
                                const ValuesOf& values_of) {
  alignas(64) float sums[kTileBlock * kTileBlock];
  const bool tall = rows > kTileRows;
  for (int column = 0; column < width; column += kTileBlock) {
    clear_sums<Unit>();
    for (int page = 0; page < pages; ++page)
      tile_step<Unit, typename Unit::Bf16>(weights + page * kPage, job.score_stride * 2, values_of(page) + column * 2, width * 4, tall);
    store_sums<Unit>(sums, kTileBlock * 4, tall);
    for (int r = 0; r < rows; ++r)
      for (int c = 0; c < kTileBlock && column + c < job.head_dim; c += kLanes) {
        const int left = job.head_dim - column - c;
        f_store_n(job.out + (query + r) * job.out_stride + column + c, f_mul(f_load(sums + r * kTileBlock + c), f_set(factor[r])),
                  left < kLanes ? left : kLanes);
      }
  }
}

// Calls visit(query, rows, pages) for each block of queries; its last query sees so many pages.
template <class Visit>
static inline void each_block(const Attend& job, const Visit& visit) {
  for (int query = 0; query < job.queries; query += kTileBlock) {
    const int rows = job.queries - query < kTileBlock ? job.queries - query : kTileBlock;
    visit(query, rows, round_up(job.visible + query + rows - 1, kPage) / kPage);
  }
}

template <class Unit>
static void attend_tiles(const Attend& job) {
  if (job.queries <= kVectorQueries && !job.dropout) return attend_bf16(job);
  Unit::begin();
  const int depth = round_up(job.head_dim, kDepthBf16);
  auto* const rounded = static_cast<std::uint16_t*>(job.rounded);  // (kTileBlock, depth) queries
  std::uint16_t* const weights = rounded + kTileBlock * depth;     // (kTileBlock, score_stride)
  float factor[kTileBlock];
  each_block(job, [&](int query, int rows, int pages) {
    const bool tall = rows > kTileRows;
    for (int r = 0; r < rows; ++r) round_row(job.query + (query + r) * job.query_stride, job.head_dim, depth, rounded + r * depth);
    for (int page = 0; page < pages; ++page) {
      const std::uint16_t* keys = static_cast<const std::uint16_t*>(job.pages[page]) + job.key_offset;
      clear_sums<Unit>();
      for (int d = 0; d < depth; d += kDepthBf16)
        tile_step<Unit, typename Unit::Bf16>(rounded + d, depth * 2, keys + static_cast<std::ptrdiff_t>(d) * kPage, kPage * 4, tall);
      store_sums<Unit>(job.scores + page * kPage, job.score_stride * 4, tall);
    }
    soften_block(job, query, rows, pages, weights, factor,
                 [&](int r, int t, F p) { return job.dropout ? f_mul(p, kept_keys(*job.dropout, query + r, t)) : p; });
    weigh_values<Unit>(job, query, rows, pages, weights, factor, job.value_stride,
                       [&](int page) { return static_cast<const std::uint16_t*>(job.pages[page]) + job.value_offset; });
  });
  Unit::end();
}

// What of an int8 cache is made ready once for all blocks of queries, and what for each: Attend::rounded, divided.
struct ScratchI8 {
  explicit ScratchI8(const Attend& job)
      : width(round_up(job.head_dim, kTileBlock)), key_scale(static_cast<float*>(job.rounded)), value_scale(key_scale + job.score_stride),
        values(reinterpret_cast<std::uint16_t*>(value_scale + job.score_stride)), weights(values + job.score_stride * width),
        queries(reinterpret_cast<std::int8_t*>(weights + job.score_stride * kTileBlock)) {}

  int width;
  float *key_scale, *value_scale;  // of each position
  std::uint16_t* values;           // [page][kPage / 2][width][2], whole numbers as bf16, which has them all
  std::uint16_t* weights;          // (kTileBlock, score_stride)
  std::int8_t* queries;            // (kTileBlock, depth)

  void unpack(const Attend& job, int pages) const {
    for (int page = 0; page < pages; ++page) {
      const std::int8_t* from = CacheI8::values_of(job, page);
      std::uint16_t* to = values + static_cast<std::ptrdiff_t>(page) * kPage * width;
      for (int t = 0; t < kPage; t += 2, to += 2 * width)
        for (int c = 0; c < job.value_stride; c += kLanes)
          f_store_pairs(to + 2 * c, f_load_s8(from + t * job.value_stride + c), f_load_s8(from + (t + 1) * job.value_stride + c));
      const float* keys = CacheI8::key_scales_of(job, page);
      const float* own = CacheI8::value_scales_of(job, page);
      for (int t = 0; t < kPage; t += kLanes) {
        f_store(key_scale + page * kPage + t, f_load(keys + t));
        f_store(value_scale + page * kPage + t, f_load(own + t));
      }
    }
  }
};

template <class Unit>
static void attend_tiles_i8(const Attend& job) {
  if (job.queries <= kVectorQueries) return attend_i8(job);
  const ScratchI8 scratch(job);
  const int depth = CacheI8::depth(job);
  scratch.unpack(job, round_up(job.visible + job.queries - 1, kPage) / kPage);
  Unit::begin();
  float factor[kTileBlock], query_scale[kTileBlock];
  std::int32_t sum[kTileBlock];
  each_block(job, [&](int query, int rows, int pages) {
    const bool tall = rows > kTileRows;
    for (int r = 0; r < rows; ++r)
      quantize_row(job.query + (query + r) * job.query_stride, job.head_dim, depth, depth, scratch.queries + r * depth, query_scale + r, sum + r);
    const auto settle_page = [&](int page) {  // integers become scores while the tile unit makes those of the next page
      for (int r = 0; r < rows; ++r)
        for (int t = page * kPage; t < (page + 1) * kPage; t += kLanes) {
          float* at = job.scores + r * job.score_stride + t;
          const I whole = i_add(i_load(reinterpret_cast<const std::int32_t*>(at)), i_start_u8(sum[r]));
          f_store(at, CacheI8::score(whole, query_scale[r], scratch.key_scale + t));
        }
    };
    for (int page = 0; page < pages; ++page) {
      clear_sums<Unit>();
      for (int d = 0; d < depth; d += kDepthI8)
        tile_step<Unit, typename Unit::I8>(scratch.queries + d, depth, CacheI8::keys_of(job, page) + static_cast<std::ptrdiff_t>(d) * kPage, kPage * 4, tall);
      if (page > 0) settle_page(page - 1);
      store_sums<Unit>(job.scores + page * kPage, job.score_stride * 4, tall);
    }
    settle_page(pages - 1);
    soften_block(job, query, rows, pages, scratch.weights, factor, [&](int, int t, F p) { return f_mul(p, f_load(scratch.value_scale + t)); });
    weigh_values<Unit>(job, query, rows, pages, scratch.weights, factor, scratch.width,
                       [&](int page) { return scratch.values + static_cast<std::ptrdiff_t>(page) * kPage * scratch.width; });
  });
  Unit::end();
}
