// Counter-based random numbers: the number for (seed, sample, position) is a pure function of the three.
//
// Philox4x32-10 (Salmon, Moraes, Dror & Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
#pragma once

#include <cstdint>

namespace gpt2lab {

struct Words {
  std::uint32_t first, second;
};

inline Words philox(std::uint64_t seed, std::uint32_t sample, std::uint64_t position) {
  std::uint32_t c0 = sample, c1 = 0, c2 = static_cast<std::uint32_t>(position), c3 = static_cast<std::uint32_t>(position >> 32);
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c0, b = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(b >> 32) ^ c1 ^ k0, n2 = static_cast<std::uint32_t>(a >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(b);
    c3 = static_cast<std::uint32_t>(a);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1};
}

inline double uniform(std::uint64_t seed, std::uint32_t sample, std::uint64_t position) {
  const Words words = philox(seed, sample, position);
  const std::uint64_t bits = (std::uint64_t{words.first} << 32 | words.second) >> 11;
  return static_cast<double>(bits) * 0x1.0p-53;  // [0, 1)
}

}  // namespace gpt2lab
