// What the machine itself can do: bytes a second read from a buffer, and products a second held in registers.
//
// Knows no model. Plain C interface for ctypes; compiled with -O3 -march=native by benchmarks/limits.py. Threads start
// together and the slowest one's end counts. Where the processor lacks an instruction, a rate is 0.

#include <sys/mman.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AMX_INT8__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;
using Line = std::uint64_t __attribute__((vector_size(64)));

// Runs work(thread) on every thread and returns the seconds from the common start to the last end.
template <class Work>
double timed(int threads, const Work& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> team;
  for (int t = 0; t < threads; ++t) {
    team.emplace_back([&, t] {
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) {
      }
      work(t);
    });
  }
  while (ready.load() < threads) {
  }
  const auto start = Clock::now();
  go.store(true, std::memory_order_release);
  for (auto& thread : team) thread.join();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Reads `lines` cache lines as `Streams` runs side by side, asking for each line `ahead` lines before it is needed.
template <int Streams>
Line read(const Line* data, std::size_t lines, std::size_t ahead) {
  const std::size_t run = lines / Streams;
  Line sums[Streams] = {};
  for (std::size_t i = 0; i < run; ++i) {
    for (int s = 0; s < Streams; ++s) {
      const Line* at = data + s * run + i;
      if (ahead) __builtin_prefetch(at + ahead, 0, 3);
      sums[s] ^= *at;
    }
  }
  Line sum = {};
  for (const Line& one : sums) sum ^= one;
  return sum;
}

Line read(const Line* data, std::size_t lines, int streams, std::size_t ahead) {
  switch (streams) {
    case 1: return read<1>(data, lines, ahead);
    case 2: return read<2>(data, lines, ahead);
    case 4: return read<4>(data, lines, ahead);
    default: return read<8>(data, lines, ahead);
  }
}

constexpr int kAccumulators = 16;  // enough to cover the latency of two units

#if defined(__AVX512F__)
#define REGISTER "v"
constexpr int kVectorBytes = 64;
#elif defined(__AVX__)
#define REGISTER "x"
constexpr int kVectorBytes = 32;
#elif defined(__x86_64__)
#define REGISTER "x"
constexpr int kVectorBytes = 16;
#else
#define REGISTER "w"
constexpr int kVectorBytes = 16;
#endif

// Hides a sum from the compiler in each round, or it would compute all of them as one, and beforehand.
template <class Vector>
void make_unknown(Vector& sum) {
  asm volatile("" : "+" REGISTER(sum));
}

double fp32_operations(long rounds) {
  using Floats = float __attribute__((vector_size(kVectorBytes)));
  Floats sums[kAccumulators] = {};
  const Floats factor = sums[0] + 0.999f, addend = sums[0] + 1e-7f;
  for (long i = 0; i < rounds; ++i) {
    for (auto& sum : sums) {
      sum = sum * factor + addend;
      make_unknown(sum);
    }
  }
  return 2.0 * (kVectorBytes / sizeof(float)) * kAccumulators * rounds;
}

double int8_operations([[maybe_unused]] long rounds) {
#if defined(__AVX512VNNI__)
  __m512i sums[kAccumulators] = {};
  const __m512i a = _mm512_set1_epi8(1), b = _mm512_set1_epi8(2);
  for (long i = 0; i < rounds; ++i) {
    for (auto& sum : sums) {
      sum = _mm512_dpbusd_epi32(sum, a, b);
      make_unknown(sum);
    }
  }
  return 2.0 * 64 * kAccumulators * rounds;
#else
  return 0;
#endif
}

double bf16_operations([[maybe_unused]] long rounds) {
#if defined(__AVX512BF16__)
  __m512 sums[kAccumulators] = {};
  const __m512bh a = _mm512_cvtne2ps_pbh(sums[0], sums[0]), b = a;
  for (long i = 0; i < rounds; ++i) {
    for (auto& sum : sums) {
      sum = _mm512_dpbf16_ps(sum, a, b);
      make_unknown(sum);
    }
  }
  return 2.0 * 32 * kAccumulators * rounds;
#else
  return 0;
#endif
}

#if defined(__AMX_INT8__)
// Four 16 x 16 sums in tiles 0..3, operands in 4..7: the arrangement that keeps the unit busy.
struct TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes_per_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

bool tiles_allowed() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // Linux: arch_prctl(ARCH_REQ_XCOMP_PERM)
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

template <bool Int8>
double tile_operations(long rounds) {
  TileShapes shapes;
  _tile_loadconfig(&shapes);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (long i = 0; i < rounds; ++i) {
    if constexpr (Int8) {
      _tile_dpbusd(0, 4, 6);
      _tile_dpbusd(1, 4, 7);
      _tile_dpbusd(2, 5, 6);
      _tile_dpbusd(3, 5, 7);
    } else {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_release();
  return 2.0 * 4 * 16 * 16 * (Int8 ? 64 : 32) * rounds;
}
#endif

double operations(int kind, long rounds) {
  switch (kind) {
    case 0: return fp32_operations(rounds);
    case 1: return bf16_operations(rounds);
    case 2: return int8_operations(rounds);
#if defined(__AMX_INT8__)
    case 3: return tiles_allowed() ? tile_operations<false>(rounds) : 0;
    case 4: return tiles_allowed() ? tile_operations<true>(rounds) : 0;
#endif
    default: return 0;
  }
}

}  // namespace

extern "C" {

// Returns a buffer of `bytes` with every page written, in huge pages where the system gives them; null if it has none.
void* limits_buffer(std::size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
#if defined(MADV_HUGEPAGE)
  madvise(memory, bytes, MADV_HUGEPAGE);
#endif
  for (std::size_t i = 0; i < bytes; i += 4096) static_cast<char*>(memory)[i] = 1;
  return memory;
}

void limits_release(void* memory, std::size_t bytes) { munmap(memory, bytes); }

// Returns bytes a second of `passes` passes over the buffer, each thread over a part of its own.
double limits_stream(const void* memory, std::size_t bytes, int threads, int streams, int ahead_lines, int passes) {
  const std::size_t part = bytes / sizeof(Line) / threads / 8 * 8;
  std::vector<Line> results(threads);
  const double seconds = timed(threads, [&](int t) {
    const Line* own = static_cast<const Line*>(memory) + t * part;
    Line sum = {};
    for (int p = 0; p < passes; ++p) {
      sum ^= read(own, part, streams, ahead_lines);
      asm volatile("" ::: "memory");  // the next pass reads again
    }
    results[t] = sum;
  });
  return static_cast<double>(part) * sizeof(Line) * threads * passes / seconds;
}

// Returns operations (a product and a sum are two) a second; kind: 0 fp32, 1 bf16, 2 int8, 3 AMX bf16, 4 AMX int8.
double limits_arithmetic(int kind, int threads, long rounds) {
  std::vector<double> done(threads);
  const double seconds = timed(threads, [&](int t) { done[t] = operations(kind, rounds); });
  double sum = 0;
  for (const double one : done) sum += one;
  return sum / seconds;
}
}
