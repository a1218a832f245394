// The tile products over the avx512 vectors and an imitation of the tile unit.
#include <immintrin.h>

#include "../kernels/kernels.h"

namespace gpt2lab {
namespace {
#include "../kernels/vec_avx512.h"

#include "../kernels/kernels.inl"
#include "../kernels/tiles.inl"
#include "../kernels/attention_tiles.inl"
#include "../kernels/training_tiles.inl"
#include "tile_unit.h"

#include "imitation.h"
}  // namespace

namespace tests {

const Kernels& tiles_over_avx512();
const Kernels& tiles_over_avx512() {
  static const Kernels table = [] {
    Kernels kernels = GPT2LAB_KERNELS("tiles over avx512");
    kernels.product_bf16 = tiles_bf16<Imitation>;
    kernels.product_i8 = tiles_i8<Imitation>;
    kernels.attend_bf16 = attend_tiles<Imitation>;
    kernels.attend_i8 = attend_tiles_i8<Imitation>;
    kernels.attend_gradient = attend_gradient_tiles<Imitation>;
    return kernels;
  }();
  return table;
}

}  // namespace tests
}  // namespace gpt2lab
