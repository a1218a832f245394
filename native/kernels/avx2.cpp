// The kernel table of the "avx2" path.
#include <immintrin.h>

#include "kernels.h"

namespace gpt2lab {
namespace {
#include "vec_avx2.h"

#include "kernels.inl"
}  // namespace

const Kernels kAvx2 = GPT2LAB_KERNELS("avx2");
}  // namespace gpt2lab
