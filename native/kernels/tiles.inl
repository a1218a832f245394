// Products on a tile unit (AMX), for more rows than a vector kernel is best at. Included behind kernels.inl.
//
// `Unit` is the processor's tile registers or, in the tests, a plain imitation of them. Its eight tiles hold sixteen rows of
// 64 bytes. Either four of them are sums (two blocks of rows by two of columns), two inputs and two weights; or, for few rows,
// four are sums of one block of rows, one inputs and three weights, so that a panel is read once from front to back.
// The sums are those of the vector kernels bit for bit: integers are exact, and a bf16 tile product is defined as ProductBf16
// says (Intel SDM, TDPBF16PS), except that it takes numbers below the normal range for zero.

constexpr int kTileRows = 16;
constexpr int kTileBlock = 2 * kTileRows;  // rows, and columns, of the four sums together
constexpr std::ptrdiff_t kTileBytes = kTileRows * 4;  // of a row of weights: four bytes for each column
constexpr int kVectorRows = 6;   // up to here the vector kernels, which wait for memory only, do as well
constexpr int kVectorQueries = 4;

// One step in depth: sums += inputs . weights. With `tall`, rows 16 … 31 too. Strides are in bytes.
template <class Unit, class Type>
static inline void tile_step(const void* x, std::ptrdiff_t x_stride, const void* w, std::ptrdiff_t w_stride, bool tall) {
  Unit::template load<4>(x, x_stride);
  Unit::template load<6>(w, w_stride);
  Unit::template load<7>(static_cast<const char*>(w) + kTileBytes, w_stride);
  Unit::template dot<0, 4, 6>(Type{});
  Unit::template dot<1, 4, 7>(Type{});
  if (!tall) return;
  Unit::template load<5>(static_cast<const char*>(x) + kTileRows * x_stride, x_stride);
  Unit::template dot<2, 5, 6>(Type{});
  Unit::template dot<3, 5, 7>(Type{});
}

// The same for sixteen rows and all columns of a panel.
template <class Unit, class Type>
static inline void wide_step(const void* x, std::ptrdiff_t x_stride, const void* w) {
  constexpr std::ptrdiff_t stride = kPanel * 4;
  const auto* at = static_cast<const char*>(w);
  Unit::template load<4>(x, x_stride);
  Unit::template load<5>(at, stride);
  Unit::template dot<0, 4, 5>(Type{});
  Unit::template load<6>(at + kTileBytes, stride);
  Unit::template dot<1, 4, 6>(Type{});
  Unit::template load<7>(at + 2 * kTileBytes, stride);
  Unit::template dot<2, 4, 7>(Type{});
  Unit::template load<5>(at + 3 * kTileBytes, stride);
  Unit::template dot<3, 4, 5>(Type{});
}

template <class Unit>
static inline void clear_sums() {
  Unit::template zero<0>();
  Unit::template zero<1>();
  Unit::template zero<2>();
  Unit::template zero<3>();
}

// The four sums of tile_step() as a (kTileBlock, kTileBlock) matrix of 32-bit numbers.
template <class Unit>
static inline void store_sums(void* to, std::ptrdiff_t stride, bool tall) {
  auto* at = static_cast<char*>(to);
  Unit::template store<0>(at, stride);
  Unit::template store<1>(at + kTileBytes, stride);
  if (!tall) return;
  Unit::template store<2>(at + kTileRows * stride, stride);
  Unit::template store<3>(at + kTileRows * stride + kTileBytes, stride);
}

// Those of wide_step() as a (kTileRows, kPanel) matrix.
template <class Unit>
static inline void store_wide(void* to) {
  constexpr std::ptrdiff_t stride = kPanel * 4;
  auto* at = static_cast<char*>(to);
  Unit::template store<0>(at, stride);
  Unit::template store<1>(at + kTileBytes, stride);
  Unit::template store<2>(at + 2 * kTileBytes, stride);
  Unit::template store<3>(at + 3 * kTileBytes, stride);
}

// How a product goes over its rows: the sums of `rows` rows from `row` and `columns` columns from `column` of a panel, whose
// weights are asked for as `ahead` says.
struct Region {
  int panel, column, columns, row, rows;
  Ahead ahead;
  bool wide() const { return columns == kPanel; }
  bool tall() const { return rows > kTileRows; }
};

// Calls visit(region) for all of rows 0 … m - 1 and the panels first … last - 1 of `bytes` bytes.
template <class Visit>
static inline void each_region(int m, const void* weights, std::ptrdiff_t bytes, int first, int last, const Visit& visit) {
  const auto* at = static_cast<const char*>(weights);
  const int passes = kPanel / kTileBlock * ((m + kTileBlock - 1) / kTileBlock);
  const int shift = passes >= 8 ? 3 : passes >= 4 ? 2 : 1;
  for (int panel = first; panel < last; ++panel) {
    if (m <= kTileRows) {
      visit(Region{panel, 0, kPanel, 0, m, {at + panel * bytes + kAhead, 0}});
      continue;
    }
    int pass = 0;
    for (int column = 0; column < kPanel; column += kTileBlock)
      for (int row = 0; row < m; row += kTileBlock, ++pass) {
        const Ahead share{at + (panel + 1) * bytes + pass * (bytes >> shift), pass < 1 << shift ? shift : kNothingAhead};
        visit(Region{panel, column, kTileBlock, row, m - row < kTileBlock ? m - row : kTileBlock, share});
      }
  }
}

template <class Unit>
static void tiles_bf16(const ProductBf16& job, int first, int last) {
  Unit::begin();
  alignas(64) float sums[kTileBlock * kTileBlock];
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(job.k) * 2;
  each_region(job.m, job.weights, stride * kPanel, first, last, [&](Region at) {
    const std::uint16_t* w = job.weights + static_cast<std::ptrdiff_t>(at.panel) * job.k * kPanel + at.column * 2;
    const std::uint16_t* x = job.x + static_cast<std::ptrdiff_t>(at.row) * job.k;
    clear_sums<Unit>();
    for (int k = 0; k < job.k; k += kDepthBf16) {
      at.ahead.go(kDepthBf16 * kPanel * 2);
      const std::uint16_t* step = w + static_cast<std::ptrdiff_t>(k) * kPanel;
      if (at.wide()) wide_step<Unit, typename Unit::Bf16>(x + k, stride, step);
      else tile_step<Unit, typename Unit::Bf16>(x + k, stride, step, kPanel * 4, at.tall());
    }
    if (at.wide()) store_wide<Unit>(sums);
    else store_sums<Unit>(sums, kTileBlock * 4, at.tall());
    for (int r = 0; r < at.rows; ++r)
      for (int c = 0; c < at.columns; c += kLanes)
        finish(f_load(sums + r * at.columns + c), job.out, at.row + r, at.panel * kPanel + at.column + c);
  });
  Unit::end();
}

// The sums of one group, on their way into the totals while the tile unit makes those of the next.
struct Waiting {
  const std::int32_t* sums;
  int panel, column, columns, row, rows, group;
};

// Adds them, C vectors of columns, to the totals of the groups before, or begins these, or finishes them.
template <int C, bool First, bool Last>
static inline void settle(const ProductI8& job, const Waiting& done, float* total) {
  const std::int32_t* sums = done.sums;
  const int column = done.panel * kPanel + done.column;
  F w_scale[C];
  if (Last) EACH(c, C) { w_scale[c] = f_load(job.w_scale + column + c * kLanes); };
  std::ptrdiff_t at = static_cast<std::ptrdiff_t>(done.row) * job.x.groups + done.group;
  for (int r = 0; r < done.rows; ++r, at += job.x.groups, sums += C * kLanes, total += C * kLanes) {
    const I start = i_start_u8(job.x.sum[at]);
    const F scale = f_set(job.x.scale[at]);
    EACH(c, C) {
      const F after = f_fma(i_float(i_add(i_load(sums + c * kLanes), start)), scale, First ? f_set(0.0f) : f_load(total + c * kLanes));
      if (Last) finish(f_mul(after, w_scale[c]), job.out, done.row + r, column + c * kLanes);
      else f_store(total + c * kLanes, after);
    };
  }
}
template <int C>
static inline void settle(const ProductI8& job, const Waiting& done, float* total) {
  const bool first = done.group == 0, last = done.group + 1 == job.x.groups;
  if (first && last) settle<C, true, true>(job, done, total);
  else if (first) settle<C, true, false>(job, done, total);
  else if (last) settle<C, false, true>(job, done, total);
  else settle<C, false, false>(job, done, total);
}
static inline void settle(const ProductI8& job, const Waiting& done, float* total) {
  if (done.columns == kPanel) settle<kPanel / kLanes>(job, done, total);
  else settle<kTileBlock / kLanes>(job, done, total);
}

// The weights of a few rows on their way from memory. They are loaded, not only asked for: the processor's own prefetcher follows
// loads, and brings them almost twice as fast as there are places for what a program asks for.
struct Stream {
  const char *at, *end;

  inline void go(int bytes) {
    for (int line = 0; line < bytes && at < end; line += 64, at += 64) {
      (void)*static_cast<const volatile char*>(at);
      prefetch(at + kFurther);
    }
  }
  static constexpr int kCloser = 4096, kFurther = 8192;  // bytes from what is computed to what is loaded, and on to what is asked for
};

// For two blocks of rows: both halves of a panel take turns with each group, whose weights and inputs stay close meanwhile.
template <class Unit>
static void two_blocks_i8(const ProductI8& job, int first, int last) {
  Unit::begin();
  alignas(64) std::int32_t sums[2][kTileBlock * kTileBlock];
  alignas(64) float totals[2][kTileBlock * kTileBlock];
  const std::ptrdiff_t bytes = static_cast<std::ptrdiff_t>(job.k) * kPanel;
  const auto* weights = reinterpret_cast<const char*>(job.weights);
  Stream stream{weights + first * bytes + Stream::kCloser, weights + last * bytes};
  Waiting waiting{};
  int half = 0;
  for (int panel = first; panel < last; ++panel)
    for (int group = 0; group < job.x.groups; ++group)
      for (int column = 0; column < kPanel; column += kTileBlock) {
        const int start = group * kGroupI8, end = job.k - start < kGroupI8 ? job.k : start + kGroupI8;
        clear_sums<Unit>();
        for (int k = start; k < end; k += kDepthI8) {
          stream.go(kDepthI8 * kTileBlock);
          tile_step<Unit, typename Unit::I8>(job.x.q + k, job.k, weights + panel * bytes + static_cast<std::ptrdiff_t>(k) * kPanel + column * kQuad, kPanel * 4, true);
        }
        if (waiting.sums) settle(job, waiting, totals[1 - half]);
        store_sums<Unit>(sums[half], kTileBlock * 4, true);
        waiting = {sums[half], panel, column, kTileBlock, 0, job.m, group};
        half = 1 - half;
      }
  if (waiting.sums) settle(job, waiting, totals[1 - half]);
  Unit::end();
}
static_assert(kPanel == 2 * kTileBlock);

template <class Unit>
static void tiles_i8(const ProductI8& job, int first, int last) {
  if (job.m > kTileRows && job.m <= kTileBlock) return two_blocks_i8<Unit>(job, first, last);
  Unit::begin();
  alignas(64) std::int32_t sums[2][kTileBlock * kTileBlock];
  alignas(64) float total[kTileBlock * kTileBlock];
  Waiting waiting{};
  int turn = 0;
  const std::ptrdiff_t bytes = static_cast<std::ptrdiff_t>(job.k) * kPanel;
  each_region(job.m, job.weights, bytes, first, last, [&](Region at) {
    const std::uint8_t* w = job.weights + at.panel * bytes + at.column * kQuad;
    const std::int8_t* x = job.x.q + static_cast<std::ptrdiff_t>(at.row) * job.k;
    for (int group = 0; group < job.x.groups; ++group) {
      const int start = group * kGroupI8, end = job.k - start < kGroupI8 ? job.k : start + kGroupI8;
      clear_sums<Unit>();
      for (int k = start; k < end; k += kDepthI8) {
        at.ahead.go(kDepthI8 * kPanel);
        const std::uint8_t* step = w + static_cast<std::ptrdiff_t>(k) * kPanel;
        if (at.wide()) wide_step<Unit, typename Unit::I8>(x + k, job.k, step);
        else tile_step<Unit, typename Unit::I8>(x + k, job.k, step, kPanel * 4, at.tall());
      }
      if (waiting.sums) settle(job, waiting, total);
      if (at.wide()) store_wide<Unit>(sums[turn]);
      else store_sums<Unit>(sums[turn], kTileBlock * 4, at.tall());
      waiting = {sums[turn], at.panel, at.column, at.columns, at.row, at.rows, group};
      turn = 1 - turn;
    }
  });
  if (waiting.sums) settle(job, waiting, total);
  Unit::end();
}
