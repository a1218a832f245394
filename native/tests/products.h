// How the products of all formats are compared with sums in double precision and with each other.
//
// With gamma(n) as in harness.h, a product before its epilogue may differ from the exact sum of its operands by
//   fp32   gamma(k) sum|x w|             one chain of k fused multiply-adds
//   bf16   gamma(17 + k / 32) sum|x w|   chains of 16, the sum of two of them, and a chain of those
//   int8   gamma(groups + 1) sum|S|      S: a group's exact integer sum times its scales; a chain of groups, one more product
//   int4   gamma(groups + 1) sum|S|      likewise; the scales are multiplied first
// and below the normal range by kSmallest for each operation. Where kernels.h fixes the order of the sum (fp32, bf16) a scalar
// sum in that order must have equal bits, and integer sums that float can hold must come out exactly.
#pragma once

#include <functional>
#include <limits>
#include <vector>

#include "reference.h"

namespace gpt2lab::tests {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Shape {
  int m, k, panels, first, last;

  int columns() const { return (last - first) * kPanel; }
  std::size_t outputs() const { return static_cast<std::size_t>(m) * static_cast<std::size_t>(columns()); }
  // Whether an output column is asked for; the weights of the others are no numbers.
  bool asks_for(int column) const { return column >= first * kPanel && column < last * kPanel; }
};

// A product before its epilogue, (m, columns).
struct Truth {
  std::vector<Bounded> sum;
  std::vector<float> ordered;  // the sum in the documented order, bit for bit; empty where none is documented
  std::vector<char> flushed;   // whether a partial sum lay below the normal range, where a tile unit has a zero
  double flush_error = 0.0;    // what a tile unit may lose that way

  // Partial sums beyond the range of float say nothing of the sum.
  void add(double value, double magnitude, double error);
};

// Runs the product with every table and a random epilogue, into memory of just the size it writes to.
void compare(Random& random, const Shape& shape, const Truth& truth, const std::function<void(const Kernels&, const Output&)>& run);

// Runs `check` on many shapes with k a multiple of `depth`, and on all kinds of data.
void check_shapes(Random& random, const char* name, int depth, const std::function<void(Random&, const Shape&, Data)>& check);

}  // namespace gpt2lab::tests
