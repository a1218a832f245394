// Sixteen floats and sixteen 32-bit integers in plain C++, for any processor; the meaning that the other paths copy.
// Knows nothing of models. Included once, inside an anonymous namespace, by portable.cpp.
#pragma once

struct F {
  float v[kLanes];
};
struct I {
  std::int32_t v[kLanes];
};

#define GPT2LAB_EACH for (int i = 0; i < kLanes; ++i)

static inline F f_load(const float* p) { F r; GPT2LAB_EACH r.v[i] = p[i]; return r; }
static inline F f_load_n(const float* p, int n, float fill) { F r; GPT2LAB_EACH r.v[i] = i < n ? p[i] : fill; return r; }
static inline void f_store(float* p, F a) { GPT2LAB_EACH p[i] = a.v[i]; }
static inline void f_store_n(float* p, F a, int n) { for (int i = 0; i < n; ++i) p[i] = a.v[i]; }
static inline F f_set(float x) { F r; GPT2LAB_EACH r.v[i] = x; return r; }
static inline F f_first(F a, int n, float fill) { GPT2LAB_EACH a.v[i] = i < n ? a.v[i] : fill; return a; }
static inline F f_fma(F a, F b, F c) { F r; GPT2LAB_EACH r.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]); return r; }
static inline F f_add(F a, F b) { F r; GPT2LAB_EACH r.v[i] = a.v[i] + b.v[i]; return r; }
static inline F f_sub(F a, F b) { F r; GPT2LAB_EACH r.v[i] = a.v[i] - b.v[i]; return r; }
static inline F f_mul(F a, F b) { F r; GPT2LAB_EACH r.v[i] = a.v[i] * b.v[i]; return r; }
static inline F f_div(F a, F b) { F r; GPT2LAB_EACH r.v[i] = a.v[i] / b.v[i]; return r; }
static inline F f_max(F a, F b) { F r; GPT2LAB_EACH r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return r; }
static inline F f_min(F a, F b) { F r; GPT2LAB_EACH r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return r; }
static inline F f_abs(F a) { F r; GPT2LAB_EACH r.v[i] = __builtin_fabsf(a.v[i]); return r; }
static inline F f_copysign(F a, F s) { F r; GPT2LAB_EACH r.v[i] = __builtin_copysignf(a.v[i], s.v[i]); return r; }
static inline F f_rint(F a) { F r; GPT2LAB_EACH r.v[i] = __builtin_rintf(a.v[i]); return r; }
static inline F f_exp2i(F a) {  // 2^a for integral a in [-126, 127]
  F r;
  GPT2LAB_EACH {
    const std::int32_t bits = (static_cast<std::int32_t>(a.v[i]) + 127) << 23;
    __builtin_memcpy(&r.v[i], &bits, 4);
  }
  return r;
}
static inline F f_inverse_guess(F a) {  // 1 / a within an eighth for a in [1, 2^125]
  F r;
  GPT2LAB_EACH {
    std::int32_t bits;
    __builtin_memcpy(&bits, &a.v[i], 4);
    bits = 0x7EF311C3 - bits;
    __builtin_memcpy(&r.v[i], &bits, 4);
  }
  return r;
}
static inline float f_sum(F a) {
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
  return a.v[0];
}
static inline float f_hmax(F a) {
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
  return a.v[0];
}

// Half-width numbers. A pair is two bf16 that lie side by side, the even one first.
static inline float widen_bf16(std::uint16_t x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float y;
  __builtin_memcpy(&y, &bits, 4);
  return y;
}
static inline void f_load_pairs(const std::uint16_t* p, F& even, F& odd) {
  GPT2LAB_EACH {
    even.v[i] = widen_bf16(p[2 * i]);
    odd.v[i] = widen_bf16(p[2 * i + 1]);
  }
}
static inline F f_load_bf16(const std::uint16_t* p) { F r; GPT2LAB_EACH r.v[i] = widen_bf16(p[i]); return r; }
static inline std::uint16_t narrow_bf16(float x) {  // a number that bf16 has
  std::uint32_t bits;
  __builtin_memcpy(&bits, &x, 4);
  return static_cast<std::uint16_t>(bits >> 16);
}
static inline void f_store_pairs(std::uint16_t* p, F even, F odd) {
  GPT2LAB_EACH {
    p[2 * i] = narrow_bf16(even.v[i]);
    p[2 * i + 1] = narrow_bf16(odd.v[i]);
  }
}
static inline F f_load_s8(const std::int8_t* p) { F r; GPT2LAB_EACH r.v[i] = static_cast<float>(p[i]); return r; }
static inline F f_look_up(const float* table, const std::uint16_t* at) { F r; GPT2LAB_EACH r.v[i] = table[at[i]]; return r; }
static inline float widen_f16(std::uint16_t x) {
  const std::uint32_t sign = static_cast<std::uint32_t>(x & 0x8000) << 16, rest = x & 0x7FFFu;
  if (rest < 0x0400) return (sign ? -1.0f : 1.0f) * static_cast<float>(rest) * 0x1.0p-24f;  // below the normal range
  const std::uint32_t bits = sign | (rest >= 0x7C00 ? 0x7F800000u | (rest & 0x3FFu) << 13 : (rest << 13) + 0x38000000u);
  float y;
  __builtin_memcpy(&y, &bits, 4);
  return y;
}
static inline F f_load_f16(const std::uint16_t* p) { F r; GPT2LAB_EACH r.v[i] = widen_f16(p[i]); return r; }

// Sixteen columns of four weights each, as unsigned bytes, and four signed inputs for all of them.
struct W {
  std::uint8_t v[kLanes * kQuad];
};
struct Quad {
  std::int32_t v[kQuad];
};
static inline W w_load(const std::uint8_t* p) { W w; __builtin_memcpy(w.v, p, sizeof w.v); return w; }
static inline void w_load_halves(const std::uint8_t* p, W& low, W& high) {
  for (int i = 0; i < kLanes * kQuad; ++i) {
    low.v[i] = p[i] & 15;
    high.v[i] = p[i] >> 4;
  }
}
static inline Quad quad_set(const std::int8_t* x) { Quad q; for (int j = 0; j < kQuad; ++j) q.v[j] = x[j]; return q; }
// The weights carry an offset; a sum starts at what takes it off again, which is exact.
static inline I i_start(std::int32_t value) { I r; GPT2LAB_EACH r.v[i] = value; return r; }
static inline I i_start_u8(std::int32_t sum) { return i_start(-kOffsetI8 * sum); }
static inline I i_start_u4(std::int32_t sum) { return i_start(-kOffsetI4 * sum); }
static inline I i_dot_u8(I acc, W w, Quad x) {
  GPT2LAB_EACH for (int j = 0; j < kQuad; ++j) acc.v[i] += x.v[j] * w.v[kQuad * i + j];
  return acc;
}
static inline I i_dot_u4(I acc, W w, Quad x) { return i_dot_u8(acc, w, x); }
static inline I i_load(const std::int32_t* p) { I r; GPT2LAB_EACH r.v[i] = p[i]; return r; }
static inline I i_add(I a, I b) { GPT2LAB_EACH a.v[i] = static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v[i]) + static_cast<std::uint32_t>(b.v[i])); return a; }
// The same as words without a sign.
static inline std::uint32_t word(std::int32_t a) { return static_cast<std::uint32_t>(a); }
static inline I i_set(std::uint32_t x) { return i_start(static_cast<std::int32_t>(x)); }
static inline I i_load_u32(const std::uint32_t* p) { I r; GPT2LAB_EACH r.v[i] = static_cast<std::int32_t>(p[i]); return r; }
static inline I i_count() { I r; GPT2LAB_EACH r.v[i] = i; return r; }
static inline I i_xor(I a, I b) { GPT2LAB_EACH a.v[i] ^= b.v[i]; return a; }
static inline I i_mul(I a, std::uint32_t b) { GPT2LAB_EACH a.v[i] = static_cast<std::int32_t>(word(a.v[i]) * b); return a; }
template <int N>
static inline I i_fold(I a) { GPT2LAB_EACH a.v[i] = static_cast<std::int32_t>(word(a.v[i]) ^ word(a.v[i]) >> N); return a; }
static inline F f_unless_below(I a, std::uint32_t b, float value) { F r; GPT2LAB_EACH r.v[i] = word(a.v[i]) < b ? 0.0f : value; return r; }
static inline F i_float(I a) { F r; GPT2LAB_EACH r.v[i] = static_cast<float>(a.v[i]); return r; }
static inline void f_store_s8(std::int8_t* p, F a) {  // round to nearest even; within [-127, 127]
  GPT2LAB_EACH p[i] = static_cast<std::int8_t>(__builtin_rintf(a.v[i]));
}
static inline void prefetch(const void* p) { __builtin_prefetch(p); }

#undef GPT2LAB_EACH

constexpr int kFewRows = 1;         // up to here a product takes all columns of a panel at once
constexpr int kRowTile = 4, kColumnTile = 1;  // rows and vectors of columns at once when there are more
constexpr int kRowTileBf16 = 2, kRowTileI4 = 2;  // these need several accumulators an element
constexpr int kQueryTile = 4, kValueTile = 1;  // queries at once, and vectors of their values
