// The kernel table of the "avx2" path.
#include <immintrin.h>

#include "kernels.h"

namespace gpt2lab {
namespace {
#include "vec_avx2.h"

#include "kernels.inl"
}  // namespace

const Kernels kAvx2 = {"avx2",   product_f32, product_i8,  quantize_row, layer_norm,
                         attend, block_max,   row_stats, exp_shifted};
}  // namespace gpt2lab
