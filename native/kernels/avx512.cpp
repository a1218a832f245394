// The kernel table of the "avx512" path.
#include <immintrin.h>

#include "kernels.h"

namespace gpt2lab {
namespace {
#include "vec_avx512.h"

#include "kernels.inl"
}  // namespace

const Kernels kAvx512 = {"avx512",   product_f32, product_i8,  quantize_row, layer_norm,
                         attend, block_max,   row_stats, exp_shifted};
}  // namespace gpt2lab
