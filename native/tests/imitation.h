// The tile unit as tiles.inl asks for it. Included inside an anonymous namespace behind tile_unit.h.
#pragma once

struct Imitation {
  struct Bf16 {};
  struct I8 {};

  static inline TileUnit unit;

  static void begin() {
    TileUnit::demand(!unit.configured);
    unsigned char config[64] = {1};
    for (int t = 0; t < TileUnit::kTiles; ++t) {
      config[16 + 2 * t] = TileUnit::kMostBytes;
      config[48 + t] = TileUnit::kMostRows;
    }
    unit.configure(config);
    for (auto& tile : unit.tiles) __builtin_memset(tile.row, 0xA5, sizeof tile.row);  // a result must not rest on what was left
  }
  static void end() {
    TileUnit::demand(unit.configured);
    unit.release();
  }
  template <int T>
  static void zero() { unit.zero(T); }
  template <int T>
  static void load(const void* from, std::ptrdiff_t stride) { unit.load(T, from, stride); }
  template <int T>
  static void store(void* to, std::ptrdiff_t stride) { unit.store(T, to, stride); }
  template <int C, int A, int B>
  static void dot(Bf16) { unit.dot_bf16(C, A, B); }
  template <int C, int A, int B>
  static void dot(I8) { unit.dot_i8(C, A, B); }
};
