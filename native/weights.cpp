#include "weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace gpt2lab {

std::size_t Arena::take(std::size_t bytes) {
  constexpr std::size_t alignment = 256;
  const std::size_t offset = size_;
  size_ += (bytes + alignment - 1) / alignment * alignment;
  return offset;
}

void Arena::allocate() {
  own_.resize(size_);
  base_ = own_.data();
}

void Floats::lay_out(Arena& arena, std::size_t size) {
  size_ = size;
  offset_ = arena.take(size * sizeof(float));
}

void Floats::fill(Arena& arena, const float* from) const { std::memcpy(arena.writable() + offset_, from, size_ * sizeof(float)); }

namespace {

int depth_of(Precision precision) {
  switch (precision) {
    case Precision::bf16: return kDepthBf16;
    case Precision::int8: return kDepthI8;
    case Precision::int4: return kGroupI4;
    default: return 1;
  }
}

int group_of(Precision precision) { return precision == Precision::int4 ? kGroupI4 : kGroupI8; }

// Rounds to the nearest integer, ties to even, where |x| < 2^22; in a form that compilers turn into vector code.
inline float nearest(float x) {
  constexpr float shift = 12582912.0f;  // 1.5 * 2^23: no room for a fraction above it
  return (x + shift) - shift;
}

std::uint16_t to_bf16(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if (!std::isfinite(x)) return 0x7FC0;  // the model is broken, and shall say so
  const std::uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  return static_cast<std::uint16_t>((bits & 0x7F800000u) == 0 ? bits >> 16 & 0x8000u : rounded);
}

float from_bf16(std::uint16_t x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float y;
  std::memcpy(&y, &bits, 4);
  return y;
}

float from_f16(std::uint16_t x) {
  const int exponent = x >> 10 & 31, mantissa = x & 1023;
  const float size = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                     : exponent == 31 ? (mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity())
                                      : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return x & 0x8000 ? -size : size;
}

// To the nearest float16; what is too large or not a number becomes not a number.
std::uint16_t to_f16(float x) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const float size = std::fabs(x);
  if (!(size < 65520.0f)) return static_cast<std::uint16_t>(sign | 0x7E00);
  if (size < 0x1.0p-14f) return static_cast<std::uint16_t>(sign | static_cast<std::uint16_t>(nearest(size * 0x1.0p24f)));
  std::uint32_t bits;
  std::memcpy(&bits, &size, 4);
  bits += 0x0FFFu + (bits >> 13 & 1u);
  return static_cast<std::uint16_t>(sign | ((bits >> 13) - (112u << 10)));
}

using Column = float[kPanel];  // one number for each column of a panel

void pack_bf16(const Column* w, int k_padded, std::uint16_t* to) {
  for (int k = 0; k < k_padded; ++k)
    for (int j = 0; j < kPanel; ++j) to[(k / 2 * kPanel + j) * 2 + k % 2] = to_bf16(w[k][j]);
}

void pack_int8(const Column* w, int k_padded, std::uint8_t* to, float* scale) {
  alignas(64) Column largest = {}, poison = {}, inverse;
  for (int k = 0; k < k_padded; ++k)
    for (int j = 0; j < kPanel; ++j) {
      largest[j] = std::max(largest[j], std::fabs(w[k][j]));
      poison[j] += w[k][j] * 0.0f;  // not a number once a weight is not finite
    }
  for (int j = 0; j < kPanel; ++j) {
    scale[j] = largest[j] / 127.0f + poison[j];
    inverse[j] = largest[j] > 0.0f && largest[j] < std::numeric_limits<float>::infinity() ? 127.0f / largest[j] : 0.0f;
  }
  for (int k = 0; k < k_padded; ++k) {
    std::uint8_t* row = to + k / kQuad * kPanel * kQuad + k % kQuad;
    for (int j = 0; j < kPanel; ++j) {
      const float q = nearest(w[k][j] * inverse[j]);
      row[j * kQuad] = static_cast<std::uint8_t>(static_cast<int>(q >= -127.0f && q <= 127.0f ? q : 0.0f) + kOffsetI8);
    }
  }
}

// The scale of each column's group: among several shares of what the largest weight asks for, on either side, the one with
// the least weighted squared error.
void scales_int4(const Column* w, const float* importance, std::uint16_t* scale) {
  constexpr int kShares = 9;
  alignas(64) Column extreme = {}, poison = {}, best, least;
  for (int k = 0; k < kGroupI4; ++k)
    for (int j = 0; j < kPanel; ++j) {
      extreme[j] = std::fabs(w[k][j]) > std::fabs(extreme[j]) ? w[k][j] : extreme[j];
      poison[j] += w[k][j] * 0.0f;
    }
  for (int j = 0; j < kPanel; ++j) {
    best[j] = std::numeric_limits<float>::quiet_NaN();  // no scale is large enough: the model is broken, and shall say so
    least[j] = std::numeric_limits<float>::infinity();
  }
  for (int side = -1; side <= 1; side += 2)
    for (int share = 0; share < kShares; ++share) {
      alignas(64) Column candidate, inverse, error = {};
      for (int j = 0; j < kPanel; ++j) {
        candidate[j] = from_f16(to_f16(static_cast<float>(side) * extreme[j] * (0.75f + 0.04f * static_cast<float>(share)) / 8.0f));
        inverse[j] = candidate[j] != 0.0f ? 1.0f / candidate[j] : 0.0f;
      }
      for (int k = 0; k < kGroupI4; ++k)
        for (int j = 0; j < kPanel; ++j) {
          const float q = std::min(std::max(nearest(w[k][j] * inverse[j]), -8.0f), 7.0f);
          const float d = q * candidate[j] - w[k][j];
          error[j] += d * d * importance[k];
        }
      for (int j = 0; j < kPanel; ++j) {
        const bool better = error[j] < least[j];
        least[j] = better ? error[j] : least[j];
        best[j] = better ? candidate[j] : best[j];
      }
    }
  for (int j = 0; j < kPanel; ++j) scale[j] = to_f16(best[j] + poison[j]);
}

void pack_int4(const Column* w, const float* importance, int k_padded, std::uint8_t* to) {
  for (int start = 0; start < k_padded; start += kGroupI4, to += kGroupBytesI4) {
    alignas(64) std::uint16_t scale[kPanel];
    scales_int4(w + start, importance + start, scale);
    std::memcpy(to, scale, sizeof scale);
    alignas(64) Column inverse;
    for (int j = 0; j < kPanel; ++j) {
      const float s = from_f16(scale[j]);
      inverse[j] = s != 0.0f && std::isfinite(s) ? 1.0f / s : 0.0f;
    }
    for (int k = 0; k < kGroupI4; ++k) {
      const int quad = k / kQuad;
      std::uint8_t* row = to + kScalesI4 + quad / 2 * kPanel * kQuad + k % kQuad;
      for (int j = 0; j < kPanel; ++j) {
        const float q = nearest(w[start + k][j] * inverse[j]);
        const int value = static_cast<int>(q >= -8.0f ? std::min(q, 7.0f) : -8.0f) + kOffsetI4;
        row[j * kQuad] = static_cast<std::uint8_t>(quad % 2 ? row[j * kQuad] | value << 4 : value);
      }
    }
  }
}

}  // namespace

void RowBuffer::reserve(Precision precision, int rows, int width) {
  if (precision == Precision::fp32) return;
  const auto m = static_cast<std::size_t>(rows + kSpareRows);
  const auto padded = static_cast<std::size_t>(round_up(width, depth_of(precision)));
  if (precision == Precision::bf16) return bytes_.at_least(m * padded * 2);
  const auto groups = static_cast<std::size_t>(round_up(static_cast<int>(padded), group_of(precision)) / group_of(precision));
  bytes_.at_least(m * padded);
  scale_.at_least(m * groups);
  sum_.at_least(m * groups);
}

void Linear::lay_out(Arena& arena, int in, int out, bool bias, Precision precision) {
  in_ = in;
  out_ = out;
  precision_ = precision;
  has_bias_ = bias;
  in_padded_ = round_up(in, depth_of(precision));
  weights_ = arena.take(bytes());
  if (precision == Precision::int8) scales_ = arena.take(static_cast<std::size_t>(stride()) * sizeof(float));
  if (bias) bias_ = arena.take(static_cast<std::size_t>(stride()) * sizeof(float));
}

int Linear::groups() const { return round_up(in_padded_, group_of(precision_)) / group_of(precision_); }

std::size_t Linear::panel_bytes() const {
  const auto elements = static_cast<std::size_t>(in_padded_) * kPanel;
  switch (precision_) {
    case Precision::fp32: return elements * 4;
    case Precision::bf16: return elements * 2;
    case Precision::int8: return elements;
    default: return static_cast<std::size_t>(groups()) * kGroupBytesI4;
  }
}

void Linear::pack(Arena& arena, const float* weight, bool out_major, const float* importance, int first, int last) const {
  const auto in = static_cast<std::size_t>(in_), out = static_cast<std::size_t>(out_);
  Array<float> panel_weights(static_cast<std::size_t>(in_padded_) * kPanel);  // (in_padded, kPanel), zero beyond the matrix
  auto* w = reinterpret_cast<Column*>(panel_weights.data());
  std::vector<float> weighting(static_cast<std::size_t>(in_padded_), 1.0f);
  if (importance) std::copy(importance, importance + in_, weighting.begin());
  for (int panel = first; panel < last; ++panel) {
    const auto column = static_cast<std::size_t>(panel) * kPanel;
    const int width = std::min(kPanel, out_ - panel * kPanel);
    if (width < kPanel) panel_weights.clear();
    if (out_major) {
      for (int j = 0; j < width; ++j)
        for (int k = 0; k < in_; ++k) w[k][j] = weight[(column + static_cast<std::size_t>(j)) * in + static_cast<std::size_t>(k)];
    } else {
      for (int k = 0; k < in_; ++k) std::copy_n(weight + static_cast<std::size_t>(k) * out + column, width, w[k]);
    }
    std::byte* to = arena.writable() + weights_ + static_cast<std::size_t>(panel) * panel_bytes();
    switch (precision_) {
      case Precision::fp32: std::memcpy(to, w, panel_bytes()); break;
      case Precision::bf16: pack_bf16(w, in_padded_, reinterpret_cast<std::uint16_t*>(to)); break;
      case Precision::int8:
        pack_int8(w, in_padded_, reinterpret_cast<std::uint8_t*>(to), reinterpret_cast<float*>(arena.writable() + scales_) + column);
        break;
      case Precision::int4: pack_int4(w, weighting.data(), in_padded_, reinterpret_cast<std::uint8_t*>(to)); break;
    }
  }
}

void Linear::set_bias(Arena& arena, const float* bias) const {
  std::memcpy(arena.writable() + bias_, bias, static_cast<std::size_t>(out_) * sizeof(float));
}

void Linear::add_row(const Arena& arena, int row, float* out) const {
  const std::byte* panel = arena.data() + weights_ + static_cast<std::size_t>(row / kPanel) * panel_bytes();
  const int j = row % kPanel;
  const auto* f32 = reinterpret_cast<const float*>(panel);
  const auto* bf16 = reinterpret_cast<const std::uint16_t*>(panel);
  const auto* u8 = reinterpret_cast<const std::uint8_t*>(panel);
  for (int k = 0; k < in_; ++k) {
    switch (precision_) {
      case Precision::fp32: out[k] += f32[k * kPanel + j]; break;
      case Precision::bf16: out[k] += from_bf16(bf16[(k / 2 * kPanel + j) * 2 + k % 2]); break;
      case Precision::int8:
        out[k] += at<float>(arena, scales_)[row] * static_cast<float>(u8[(k / kQuad * kPanel + j) * kQuad + k % kQuad] - kOffsetI8);
        break;
      case Precision::int4: {
        const std::uint8_t* group = u8 + static_cast<std::size_t>(k / kGroupI4) * kGroupBytesI4;
        const int quad = k % kGroupI4 / kQuad;
        const std::uint8_t both = group[kScalesI4 + static_cast<std::size_t>((quad / 2 * kPanel + j) * kQuad + k % kQuad)];
        const int value = (both >> quad % 2 * 4 & 15) - kOffsetI4;
        out[k] += from_f16(reinterpret_cast<const std::uint16_t*>(group)[j]) * static_cast<float>(value);
      }
    }
  }
}

void Linear::prepare(const Kernels& kernels, const float* from, RowBuffer& to, int r) const {
  const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(r) * in_padded_, group = static_cast<std::ptrdiff_t>(r) * groups();
  if (precision_ == Precision::bf16) kernels.round_row(from, in_, in_padded_, to.bf16() + row);
  else kernels.quantize_row(from, in_, in_padded_, group_of(precision_), to.int8() + row, to.scale() + group, to.sum() + group);
}

Inputs Linear::prepared(RowBuffer& rows) const {
  if (precision_ == Precision::bf16) return {nullptr, 0, rows.bf16(), {}};
  return {nullptr, 0, nullptr, {rows.int8(), rows.scale(), rows.sum(), groups()}};
}

void Linear::apply(const Arena& arena, const Kernels& kernels, const Inputs& inputs, int m, float* y, Activation activation, bool add,
                   int first, int last) const {
  const Output out{y, stride(), {has_bias_ ? at<float>(arena, bias_) : nullptr, activation, add}};
  switch (precision_) {
    case Precision::fp32: return kernels.product_f32({inputs.f32, inputs.stride, m, in_, at<float>(arena, weights_), out}, first, last);
    case Precision::bf16: return kernels.product_bf16({inputs.bf16, m, in_padded_, at<std::uint16_t>(arena, weights_), out}, first, last);
    case Precision::int8:
      return kernels.product_i8({inputs.quantized, m, in_padded_, at<std::uint8_t>(arena, weights_), at<float>(arena, scales_), out}, first, last);
    case Precision::int4: return kernels.product_i4({inputs.quantized, m, in_padded_, at<std::uint8_t>(arena, weights_), out}, first, last);
  }
}

}  // namespace gpt2lab
