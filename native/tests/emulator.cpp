// Executes the tile instructions of amx.cpp, as the compiler has encoded them, on processors that have none: each is an
// undefined instruction to them, and the signal it raises is answered by doing what the instruction says.
//
// Encodings: Intel's Software Developer's Manual, volume 2, section 2.3 (VEX prefix) and the pages of the instructions. Linux, x86-64.
#if defined(GPT2LAB_X86) && defined(__linux__) && defined(__x86_64__)
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <ucontext.h>

#include "harness.h"

namespace gpt2lab::tests {
namespace {
#include "tile_unit.h"

TileUnit unit;

struct Instruction {
  int opcode, prefix;             // the byte behind the VEX prefix; 0: none, 1: 66, 2: F3, 3: F2
  int mode, reg, rm, vvvv;
  std::uintptr_t base, stride;    // base with displacement; index shifted by scale
  int length;
};

// One of sixteen general registers by its number in an encoding.
std::uintptr_t general(const greg_t* registers, int number) {
  constexpr int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                           REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  return static_cast<std::uintptr_t>(registers[order[number]]);
}

// Reads a three-byte VEX instruction of map 0F38, 128 bits wide, W 0; false for any other.
bool decode(const unsigned char* code, const greg_t* registers, Instruction& in) {
  if (code[0] != 0xC4 || (code[1] & 31) != 2 || (code[2] & 0x84) != 0) return false;
  const int index_high = code[1] & 0x40 ? 0 : 8, base_high = code[1] & 0x20 ? 0 : 8;
  in = {code[3], code[2] & 3, code[4] >> 6, code[4] >> 3 & 7, code[4] & 7, ~code[2] >> 3 & 15, 0, 0, 5};
  if (in.mode == 3) return true;
  bool no_base = false;
  if (in.rm == 4) {  // a SIB byte
    const unsigned char sib = code[in.length++];
    const int index = (sib >> 3 & 7) + index_high, base = (sib & 7) + base_high;
    no_base = (sib & 7) == 5 && in.mode == 0;
    in.base = no_base ? 0 : general(registers, base);
    in.stride = index == 4 ? 0 : general(registers, index) << (sib >> 6);
  } else if (in.rm == 5 && in.mode == 0) {
    return false;  // relative to the instruction: nobody asks for it
  } else {
    in.base = general(registers, in.rm + base_high);
  }
  std::int32_t displacement = 0;
  if (in.mode == 1) displacement = static_cast<signed char>(code[in.length++]);
  if (in.mode == 2 || no_base) {
    std::memcpy(&displacement, code + in.length, 4);
    in.length += 4;
  }
  in.base += static_cast<std::uintptr_t>(static_cast<std::intptr_t>(displacement));
  return true;
}

bool execute(const Instruction& in) {
  enum { none = 0, f3 = 2, f2 = 3 };
  auto* memory = reinterpret_cast<void*>(in.base);
  const auto stride = static_cast<std::ptrdiff_t>(in.stride);
  if (in.opcode == 0x49 && in.prefix == none && in.mode == 3 && in.reg == 0) unit.release();
  else if (in.opcode == 0x49 && in.prefix == none && in.mode != 3 && in.reg == 0) unit.configure(static_cast<const unsigned char*>(memory));
  else if (in.opcode == 0x49 && in.prefix == f2 && in.mode == 3) unit.zero(in.reg);
  else if (in.opcode == 0x4B && in.prefix == f2 && in.mode != 3) unit.load(in.reg, memory, stride);
  else if (in.opcode == 0x4B && in.prefix == f3 && in.mode != 3) unit.store(in.reg, memory, stride);
  else if (in.opcode == 0x5C && in.prefix == f3 && in.mode == 3) unit.dot_bf16(in.reg, in.rm, in.vvvv);
  else if (in.opcode == 0x5E && in.prefix == f3 && in.mode == 3) unit.dot_i8(in.reg, in.rm, in.vvvv);
  else return false;
  return true;
}

void on_undefined(int, siginfo_t*, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  Instruction in;
  if (decode(reinterpret_cast<const unsigned char*>(registers[REG_RIP]), registers, in) && execute(in)) registers[REG_RIP] += in.length;
  else std::signal(SIGILL, SIG_DFL);  // and it is raised again
}

}  // namespace

const Kernels* emulated_amx() {
  struct sigaction action = {};
  action.sa_sigaction = on_undefined;
  action.sa_flags = SA_SIGINFO;
  if (sigaction(SIGILL, &action, nullptr) != 0) return nullptr;
  static const Kernels table = [] {
    Kernels kernels = kAmx;
    kernels.name = "amx, emulated";
    return kernels;
  }();
  return &table;
}

}  // namespace gpt2lab::tests
#else
#include "harness.h"

namespace gpt2lab::tests {
const Kernels* emulated_amx() { return nullptr; }
}  // namespace gpt2lab::tests
#endif
