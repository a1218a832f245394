#include "weights.h"

#include <cmath>
#include <vector>

namespace gpt2lab {

void Linear::pack(const float* weight, const float* bias, int in, int out, bool out_major, Precision precision) {
  in_ = in;
  out_ = out;
  in_padded_ = round_up(in, kQuad);
  precision_ = precision;
  const auto element = [&](int k, int n) {
    return out_major ? weight[static_cast<std::size_t>(n) * in + k] : weight[static_cast<std::size_t>(k) * out + n];
  };
  if (bias) {
    bias_.resize(stride());
    for (int n = 0; n < out; ++n) bias_[n] = bias[n];
  }
  if (precision == Precision::fp32) {
    f32_.resize(static_cast<std::size_t>(stride()) * in);
    for (int panel = 0; panel < panels(); ++panel) {
      float* to = f32_.data() + static_cast<std::size_t>(panel) * in * kPanel;
      const int width = std::min(kPanel, out - panel * kPanel);
      for (int k = 0; k < in; ++k)
        for (int j = 0; j < width; ++j) to[static_cast<std::size_t>(k) * kPanel + j] = element(k, panel * kPanel + j);
    }
    return;
  }
  i8_.resize(static_cast<std::size_t>(stride()) * in_padded_);
  scale_.resize(stride());
  sum_.resize(stride());
  for (int n = 0; n < out; ++n) {
    float largest = 0.0f;
    for (int k = 0; k < in; ++k) largest = std::max(largest, std::fabs(element(k, n)));
    const float inverse = largest > 0.0f ? 127.0f / largest : 0.0f;
    scale_[n] = largest / 127.0f;
    std::int8_t* to = i8_.data() + static_cast<std::size_t>(n / kPanel) * in_padded_ * kPanel + n % kPanel * kQuad;
    for (int k = 0; k < in; ++k) {
      const auto q = static_cast<std::int8_t>(std::nearbyint(element(k, n) * inverse));
      to[static_cast<std::size_t>(k / kQuad) * kPanel * kQuad + k % kQuad] = q;
      sum_[n] += q;
    }
  }
}

std::size_t Linear::bytes() const {
  return (f32_.size() + scale_.size() + sum_.size() + bias_.size()) * 4 + i8_.size();
}

void Linear::add_row(int row, float* out) const {
  const std::size_t panel = static_cast<std::size_t>(row / kPanel);
  const int column = row % kPanel;
  if (precision_ == Precision::fp32) {
    const float* from = f32_.data() + panel * in_ * kPanel + column;
    for (int k = 0; k < in_; ++k) out[k] += from[static_cast<std::size_t>(k) * kPanel];
    return;
  }
  const std::int8_t* from = i8_.data() + panel * in_padded_ * kPanel + column * kQuad;
  for (int k = 0; k < in_; ++k)
    out[k] += scale_[row] * from[static_cast<std::size_t>(k / kQuad) * kPanel * kQuad + k % kQuad];
}

void Linear::apply_f32(const Kernels& kernels, const float* x, std::ptrdiff_t ldx, int m, float* y,
                       Activation activation, bool add, int first, int last) const {
  kernels.product_f32({x, ldx, m, in_, f32_.data(), y, stride(), epilogue(activation, add)}, first, last);
}

void Linear::apply_i8(const Kernels& kernels, const std::uint8_t* x, const float* x_scale, int m, float* y,
                      Activation activation, bool add, int first, int last) const {
  kernels.product_i8({x, in_padded_, x_scale, m, in_padded_, i8_.data(), scale_.data(), sum_.data(), y, stride(),
                      epilogue(activation, add)},
                     first, last);
}

}  // namespace gpt2lab
