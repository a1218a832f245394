// Which kernel tables this processor can run.
#include <cstring>

#include "kernels.h"

namespace gpt2lab {

IsaList available_isas() {
  IsaList list{{}, 0};
#if defined(GPT2LAB_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  if (avx2 && avx512) list.names[list.count++] = kAvx512.name;
  if (avx2) list.names[list.count++] = kAvx2.name;
#endif
  list.names[list.count++] = kPortable.name;
  return list;
}

const Kernels* find_kernels(const char* name) {
  const Kernels* const all[] = {
#if defined(GPT2LAB_X86)
      &kAvx512, &kAvx2,
#endif
      &kPortable};
  const IsaList usable = available_isas();
  for (int i = 0; i < usable.count; ++i)
    if (std::strcmp(usable.names[i], name) == 0)
      for (const Kernels* table : all)
        if (std::strcmp(table->name, name) == 0) return table;
  return nullptr;
}

}  // namespace gpt2lab
