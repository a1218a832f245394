#include "training.h"

#include <algorithm>

namespace gpt2lab {
namespace {

constexpr int kBlockRows = 48;  // rows quantised and multiplied at once: they and their products stay in the second-level cache

}  // namespace

Int8Product::Int8Product(int in, int out, bool out_major, const Kernels& kernels) : kernels_(kernels), out_major_(out_major) {
  linear_.lay_out(arena_, in, out, true, Precision::int8);
  arena_.allocate();
}

void Int8Product::set(const float* weight, Team& team) {
  team.run([&](int rank) {
    const Share share = share_of(linear_.panels(), rank, team.size());
    linear_.pack(arena_, weight, out_major_, nullptr, share.first, share.last);
  });
}

void Int8Product::apply(const float* x, int m, const float* bias, float* y, Team& team) {
  const std::vector<float> zeros(bias ? 0 : static_cast<std::size_t>(out()), 0.0f);
  linear_.set_bias(arena_, bias ? bias : zeros.data());
  const auto members = static_cast<std::size_t>(team.size());
  if (rows_.size() < members) rows_.resize(members);
  for (RowBuffer& rows : rows_) rows.reserve(Precision::int8, kBlockRows, in());
  const int blocks = (m + kBlockRows - 1) / kBlockRows;
  team.run([&](int rank) {
    RowBuffer& rows = rows_[static_cast<std::size_t>(rank)];
    const Share share = share_of(blocks, rank, team.size());
    for (int block = share.first; block < share.last; ++block) {
      const int first = block * kBlockRows, count = std::min(kBlockRows, m - first);
      for (int r = 0; r < count; ++r) linear_.prepare(kernels_, x + static_cast<std::ptrdiff_t>(first + r) * in(), rows, r);
      linear_.apply(arena_, kernels_, linear_.prepared(rows), count, y + static_cast<std::ptrdiff_t>(first) * out(), Activation::none,
                    false, 0, linear_.panels());
    }
  });
}

}  // namespace gpt2lab
