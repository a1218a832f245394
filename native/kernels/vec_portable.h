// Sixteen floats and sixteen 32-bit integers in plain C++, for any processor; the meaning that the other paths copy.
// Knows nothing of models. Included once, inside an anonymous namespace, by portable.cpp.
#pragma once

struct F {
  float v[kLanes];
};
struct I {
  std::int32_t v[kLanes];
};
struct Quad {  // four quantised inputs, as signed numbers
  std::int32_t v[kQuad];
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
static inline float f_sum(F a) {
  for (int half = kLanes / 2; half; half /= 2)
    for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
  return a.v[0];
}
static inline float f_hmax(F a) {
  float m = a.v[0];
  for (int i = 1; i < kLanes; ++i) m = a.v[i] > m ? a.v[i] : m;
  return m;
}

static inline I i_zero() { I r; GPT2LAB_EACH r.v[i] = 0; return r; }
static inline Quad quad_set(const std::uint8_t* x) {
  Quad q;
  for (int j = 0; j < kQuad; ++j) q.v[j] = static_cast<std::int32_t>(x[j]) - 128;
  return q;
}
static inline I i_dot(I acc, Quad x, const std::int8_t* w) {
  GPT2LAB_EACH for (int j = 0; j < kQuad; ++j) acc.v[i] += x.v[j] * w[kQuad * i + j];
  return acc;
}
static inline F i_finish(I acc, const std::int32_t*) { F r; GPT2LAB_EACH r.v[i] = static_cast<float>(acc.v[i]); return r; }
static inline void f_store_u8(std::uint8_t* p, F a) {  // round to nearest even, then + 128
  GPT2LAB_EACH p[i] = static_cast<std::uint8_t>(static_cast<std::int32_t>(__builtin_rintf(a.v[i])) + 128);
}

#undef GPT2LAB_EACH

constexpr int kRowTile = 4;    // rows that a product computes at once
constexpr int kColumnTile = 1; // vectors of columns at once when it does
