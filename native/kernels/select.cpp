// Which kernel tables this processor can run.
#include <cstring>

#if defined(GPT2LAB_X86) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "kernels.h"

namespace gpt2lab {
#if defined(GPT2LAB_X86)
namespace {

// Whether processor and operating system offer AMX; asks Linux for this process's permission (arch_prctl(2),
// Documentation/arch/x86/xstate.rst).
bool amx_usable() {
#if defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (bf16 | tile | int8)) != (bf16 | tile | int8)) return false;
  constexpr long request = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
#else
  return false;
#endif
}

}  // namespace
#endif

IsaList available_isas() {
  IsaList list{{}, 0};
#if defined(GPT2LAB_X86)
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  static const bool amx = avx512 && __builtin_cpu_supports("avx512bf16") && amx_usable();
  if (avx2 && amx) list.names[list.count++] = kAmx.name;
  if (avx2 && avx512) list.names[list.count++] = kAvx512.name;
  if (avx2) list.names[list.count++] = kAvx2.name;
#endif
  list.names[list.count++] = kPortable.name;
  return list;
}

const Kernels* find_kernels(const char* name) {
  const Kernels* const all[] = {
#if defined(GPT2LAB_X86)
      &kAmx, &kAvx512, &kAvx2,
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
