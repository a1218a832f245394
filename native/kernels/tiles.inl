// Products on a tile unit (AMX), for more rows than a vector kernel is best at. Included behind kernels.inl.
//
// `Unit` is the processor's tile registers or, in the tests, a plain imitation of them. Its eight tiles hold sixteen rows of
// 64 bytes: four sums (two blocks of rows by two of columns), two of inputs, two of weights.
// The sums are those of the vector kernels bit for bit: integers are exact, and a bf16 tile product is defined as ProductBf16
// says (Intel SDM, TDPBF16PS), except that it takes numbers below the normal range for zero.

constexpr int kTileRows = 16;
constexpr int kTileBlock = 2 * kTileRows;  // rows, and columns, of the four sums together

// One step in depth: sums += inputs . weights. With `tall`, rows 16 … 31 too.
template <class Unit, class Type>
static inline void tile_step(const void* x, std::ptrdiff_t x_stride, const void* w, bool tall) {
  constexpr std::ptrdiff_t w_stride = kPanel * 4, next = kTileRows * 4;  // bytes: four for each column and step
  Unit::template load<4>(x, x_stride);
  Unit::template load<6>(w, w_stride);
  Unit::template load<7>(static_cast<const char*>(w) + next, w_stride);
  Unit::template dot<0, 4, 6>(Type{});
  Unit::template dot<1, 4, 7>(Type{});
  if (!tall) return;
  Unit::template load<5>(static_cast<const char*>(x) + kTileRows * x_stride, x_stride);
  Unit::template dot<2, 5, 6>(Type{});
  Unit::template dot<3, 5, 7>(Type{});
}

template <class Unit>
static inline void clear_sums() {
  Unit::template zero<0>();
  Unit::template zero<1>();
  Unit::template zero<2>();
  Unit::template zero<3>();
}

// The four sums as a (kTileBlock, kTileBlock) matrix of 32-bit numbers.
template <class Unit>
static inline void store_sums(void* to, bool tall) {
  auto* at = static_cast<char*>(to);
  constexpr std::ptrdiff_t stride = kTileBlock * 4, next = kTileRows * 4;
  Unit::template store<0>(at, stride);
  Unit::template store<1>(at + next, stride);
  if (!tall) return;
  Unit::template store<2>(at + kTileRows * stride, stride);
  Unit::template store<3>(at + kTileRows * stride + next, stride);
}

template <class Unit>
static void tiles_bf16(const ProductBf16& job, int first, int last) {
  Unit::begin();
  alignas(64) float sums[kTileBlock][kTileBlock];
  for (int panel = first; panel < last; ++panel)
    for (int column = 0; column < kPanel; column += kTileBlock)
      for (int row = 0; row < job.m; row += kTileBlock) {
        const int rows = job.m - row < kTileBlock ? job.m - row : kTileBlock;
        const bool tall = rows > kTileRows;
        const std::uint16_t* w = job.weights + static_cast<std::ptrdiff_t>(panel) * job.k * kPanel + column * 2;
        const std::uint16_t* x = job.x + static_cast<std::ptrdiff_t>(row) * job.k;
        clear_sums<Unit>();
        for (int k = 0; k < job.k; k += kDepthBf16)
          tile_step<Unit, typename Unit::Bf16>(x + k, static_cast<std::ptrdiff_t>(job.k) * 2, w + static_cast<std::ptrdiff_t>(k) * kPanel, tall);
        store_sums<Unit>(sums, tall);
        for (int r = 0; r < rows; ++r)
          for (int c = 0; c < kTileBlock; c += kLanes) finish(f_load(sums[r] + c), job.out, row + r, panel * kPanel + column + c);
      }
  Unit::end();
}

template <class Unit>
static void tiles_i8(const ProductI8& job, int first, int last) {
  Unit::begin();
  alignas(64) std::int32_t sums[kTileBlock][kTileBlock];
  alignas(64) float total[kTileBlock][kTileBlock];
  for (int panel = first; panel < last; ++panel)
    for (int column = 0; column < kPanel; column += kTileBlock)
      for (int row = 0; row < job.m; row += kTileBlock) {
        const int rows = job.m - row < kTileBlock ? job.m - row : kTileBlock;
        const bool tall = rows > kTileRows;
        const std::uint8_t* w = job.weights + static_cast<std::ptrdiff_t>(panel) * job.k * kPanel + column * kQuad;
        const std::int8_t* x = job.x.q + static_cast<std::ptrdiff_t>(row) * job.k;
        for (int group = 0; group < job.x.groups; ++group) {
          const int start = group * kGroupI8, end = job.k - start < kGroupI8 ? job.k : start + kGroupI8;
          clear_sums<Unit>();
          for (int k = start; k < end; k += kDepthI8)
            tile_step<Unit, typename Unit::I8>(x + k, job.k, w + static_cast<std::ptrdiff_t>(k) * kPanel, tall);
          store_sums<Unit>(sums, tall);
          for (int r = 0; r < rows; ++r) {
            const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(row + r) * job.x.groups + group;
            const I start_at = i_start_u8(job.x.sum[at]);
            const F scale = f_set(job.x.scale[at]);
            for (int c = 0; c < kTileBlock; c += kLanes) {
              const F before = group ? f_load(total[r] + c) : f_set(0.0f);
              f_store(total[r] + c, f_fma(i_float(i_add(i_load(sums[r] + c), start_at)), scale, before));
            }
          }
        }
        for (int r = 0; r < rows; ++r)
          for (int c = 0; c < kTileBlock; c += kLanes) {
            const int at = panel * kPanel + column + c;
            finish(f_mul(f_load(total[r] + c), f_load(job.w_scale + at)), job.out, row + r, at);
          }
      }
  Unit::end();
}

constexpr int kVectorRows = 6;  // up to here the vector kernels, which wait for memory only, do as well
