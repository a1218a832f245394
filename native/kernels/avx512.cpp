// The kernel table of the "avx512" path.
#include <immintrin.h>

#include "kernels.h"

namespace gpt2lab {
namespace {
#include "vec_avx512.h"

#include "kernels.inl"
}  // namespace

const Kernels kAvx512 = GPT2LAB_KERNELS("avx512");
}  // namespace gpt2lab
