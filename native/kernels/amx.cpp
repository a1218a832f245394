// The kernel table of the "amx" path: AVX-512 with the tile unit for prompts and batches.
#include <immintrin.h>

#include "kernels.h"

namespace gpt2lab {
namespace {
#include "vec_avx512.h"

#include "kernels.inl"
#include "tiles.inl"
#include "attention_tiles.inl"
#include "training_tiles.inl"

// The processor's tile registers. The operating system's permission has been asked for in select.cpp.
struct Amx {
  struct Bf16 {};
  struct I8 {};

  static inline void begin() {
    struct alignas(64) Config {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } config;
    // _tile_loadconfig of GCC 12 tells the compiler that eight bytes are read; the stores of the others could be left out.
    asm volatile("ldtilecfg %0" : : "m"(config));
  }
  static inline void end() { _tile_release(); }
  // In assembly, because GCC's macros take the number of a tile as a literal only.
  template <int T> static inline void zero() { asm volatile("tilezero %%tmm%c0" : : "i"(T)); }
  template <int T> static inline void load(const void* from, std::ptrdiff_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(T) : "memory");
  }
  template <int T> static inline void store(void* to, std::ptrdiff_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(T) : "memory");
  }
  template <int C, int A, int B> static inline void dot(Bf16) {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
  template <int C, int A, int B> static inline void dot(I8) {  // signed inputs, unsigned weights
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
  }
};

void amx_bf16(const ProductBf16& job, int first, int last) {
  job.m <= kVectorRows ? product_bf16(job, first, last) : tiles_bf16<Amx>(job, first, last);
}
void amx_i8(const ProductI8& job, int first, int last) {
  job.m <= kVectorRows ? product_i8(job, first, last) : tiles_i8<Amx>(job, first, last);
}

}  // namespace

const Kernels kAmx = {"amx",      product_f32, amx_bf16,   amx_i8,      product_i4, quantize_row, round_row,
                      layer_norm, attend_f32,  attend_tiles<Amx>, attend_tiles_i8<Amx>, block_max, row_stats,  exp_shifted,
                      gelu_f32,   gelu_gradient_f32, look_up,   look_up_times, add_half, sum_columns, layer_norm_gradient,
                      exponentials_f32, exponentials_bf16, drop_f32, drop_bf16, attend_gradient_tiles<Amx>};
}  // namespace gpt2lab
