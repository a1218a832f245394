#include "harness.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <new>

#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace gpt2lab::tests {

Report report;

void Report::test(const std::string& name) {
  close();
  name_ = name;
  scene_[0] = '\0';
  ++tests_;
}

void Report::scene(const char* format, ...) {
  va_list values;
  va_start(values, format);
  std::vsnprintf(scene_, sizeof scene_, format, values);
  va_end(values);
}

bool Report::expect(bool held, const char* format, ...) {
  ++checks_;
  if (held) return true;
  constexpr int shown = 8;  // of each test
  if (++failures_ <= shown) {
    std::printf("FAILED %s [%s] ", name_.c_str(), scene_);
    va_list values;
    va_start(values, format);
    std::vprintf(format, values);
    va_end(values);
    std::printf("\n");
  }
  return false;
}

void Report::close() {
  if (!name_.empty()) std::printf("%-24s %10ld checks, %d failed\n", name_.c_str(), checks_, failures_);
  std::fflush(stdout);
  all_checks_ += checks_;
  all_failures_ += failures_;
  checks_ = 0;
  failures_ = 0;
}

bool Report::finish() {
  close();
  name_.clear();
  std::printf("%d tests, %ld checks, %d failed\n", tests_, all_checks_, all_failures_);
  return all_failures_ == 0 && tests_ > 0;
}

// The standard's engines give the same numbers everywhere, its distributions do not.
int Random::between(int low, int high) {
  return low + static_cast<int>(bits_() % static_cast<std::uint64_t>(high - low + 1));
}

double Random::uniform(double low, double high) { return low + (high - low) * static_cast<double>(bits_() >> 11) * 0x1p-53; }

double Random::normal() {
  double sum = -6.0;
  for (int i = 0; i < 12; ++i) sum += uniform(0.0, 1.0);
  return sum;
}

const char* name_of(Data data) {
  constexpr const char* names[] = {"normal", "zeros", "equal", "wide", "tiny", "huge", "subnormal", "signed zeros", "not a number", "infinite"};
  return names[static_cast<int>(data)];
}

namespace {

double draw(Random& random, Data data) {
  switch (data) {
    case Data::zeros: return 0.0;
    case Data::wide: return std::ldexp(random.uniform(-1.0, 1.0), random.between(-20, 20));
    case Data::tiny: return random.normal() * 1e-20;
    case Data::huge: return random.normal() * 1e18;
    case Data::subnormal: return random.normal() * 1e-39;
    case Data::signed_zeros: return random.chance(2) ? -0.0 : random.chance(8) ? random.normal() : 0.0;
    default: return random.normal();
  }
}

}  // namespace

void fill(Random& random, Data data, float* to, std::size_t size) {
  const auto common = static_cast<float>(random.normal());
  for (std::size_t i = 0; i < size; ++i) to[i] = data == Data::equal ? common : static_cast<float>(draw(random, data));
  if (size == 0 || (data != Data::not_a_number && data != Data::infinite)) return;
  constexpr float infinity = std::numeric_limits<float>::infinity(), none = std::numeric_limits<float>::quiet_NaN();
  for (std::size_t i = 0; i <= size / 400; ++i)
    to[random.between(0, static_cast<int>(size) - 1)] = data == Data::not_a_number ? none : random.chance(2) ? infinity : -infinity;
}

Exact::Exact(std::size_t bytes) {
#if defined(__unix__) || defined(__APPLE__)
  static unsigned turn = 0;
  const unsigned place = turn++ % 3;
  if (place > 0) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t room = (bytes + page - 1) / page * page;
    mapped_ = room + 2 * page;
    void* mapping = mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping == MAP_FAILED) throw std::bad_alloc();
    mapping_ = mapping;
    char* start = static_cast<char*>(mapping) + page;
    if (room > 0 && mprotect(start, room, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    data_ = place == 1 ? start + (room - bytes) : start;
    return;
  }
#endif
  data_ = std::malloc(bytes);
  if (!data_ && bytes > 0) throw std::bad_alloc();
}

Exact::~Exact() {
#if defined(__unix__) || defined(__APPLE__)
  if (mapping_) {
    munmap(mapping_, mapped_);
    return;
  }
#endif
  std::free(data_);
}

const std::vector<Table>& tables() {
  static const std::vector<Table> all = [] {
    std::vector<Table> list{{&kPortable, false}};
    const IsaList isas = available_isas();
    bool avx512 = false, amx = false;
    for (int i = isas.count - 1; i >= 0; --i) {
      const Kernels* kernels = find_kernels(isas.names[i]);
      const bool tiles = std::strcmp(isas.names[i], "amx") == 0;
      if (kernels != &kPortable) list.push_back({kernels, tiles});
      avx512 = avx512 || std::strcmp(isas.names[i], "avx512") == 0;
      amx = amx || tiles;
    }
    list.push_back({&tiles_over_portable(), true});
#if defined(GPT2LAB_X86)
    if (avx512) list.push_back({&tiles_over_avx512(), true});
    if (const Kernels* emulated = avx512 && !amx ? emulated_amx() : nullptr) list.push_back({emulated, true});
#endif
    return list;
  }();
  return all;
}

const std::vector<Table>& training_tables() {
  static const std::vector<Table> some = [] {
    std::vector<Table> list;
    for (const Table& table : tables())
      if (table.kernels->attend_gradient) list.push_back(table);
    return list;
  }();
  return some;
}

bool within(double got, double want, double error) {
  if (std::isnan(want)) return std::isnan(got);
  constexpr double largest = std::numeric_limits<float>::max();
  if (!(std::fabs(want) + error <= largest)) return true;
  return std::fabs(got - want) <= error;
}

}  // namespace gpt2lab::tests
