// The kernel table of the "portable" path.
#include "kernels.h"

namespace gpt2lab {
namespace {
#include "vec_portable.h"

#include "kernels.inl"
}  // namespace

const Kernels kPortable = GPT2LAB_KERNELS("portable");
}  // namespace gpt2lab
