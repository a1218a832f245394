// The gradient of causal attention on a tile unit, for one head of one text. Included behind tiles.inl.
//
// Nothing of size (positions, positions) is kept: weights are computed again, block by block, from the log-sum-exp of each
// query (Dao et al. 2022, "FlashAttention", section 3.1). Blocks are turned over, keys by queries, so that weights and their
// gradients come out of the sums as the rows that the next products want.

static inline void interleave(const std::uint16_t* even, const std::uint16_t* odd, int n, std::uint16_t* to) {
  for (int i = 0; i < n; ++i) {
    const std::uint32_t pair = even[i] | static_cast<std::uint32_t>(odd[i]) << 16;
    __builtin_memcpy(to + 2 * i, &pair, 4);
  }
}

// A block of 32 rows as weights of two kinds: [depth / 2][32][2] to multiply with its transpose, [16][depth][2] with itself.
static inline void pack_transposed(const std::uint16_t* rows, int depth, std::uint16_t* to) {
  for (int d = 0; d < depth; d += 2)
    for (int r = 0; r < kTileBlock; ++r) __builtin_memcpy(to + (d * kTileBlock + r * 2), rows + r * depth + d, 4);
}
static inline void pack_straight(const std::uint16_t* rows, int depth, std::uint16_t* to) {
  for (int r = 0; r < kTileBlock; r += 2) interleave(rows + r * depth, rows + (r + 1) * depth, depth, to + r * depth);
}

// to (32, columns) += x (32, 32) . w, weights in rows of `columns` pairs.
template <class Unit>
static inline void add_product(const std::uint16_t* x, std::ptrdiff_t x_stride, const std::uint16_t* w, int columns, float* to) {
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(columns) * 4;
  for (int c = 0; c < columns; c += kTileBlock) {
    char* at = reinterpret_cast<char*>(to + c);
    Unit::template load<0>(at, stride);
    Unit::template load<1>(at + kTileBytes, stride);
    Unit::template load<2>(at + kTileRows * stride, stride);
    Unit::template load<3>(at + kTileRows * stride + kTileBytes, stride);
    tile_step<Unit, typename Unit::Bf16>(x, x_stride * 2, w + c * 2, stride, true);
    store_sums<Unit>(at, stride, true);
  }
}

// Calls move(place, at) for every visible pair of a block of queries from `i` and one of keys from `j`: where it lies in a block of
// keys by queries, and in the matrix `related` of AttendGradient.
template <class Move>
static inline void each_related(int positions, int i, int j, const Move& move) {
  for (int q = 0; q < kTileBlock && i + q < positions; ++q) {
    const int keys = i + q - j + 1 < kTileBlock ? i + q - j + 1 : kTileBlock;
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(i + q) * positions + positions - 1 - (i + q) + j;
    for (int key = 0; key < keys; ++key) move(key * kTileBlock + q, row + key);
  }
}

template <class Unit>
static void attend_gradient_tiles(const AttendGradient& job) {
  constexpr int B = kTileBlock;
  const int depth = job.head_dim, padded = round_up(job.positions, B), turned = padded + B;
  char* rest = static_cast<char*>(job.scratch);
  const auto take = [&](std::size_t bytes) {
    char* at = rest;
    rest += (bytes + 63) / 64 * 64;
    return at;
  };
  const auto halves = [&](int n) { return reinterpret_cast<std::uint16_t*>(take(static_cast<std::size_t>(n) * 2)); };
  const auto floats = [&](int n) { return reinterpret_cast<float*>(take(static_cast<std::size_t>(n) * 4)); };
  std::uint16_t *keys = halves(padded * depth), *values = halves(padded * depth), *keys_turned = halves(depth * turned);
  std::uint16_t *rows = halves(B * depth), *query_turned = halves(B * depth), *query_straight = halves(B * depth);
  std::uint16_t *up_turned = halves(B * depth), *up_straight = halves(B * depth);
  std::uint16_t *weight = halves(B * B), *slope = halves(B * B), *slope_pairs = halves(B * B);
  float *d_keys = floats(padded * depth), *d_values = floats(padded * depth), *d_query = floats(depth * B);
  float *scores = floats(B * B), *d_scores = floats(B * B), *distances = floats(B * B), *line = floats(depth > B ? depth : B), *log_sum = floats(B), *delta = floats(B);

  const auto copy = [&](const std::uint16_t* from, std::ptrdiff_t stride, int first, int count, std::uint16_t* to) {
    for (int r = 0; r < B; ++r) {
      if (r < count) __builtin_memcpy(to + r * depth, from + (first + r) * stride, static_cast<std::size_t>(depth) * 2);
      else __builtin_memset(to + r * depth, 0, static_cast<std::size_t>(depth) * 2);
    }
  };
  __builtin_memset(d_keys, 0, static_cast<std::size_t>(padded) * static_cast<std::size_t>(depth) * 4);
  __builtin_memset(d_values, 0, static_cast<std::size_t>(padded) * static_cast<std::size_t>(depth) * 4);
  for (int j = 0; j < padded; j += B) {
    const int count = job.positions - j < B ? job.positions - j : B;
    copy(job.keys, job.stride, j, count, keys + j * depth);
    copy(job.values, job.stride, j, count, values + j * depth);
    for (int d = 0; d < depth; ++d)
      for (int r = 0; r < B; ++r) keys_turned[d * turned + j + r] = keys[(j + r) * depth + d];
  }
  if (job.related) {
    __builtin_memset(distances, 0, B * B * 4);
    __builtin_memset(job.d_related, 0, static_cast<std::size_t>(job.positions) * static_cast<std::size_t>(job.positions) * 2);
  }
  Unit::begin();
  for (int i = 0; i < padded; i += B) {
    const int count = job.positions - i < B ? job.positions - i : B;
    copy(job.query, job.stride, i, count, rows);
    pack_transposed(rows, depth, query_turned);
    pack_straight(rows, depth, query_straight);
    copy(job.upstream, job.out_stride, i, count, rows);
    pack_transposed(rows, depth, up_turned);
    pack_straight(rows, depth, up_straight);
    for (int r = 0; r < B; ++r) {
      log_sum[r] = __builtin_inff();  // behind the last query: no weight
      delta[r] = 0.0f;
      if (r >= count) continue;
      log_sum[r] = job.log_sum[i + r];
      F sum = f_set(0.0f);
      for (int d = 0; d < depth; d += kLanes) sum = f_fma(f_load_bf16(rows + r * depth + d), f_load_bf16(job.out + (i + r) * job.out_stride + d), sum);
      delta[r] = f_sum(sum);
    }
    __builtin_memset(d_query, 0, static_cast<std::size_t>(depth) * B * 4);
    for (int j = 0; j <= i; j += B) {
      clear_sums<Unit>();
      for (int d = 0; d < depth; d += kDepthBf16)
        tile_step<Unit, typename Unit::Bf16>(keys + j * depth + d, depth * 2, query_turned + d * B, B * 4, true);
      store_sums<Unit>(scores, B * 4, true);
      clear_sums<Unit>();
      for (int d = 0; d < depth; d += kDepthBf16)
        tile_step<Unit, typename Unit::Bf16>(values + j * depth + d, depth * 2, up_turned + d * B, B * 4, true);
      store_sums<Unit>(d_scores, B * 4, true);
      if (job.related) {
        each_related(job.positions, i, j, [&](int place, std::ptrdiff_t at) {
          const std::uint32_t bits = static_cast<std::uint32_t>(job.related[at]) << 16;
          __builtin_memcpy(distances + place, &bits, 4);
        });
        for (int at = 0; at < B * B; at += kLanes) f_store(scores + at, f_add(f_load(scores + at), f_load(distances + at)));
      }
      for (int key = 0; key < B; ++key) {
        for (int q = 0; q < B; q += kLanes) {
          F p = f_exp(f_sub(f_mul(f_load(scores + key * B + q), f_set(job.scale)), f_load(log_sum + q)));
          const int hidden = i == j ? key - q : 0;  // queries in front of the key
          if (hidden > 0) p = f_sub(p, f_first(p, hidden < kLanes ? hidden : kLanes, 0.0f));
          F above = f_load(d_scores + key * B + q), kept = p;
          if (job.dropout) {
            const F factor = kept_queries(*job.dropout, i + q, j + key);
            above = f_mul(above, factor);
            kept = f_mul(p, factor);
          }
          f_store(scores + key * B + q, kept);
          f_store(d_scores + key * B + q, f_mul(p, f_sub(above, f_load(delta + q))));
        }
        round_row(scores + key * B, B, B, weight + key * B);
        round_row(d_scores + key * B, B, B, slope + key * B);
      }
      if (job.related) each_related(job.positions, i, j, [&](int place, std::ptrdiff_t at) { job.d_related[at] = slope[place]; });
      for (int key = 0; key < B; key += 2) interleave(slope + key * B, slope + (key + 1) * B, B, slope_pairs + key * B);
      add_product<Unit>(weight, B, up_straight, depth, d_values + j * depth);
      add_product<Unit>(slope, B, query_straight, depth, d_keys + j * depth);
      for (int d = 0; d < depth; d += B) add_product<Unit>(keys_turned + d * turned + j, turned, slope_pairs, B, d_query + d * B);
    }
    for (int r = 0; r < count; ++r) {
      for (int d = 0; d < depth; ++d) line[d] = d_query[d * B + r] * job.scale;
      round_row(line, depth, depth, job.d_query + (i + r) * job.stride);
    }
  }
  Unit::end();
  for (int t = 0; t < job.positions; ++t) {
    for (int d = 0; d < depth; ++d) line[d] = d_keys[t * depth + d] * job.scale;
    round_row(line, depth, depth, job.d_keys + t * job.stride);
    round_row(d_values + t * depth, depth, depth, job.d_values + t * job.stride);
  }
}
