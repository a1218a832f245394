// Products of training whose factors are rounded to int8 on the way: y = x W + b with W packed anew after every update.
//
// Rows of x are quantised in groups of kGroupI8 inputs, each with a scale of its own, columns of W with one scale each, and
// integer sums are exact: the kernels are the engine's (kernels.h). Rows are shared out among the threads, so no bit of a
// result depends on how many there are.
#pragma once

#include <vector>

#include "kernels/kernels.h"
#include "threads.h"
#include "weights.h"

namespace gpt2lab {

class Int8Product {
 public:
  // `out` must be a multiple of kPanel. With `out_major`, the matrix lies as (out, in).
  Int8Product(int in, int out, bool out_major, const Kernels& kernels);

  int in() const { return linear_.in(); }
  int out() const { return linear_.out(); }

  // Packs the matrix.
  void set(const float* weight, Team& team);

  // y (m, out) = x (m, in) W, plus `bias` where it is not null.
  void apply(const float* x, int m, const float* bias, float* y, Team& team);

 private:
  const Kernels& kernels_;
  const bool out_major_;
  Linear linear_;
  Arena arena_;
  std::vector<RowBuffer> rows_;  // one for each thread
};

}  // namespace gpt2lab
