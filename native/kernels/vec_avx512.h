// Sixteen floats as one 512-bit register (AVX-512 F, BW, DQ, VL and VNNI). Same meaning, bit for bit, as vec_portable.h.
#pragma once

using F = __m512;
using I = __m512i;
using Quad = __m512i;

static inline __mmask16 mask_n(int n) { return static_cast<__mmask16>(n >= 16 ? 0xFFFF : (1u << n) - 1); }
static inline F f_set(float x) { return _mm512_set1_ps(x); }
static inline F f_load(const float* p) { return _mm512_loadu_ps(p); }
static inline F f_load_n(const float* p, int n, float fill) { return _mm512_mask_loadu_ps(_mm512_set1_ps(fill), mask_n(n), p); }
static inline F f_first(F a, int n, float fill) { return _mm512_mask_mov_ps(_mm512_set1_ps(fill), mask_n(n), a); }
static inline void f_store(float* p, F a) { _mm512_storeu_ps(p, a); }
static inline void f_store_n(float* p, F a, int n) { _mm512_mask_storeu_ps(p, mask_n(n), a); }
static inline F f_fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
static inline F f_add(F a, F b) { return _mm512_add_ps(a, b); }
static inline F f_sub(F a, F b) { return _mm512_sub_ps(a, b); }
static inline F f_mul(F a, F b) { return _mm512_mul_ps(a, b); }
static inline F f_div(F a, F b) { return _mm512_div_ps(a, b); }
static inline F f_max(F a, F b) { return _mm512_max_ps(a, b); }
static inline F f_min(F a, F b) { return _mm512_min_ps(a, b); }
static inline F f_abs(F a) { return _mm512_abs_ps(a); }
static inline F f_copysign(F a, F s) {
  const __m512 sign = _mm512_set1_ps(-0.0f);
  return _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, s));
}
static inline F f_rint(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline F f_exp2i(F a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(a), _mm512_set1_epi32(127)), 23));
}
static inline float f_sum(F a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}
static inline float f_hmax(F a) { return _mm512_reduce_max_ps(a); }

static inline I i_zero() { return _mm512_setzero_si512(); }
static inline Quad quad_set(const std::uint8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}
static inline I i_dot(I acc, Quad x, const std::int8_t* w) {
  return _mm512_dpbusd_epi32(acc, x, _mm512_loadu_si512(w));
}
// The inputs carry an offset of 128, so the sum does too; taking it off again is exact.
static inline F i_finish(I acc, const std::int32_t* w_sum) {
  return _mm512_cvtepi32_ps(_mm512_sub_epi32(acc, _mm512_slli_epi32(_mm512_loadu_si512(w_sum), 7)));
}
static inline void f_store_u8(std::uint8_t* p, F a) {
  const __m128i bytes = _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80))));
}

constexpr int kRowTile = 6;    // 6 x 4 registers: 24 accumulators of 32
constexpr int kColumnTile = 4;
