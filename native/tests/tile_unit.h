// A tile unit in plain C++, after the pseudo-code of Intel's manual (Software Developer's Manual, volume 2: LDTILECFG, TILERELEASE,
// TILEZERO, TILELOADD, TILESTORED, TDPBSUD, TDPBF16PS). What a real one answers with an exception ends the program.
//
// Included inside an anonymous namespace, and free of the standard library for the reason that kernels.inl gives.
#pragma once

struct TileUnit {
  static constexpr int kTiles = 8, kMostRows = 16, kMostBytes = 64;

  struct Tile {
    int rows, bytes;  // of a row
    unsigned char row[kMostRows][kMostBytes];
  };

  bool configured = false;
  Tile tiles[kTiles] = {};

  static void demand(bool condition) {
    if (!condition) __builtin_abort();
  }

  // 64 bytes: palette, start row, reserved, sixteen 16-bit bytes a row from byte 16, sixteen 8-bit rows from byte 48.
  void configure(const unsigned char* memory) {
    demand(memory[0] == 1 && memory[1] == 0);
    for (int i = 2; i < 16; ++i) demand(memory[i] == 0);
    for (int t = 0; t < 16; ++t) {
      const int bytes = memory[16 + 2 * t] | memory[17 + 2 * t] << 8, rows = memory[48 + t];
      demand(bytes <= kMostBytes && rows <= kMostRows && (bytes == 0) == (rows == 0) && (t < kTiles || rows == 0));
      if (t < kTiles) tiles[t] = {rows, bytes, {}};
    }
    configured = true;
  }
  void release() { configured = false; }

  Tile& at(int t) {
    demand(configured && t >= 0 && t < kTiles && tiles[t].rows > 0);
    return tiles[t];
  }
  void zero(int t) { __builtin_memset(at(t).row, 0, sizeof at(t).row); }
  void load(int t, const void* from, std::ptrdiff_t stride) {
    Tile& tile = at(t);
    __builtin_memset(tile.row, 0, sizeof tile.row);
    for (int r = 0; r < tile.rows; ++r)
      __builtin_memcpy(tile.row[r], static_cast<const unsigned char*>(from) + r * stride, static_cast<std::size_t>(tile.bytes));
  }
  void store(int t, void* to, std::ptrdiff_t stride) {
    const Tile& tile = at(t);
    for (int r = 0; r < tile.rows; ++r)
      __builtin_memcpy(static_cast<unsigned char*>(to) + r * stride, tile.row[r], static_cast<std::size_t>(tile.bytes));
  }

  // C (rows, columns) += A (rows, depth) . B (depth, columns), in elements of four bytes
  void demand_shapes(int c, int a, int b) {
    demand(c != a && c != b && a != b);
    demand(at(c).rows == at(a).rows && at(c).bytes == at(b).bytes && at(a).bytes / 4 == at(b).rows);
  }

  // Numbers below the normal range count as zero of their sign, as inputs and as results, whatever MXCSR says.
  static float flush(float x) { return __builtin_fabsf(x) < 0x1.0p-126f ? __builtin_copysignf(0.0f, x) : x; }
  static float wide(const unsigned char* pair, int half) {
    const unsigned bits = static_cast<unsigned>(pair[2 * half] | pair[2 * half + 1] << 8) << 16;
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return flush(x);
  }
  void dot_bf16(int c, int a, int b) {
    demand_shapes(c, a, b);
    const int columns = tiles[c].bytes / 4, depth = tiles[a].bytes / 4;
    for (int m = 0; m < tiles[c].rows; ++m) {
      float sums[kMostBytes / 4][2] = {};
      for (int k = 0; k < depth; ++k)
        for (int half = 0; half < 2; ++half) {
          const float x = wide(tiles[a].row[m] + 4 * k, half);
          for (int n = 0; n < columns; ++n) sums[n][half] = flush(__builtin_fmaf(x, wide(tiles[b].row[k] + 4 * n, half), sums[n][half]));
        }
      for (int n = 0; n < columns; ++n) {
        float total;
        __builtin_memcpy(&total, tiles[c].row[m] + 4 * n, 4);
        total = flush(flush(total) + flush(sums[n][0] + sums[n][1]));
        __builtin_memcpy(tiles[c].row[m] + 4 * n, &total, 4);
      }
    }
  }

  void dot_i8(int c, int a, int b) {  // signed times unsigned bytes, without saturation
    demand_shapes(c, a, b);
    for (int m = 0; m < tiles[c].rows; ++m)
      for (int k = 0; k < tiles[a].bytes / 4; ++k)
        for (int n = 0; n < tiles[c].bytes / 4; ++n) {
          const unsigned char *x = tiles[a].row[m] + 4 * k, *w = tiles[b].row[k] + 4 * n;
          unsigned total;
          __builtin_memcpy(&total, tiles[c].row[m] + 4 * n, 4);
          for (int i = 0; i < 4; ++i) total += static_cast<unsigned>(static_cast<signed char>(x[i]) * w[i]);
          __builtin_memcpy(tiles[c].row[m] + 4 * n, &total, 4);
        }
  }
};
