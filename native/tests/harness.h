// What the tests of the kernels share: a report, random numbers, memory that notices a byte too far, the tables under test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "../kernels/kernels.h"

namespace gpt2lab::tests {

// ---- report ----------------------------------------------------------------------------------------------------------

// Counts what was expected and prints what did not hold, with the case it belongs to.
class Report {
 public:
  void test(const std::string& name);
  __attribute__((format(printf, 2, 3))) void scene(const char* format, ...);
  __attribute__((format(printf, 3, 4))) bool expect(bool held, const char* format, ...);
  bool finish();

 private:
  void close();

  std::string name_;
  char scene_[256] = "";
  long checks_ = 0, all_checks_ = 0;
  int failures_ = 0, all_failures_ = 0, tests_ = 0;
};
extern Report report;

// ---- random numbers ----------------------------------------------------------------------------------------------------

class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}

  int between(int low, int high);  // both included
  double uniform(double low, double high);
  double normal();
  std::uint32_t word() { return static_cast<std::uint32_t>(bits_()); }
  bool chance(int one_in) { return between(1, one_in) == 1; }
  template <class T>
  const T& pick(const std::vector<T>& list) { return list[static_cast<std::size_t>(between(0, static_cast<int>(list.size()) - 1))]; }

 private:
  std::mt19937_64 bits_;
};

// What the numbers that a kernel reads look like. Products of two `tiny` numbers lie below the normal range; `wide` ones span
// forty binary orders of magnitude; the last two hold a few numbers that are no number, or infinite.
enum class Data { normal, zeros, equal, wide, tiny, huge, subnormal, signed_zeros, not_a_number, infinite };
constexpr Data kFinite[] = {Data::normal, Data::zeros, Data::equal, Data::wide, Data::tiny, Data::huge, Data::subnormal, Data::signed_zeros};
constexpr Data kAll[] = {Data::normal, Data::zeros,     Data::equal,        Data::wide,         Data::tiny,
                         Data::huge,   Data::subnormal, Data::signed_zeros, Data::not_a_number, Data::infinite};
const char* name_of(Data data);
void fill(Random& random, Data data, float* to, std::size_t size);

// ---- memory ----------------------------------------------------------------------------------------------------------

// `bytes` bytes with nothing behind them. In turns they come from the heap, which the address sanitizer watches, and end just
// before or start just after a page that nobody may touch: masked and tile instructions escape the sanitizer, but not that.
class Exact {
 public:
  explicit Exact(std::size_t bytes);
  ~Exact();
  Exact(const Exact&) = delete;
  Exact& operator=(const Exact&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
  void* mapping_ = nullptr;  // null when the memory came from the heap
  std::size_t mapped_ = 0;
};

template <class T>
class Buffer {
  static_assert(std::is_trivial<T>::value, "plain numbers only");

 public:
  explicit Buffer(std::size_t size) : memory_(size * sizeof(T)), size_(size) {
    std::memset(memory_.data(), 0, size * sizeof(T));
  }
  explicit Buffer(const std::vector<T>& values) : memory_(values.size() * sizeof(T)), size_(values.size()) {
    std::memcpy(memory_.data(), values.data(), size_ * sizeof(T));
  }
  T* data() const { return static_cast<T*>(memory_.data()); }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) const { return data()[i]; }

 private:
  Exact memory_;
  std::size_t size_;
};

// ---- tables ----------------------------------------------------------------------------------------------------------

struct Table {
  const Kernels* kernels;
  bool tiles;  // whether its bf16 and int8 products run on a tile unit, which takes numbers below the normal range for zero
};

// The portable table first, then all others that this processor runs, then those that it runs over an imitated tile unit.
const std::vector<Table>& tables();

// Those of them that train attention: the ones with a tile unit.
const std::vector<Table>& training_tables();

// tiles.inl over the vectors of one instruction set and an imitation of the tile unit, for any number of rows.
const Kernels& tiles_over_portable();
#if defined(GPT2LAB_X86)
const Kernels& tiles_over_avx512();
#endif
// The table "amx" on a processor that has AVX-512 but no tile unit; null where that is not possible.
const Kernels* emulated_amx();

// Random words for `queries` queries and their dropout of a share of the weights; it must not outlive them.
class QueryWords {
 public:
  QueryWords(Random& random, int queries) : first_(static_cast<std::size_t>(round_up(queries, 32))), second_(first_.size()) {
    for (std::size_t i = 0; i < first_.size(); ++i) {
      first_[i] = random.word();
      second_[i] = random.word();
    }
  }
  Dropout dropout(double share) const {
    return {first_.data(), second_.data(), static_cast<std::uint32_t>(share * 0x1p32), static_cast<float>(1.0 / (1.0 - share))};
  }

 private:
  Buffer<std::uint32_t> first_, second_;
};

// ---- comparing -------------------------------------------------------------------------------------------------------

constexpr double kRounding = 0x1p-24;  // largest relative error of one float operation
constexpr double kSmallest = 0x1p-149; // twice its largest absolute error below the normal range
constexpr double kNormal = 0x1p-126;   // start of the normal range

// The relative error of n float operations after each other (Higham, "Accuracy and Stability of Numerical Algorithms", 3.1).
inline double gamma(double n) { return n * kRounding / (1.0 - n * kRounding); }

// Equal bits; which of the many not-a-numbers it is does not count.
template <class T>
bool same_bits(T a, T b) {
  if constexpr (std::is_floating_point<T>::value)
    if (a != a && b != b) return true;
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// Whether `got` is `want` to within `error`. Not-a-number asks for not-a-number; where what is wanted or the error leaves the
// range of float, anything goes here: such numbers are only compared between tables.
bool within(double got, double want, double error);

// Runs `work`, which returns what a kernel wrote, with each table; all must give the first one's bits. `exempt`, when not
// null, marks the outputs in which tile units may differ.
template <class T, class Work>
std::vector<std::vector<T>> on_every_table(Work work, const std::vector<char>* exempt = nullptr, const std::vector<Table>& list = tables()) {
  std::vector<std::vector<T>> results;
  for (const Table& table : list) {
    results.push_back(work(table));
    const auto &first = results.front(), &last = results.back();
    if (!report.expect(first.size() == last.size(), "%s: %zu outputs", table.kernels->name, last.size())) continue;
    for (std::size_t i = 0; i < last.size(); ++i)
      if (!(exempt && table.tiles && (*exempt)[i]))
        report.expect(same_bits(first[i], last[i]), "%s: output %zu is %.9g, but %.9g with the first kernels", table.kernels->name, i,
                      static_cast<double>(last[i]), static_cast<double>(first[i]));
  }
  return results;
}

}  // namespace gpt2lab::tests
