#include "pages.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace gpt2lab {

#if defined(__linux__)

namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kPiece = kHuge;  // a millisecond of copying, where memory is not slow to come by

std::size_t number_in(const char* path) {
  std::size_t number = SIZE_MAX;
  std::ifstream file(path);
  return file >> number ? number : SIZE_MAX;  // absent, or "max"
}

// Bytes that could be taken without anybody's loss, as far as the system and the group of this process can tell.
std::size_t spare() {
  std::size_t bytes = 0;
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;)
    if (word == "MemAvailable:" && file >> bytes) bytes *= 1024;
  const std::size_t most = number_in("/sys/fs/cgroup/memory.max"), taken = number_in("/sys/fs/cgroup/memory.current");
  return most == SIZE_MAX || taken == SIZE_MAX ? bytes : std::min(bytes, most - std::min(most, taken));
}

// Puts a copy on huge pages in the place of `bytes` bytes; both are multiples of kHuge.
bool replace(void* place, std::size_t bytes) {
  void* room = mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == MAP_FAILED) return false;
  const auto start = reinterpret_cast<std::uintptr_t>(room);
  void* copy = reinterpret_cast<void*>((start + kHuge - 1) / kHuge * kHuge);
  const auto before = reinterpret_cast<std::uintptr_t>(copy) - start;
  if (before > 0) munmap(room, before);
  if (before < kHuge) munmap(static_cast<char*>(copy) + bytes, kHuge - before);
  bool moved = madvise(copy, bytes, MADV_HUGEPAGE) == 0;
  if (moved) {
    std::memcpy(copy, place, bytes);
    moved = mremap(copy, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, place) != MAP_FAILED;
  }
  if (!moved) munmap(copy, bytes);
  return moved;
}

}  // namespace

void HugePages::plan(const std::byte* data, std::size_t size) {
  const auto first = reinterpret_cast<std::uintptr_t>(data);
  end_ = (first + size) / kHuge * kHuge;
  const std::size_t begin = (first + kHuge - 1) / kHuge * kHuge;
  next_.store(begin < end_ && spare() / 2 >= size ? begin : end_);
}

void HugePages::move() {
  const std::size_t place = next_.fetch_add(kPiece);
  if (place < end_ && !replace(reinterpret_cast<void*>(place), std::min(kPiece, end_ - place))) next_.store(end_);
}

#else

void HugePages::plan(const std::byte*, std::size_t) {}
void HugePages::move() {}

#endif

}  // namespace gpt2lab
