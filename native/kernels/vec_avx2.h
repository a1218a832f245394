// Sixteen floats as two 256-bit registers (AVX2, FMA). Same meaning, bit for bit, as vec_portable.h.
#pragma once

struct F {
  __m256 lo, hi;
};
struct I {
  __m256i lo, hi;
};

static inline __m256i mask_n(int n) {  // all ones in the lanes below n
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline F f_set(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
static inline F f_load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
static inline F f_first(F a, int n, float fill) {
  const __m256 f = _mm256_set1_ps(fill);
  return {_mm256_blendv_ps(f, a.lo, _mm256_castsi256_ps(mask_n(n))),
          _mm256_blendv_ps(f, a.hi, _mm256_castsi256_ps(mask_n(n - 8)))};
}
static inline F f_load_n(const float* p, int n, float fill) {
  const F a = {_mm256_maskload_ps(p, mask_n(n)), n > 8 ? _mm256_maskload_ps(p + 8, mask_n(n - 8)) : _mm256_setzero_ps()};
  return f_first(a, n, fill);
}
static inline void f_store(float* p, F a) { _mm256_storeu_ps(p, a.lo); _mm256_storeu_ps(p + 8, a.hi); }
static inline void f_store_n(float* p, F a, int n) {
  _mm256_maskstore_ps(p, mask_n(n), a.lo);
  if (n > 8) _mm256_maskstore_ps(p + 8, mask_n(n - 8), a.hi);
}
static inline F f_fma(F a, F b, F c) { return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)}; }
static inline F f_add(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
static inline F f_sub(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
static inline F f_mul(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
static inline F f_div(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
static inline F f_max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
static inline F f_min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
static inline F f_abs(F a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
static inline F f_copysign(F a, F s) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(sign, a.lo), _mm256_and_ps(sign, s.lo)),
          _mm256_or_ps(_mm256_andnot_ps(sign, a.hi), _mm256_and_ps(sign, s.hi))};
}
static inline F f_rint(F a) {
  constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.lo, mode), _mm256_round_ps(a.hi, mode)};
}
static inline __m256 exp2i_half(__m256 a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127)), 23));
}
static inline F f_exp2i(F a) { return {exp2i_half(a.lo), exp2i_half(a.hi)}; }
static inline __m256 inverse_guess_half(__m256 a) {
  return _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_set1_epi32(0x7EF311C3), _mm256_castps_si256(a)));
}
static inline F f_inverse_guess(F a) { return {inverse_guess_half(a.lo), inverse_guess_half(a.hi)}; }
static inline float f_sum(F a) {
  const __m256 eight = _mm256_add_ps(a.lo, a.hi);
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_shuffle_ps(four, four, 1)));
}
static inline float f_hmax(F a) {
  const __m256 eight = _mm256_max_ps(a.lo, a.hi);
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_shuffle_ps(four, four, 1)));
}

// Half-width numbers. A pair is two bf16 that lie side by side: the even one in the low half of a 32-bit lane.
static inline __m256 even_half(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
static inline __m256 odd_half(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xFFFF0000u))));
}
static inline void f_load_pairs(const std::uint16_t* p, F& even, F& odd) {
  const __m256i lo = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), hi = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 16));
  even = {even_half(lo), even_half(hi)};
  odd = {odd_half(lo), odd_half(hi)};
}
static inline __m256 bf16_half(const std::uint16_t* p) {
  return even_half(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
static inline F f_load_bf16(const std::uint16_t* p) { return {bf16_half(p), bf16_half(p + 8)}; }
static inline __m256 s8_half(const std::int8_t* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
static inline F f_load_s8(const std::int8_t* p) { return {s8_half(p), s8_half(p + 8)}; }
static inline __m256 look_up_half(const float* table, const std::uint16_t* at) {
  return _mm256_i32gather_ps(table, _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))), 4);
}
static inline F f_look_up(const float* table, const std::uint16_t* at) { return {look_up_half(table, at), look_up_half(table, at + 8)}; }
static inline F f_load_f16(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))), _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}

// Sixteen columns of four weights each, as unsigned bytes, and four signed inputs for all of them.
struct W {
  __m256i lo, hi;
};
struct Quad {
  __m256i magnitude, value;
};
static inline W w_load(const std::uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
}
static inline void w_load_halves(const std::uint8_t* p, W& low, W& high) {
  const __m256i mask = _mm256_set1_epi8(15);
  const W both = w_load(p);
  low = {_mm256_and_si256(both.lo, mask), _mm256_and_si256(both.hi, mask)};
  high = {_mm256_and_si256(_mm256_srli_epi16(both.lo, 4), mask), _mm256_and_si256(_mm256_srli_epi16(both.hi, 4), mask)};
}
static inline Quad quad_set(const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, 4);
  const __m256i value = _mm256_set1_epi32(four);
  return {_mm256_abs_epi8(value), value};
}
static inline I i_start_u8(std::int32_t) { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
static inline I i_start_u4(std::int32_t sum) { return {_mm256_set1_epi32(-kOffsetI4 * sum), _mm256_set1_epi32(-kOffsetI4 * sum)}; }
static inline __m256i add_pairs(__m256i acc, __m256i pairs) { return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))); }
// The offset is taken off first; then |x| and w carrying x's sign: two products of at most 127 * 127 fit in sixteen bits.
static inline __m256i dot_u8_half(__m256i acc, __m256i w, Quad x) {
  const __m256i plain = _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(kOffsetI8)));
  return add_pairs(acc, _mm256_maddubs_epi16(x.magnitude, _mm256_sign_epi8(plain, x.value)));
}
static inline I i_dot_u8(I acc, W w, Quad x) { return {dot_u8_half(acc.lo, w.lo, x), dot_u8_half(acc.hi, w.hi, x)}; }
static inline I i_dot_u4(I acc, W w, Quad x) {  // two products of at most 15 * 127 fit in sixteen bits
  return {add_pairs(acc.lo, _mm256_maddubs_epi16(w.lo, x.value)), add_pairs(acc.hi, _mm256_maddubs_epi16(w.hi, x.value))};
}
static inline I i_both(__m256i a) { return {a, a}; }
static inline I i_set(std::uint32_t x) { return i_both(_mm256_set1_epi32(static_cast<int>(x))); }
static inline I i_load_u32(const std::uint32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
static inline I i_count() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)}; }
static inline I i_add(I a, I b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
static inline I i_xor(I a, I b) { return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)}; }
static inline I i_mul(I a, std::uint32_t b) {
  const __m256i all = _mm256_set1_epi32(static_cast<int>(b));
  return {_mm256_mullo_epi32(a.lo, all), _mm256_mullo_epi32(a.hi, all)};
}
template <int N>
static inline I i_fold(I a) {
  return {_mm256_xor_si256(a.lo, _mm256_srli_epi32(a.lo, N)), _mm256_xor_si256(a.hi, _mm256_srli_epi32(a.hi, N))};
}
static inline __m256 unless_below_half(__m256i a, std::uint32_t b, float value) {  // words have no comparison here, but a maximum
  const __m256i stays = _mm256_cmpeq_epi32(_mm256_max_epu32(a, _mm256_set1_epi32(static_cast<int>(b))), a);
  return _mm256_and_ps(_mm256_castsi256_ps(stays), _mm256_set1_ps(value));
}
static inline F f_unless_below(I a, std::uint32_t b, float value) { return {unless_below_half(a.lo, b, value), unless_below_half(a.hi, b, value)}; }
static inline F i_float(I a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
static inline void f_store_s8(std::int8_t* p, F a) {
  const __m256i words = _mm256_packs_epi32(_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi));  // 0-3 8-11 | 4-7 12-15
  const __m256i order = _mm256_permute4x64_epi64(words, 0xD8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(_mm256_castsi256_si128(order), _mm256_extracti128_si256(order, 1)));
}
static inline void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

// Tiles of rows by vectors of columns, for sixteen registers, two to a vector.
constexpr int kFewRows = 1;
constexpr int kRowTile = 6, kColumnTile = 1;
constexpr int kRowTileBf16 = 2, kRowTileI4 = 2;  // these need several accumulators an element
constexpr int kQueryTile = 4, kValueTile = 1;
