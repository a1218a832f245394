// The kernel table of the "portable" path.
#include "kernels.h"

namespace gpt2lab {
namespace {
#include "vec_portable.h"

#include "kernels.inl"
}  // namespace

const Kernels kPortable = {"portable",   product_f32, product_i8,  quantize_row, layer_norm,
                         attend, block_max,   row_stats, exp_shifted};
}  // namespace gpt2lab
