// Sixteen floats as one 512-bit register (AVX-512 F, BW, DQ, VL and VNNI). Same meaning, bit for bit, as vec_portable.h.
#pragma once

using F = __m512;
using I = __m512i;

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
static inline F f_inverse_guess(F a) {
  return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_set1_epi32(0x7EF311C3), _mm512_castps_si512(a)));
}
static inline float f_sum(F a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}
static inline float f_hmax(F a) {  // _mm512_reduce_max_ps leaves open which of two equal zeros, and what of a not-a-number
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

// Half-width numbers. A pair is two bf16 that lie side by side: the even one in the low half of a 32-bit lane.
static inline void f_load_pairs(const std::uint16_t* p, F& even, F& odd) {
  const __m512i pairs = _mm512_loadu_si512(p);
  even = _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
  odd = _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xFFFF0000u))));
}
static inline F f_load_bf16(const std::uint16_t* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline void f_store_pairs(std::uint16_t* p, F even, F odd) {  // of numbers that bf16 has
  const __m512i high = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u)), low = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
  _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_and_si512(_mm512_castps_si512(odd), high)));
}
static inline F f_load_s8(const std::int8_t* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
static inline F f_look_up(const float* table, const std::uint16_t* at) {  // table[at[i]]
  return _mm512_i32gather_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))), table, 4);
}
#if defined(__AVX512BF16__)
static inline void f_store_bf16(std::uint16_t* p, F a) {  // as rounded_bits() says
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(a)));
}
#endif
static inline F f_load_f16(const std::uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }

// Sixteen columns of four weights each, as unsigned bytes, and four signed inputs for all of them.
using W = __m512i;
using Quad = __m512i;
static inline W w_load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
static inline void w_load_halves(const std::uint8_t* p, W& low, W& high) {
  const __m512i both = _mm512_loadu_si512(p), mask = _mm512_set1_epi8(15);
  low = _mm512_and_si512(both, mask);
  high = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
}
static inline Quad quad_set(const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}
// The weights carry an offset; a sum starts at what takes it off again, which is exact.
static inline I i_start_u8(std::int32_t sum) { return _mm512_set1_epi32(-kOffsetI8 * sum); }
static inline I i_start_u4(std::int32_t sum) { return _mm512_set1_epi32(-kOffsetI4 * sum); }
// _mm512_dpbusd_epi32(acc, w, x), in assembly: around that intrinsic GCC 12 copies every sum from register to register.
static inline I i_dot_u8(I acc, W w, Quad x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
  return acc;
}
static inline I i_dot_u4(I acc, W w, Quad x) { return i_dot_u8(acc, w, x); }
static inline I i_load(const std::int32_t* p) { return _mm512_loadu_si512(p); }
static inline I i_add(I a, I b) { return _mm512_add_epi32(a, b); }
static inline I i_set(std::uint32_t x) { return _mm512_set1_epi32(static_cast<int>(x)); }
static inline I i_load_u32(const std::uint32_t* p) { return _mm512_loadu_si512(p); }
static inline I i_count() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
static inline I i_xor(I a, I b) { return _mm512_xor_si512(a, b); }
static inline I i_mul(I a, std::uint32_t b) { return _mm512_mullo_epi32(a, i_set(b)); }
template <int N>
static inline I i_fold(I a) { return _mm512_xor_si512(a, _mm512_srli_epi32(a, N)); }
static inline F f_unless_below(I a, std::uint32_t b, float value) {
  return _mm512_maskz_mov_ps(_mm512_cmp_epu32_mask(a, i_set(b), _MM_CMPINT_NLT), _mm512_set1_ps(value));
}
static inline F i_float(I a) { return _mm512_cvtepi32_ps(a); }
static inline void f_store_s8(std::int8_t* p, F a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(_mm512_cvtps_epi32(a)));
}
static inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }

// Tiles of rows by vectors of columns, for thirty-two registers: the weights of a wide tile are read once, but a tall one
// needs fewer of them per second.
constexpr int kFewRows = 6;         // up to here a product takes all columns of a panel at once
constexpr int kRowTile = 12, kColumnTile = 2;
constexpr int kRowTileBf16 = 4, kRowTileI4 = 6;  // these need several accumulators an element
constexpr int kQueryTile = 8, kValueTile = 2;
