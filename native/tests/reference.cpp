#include "reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace gpt2lab::tests {
namespace {

constexpr double u = kRounding;

double exact(Activation kind, double z) {
  constexpr double pi = 3.14159265358979323846;
  switch (kind) {
    case Activation::none: return z;
    case Activation::gelu_tanh:  // (1 + tanh u) / 2 without its cancellation for negative u
      return z / (1.0 + std::exp(-2.0 * std::sqrt(2.0 / pi) * (z + 0.044715 * z * z * z)));
    case Activation::gelu_erf: return z * 0.5 * std::erfc(-z / std::sqrt(2.0));
    case Activation::relu: return std::isnan(z) ? z : z > 0.0 ? z : 0.0;
    case Activation::silu: return z / (1.0 + std::exp(-z));
    case Activation::tanh: return std::tanh(z);
  }
  return z;
}

// What the float evaluation of the activation adds to the error, for an exact z.
//   x sigmoid(t): the sigmoid is 1 / (1 + exp(-t)) with exp's four roundings, an addition, an inverse (two) and the product; an error
//     in t counts t times. exp stops at e^87.3, so for very negative t the sigmoid does not fall below 2.4e-38.
//     In GELU's tanh form t is a product of four factors and one sum of equal signs: seven roundings.
//   erf: the formula's own 1.5e-7 (Abramowitz & Stegun 7.1.26); its polynomial has partial sums below 1.4532 and a slope below
//     3.5, which with the roundings of its coefficients and of t comes to 22 units, exp and the product with it to 6 more, the
//     rounding of x/sqrt(2) to 2; all of it times exp(-x^2/2). Then two roundings of 1 + erf.
//   tanh: 1 - 2 / (1 + exp(2x)) with a quotient of at most 2: exp's four roundings, two more and that of the difference.
double evaluation(Activation kind, double z) {
  const double value = std::fabs(exact(kind, z)), size = std::fabs(z);
  switch (kind) {
    case Activation::none:
    case Activation::relu: return 0.0;
    case Activation::gelu_tanh: {
      const double t = 2.0 * std::sqrt(2.0 / 3.14159265358979323846) * (size + 0.044715 * size * size * size);
      return value * (9.0 + 7.0 * t) * u + size * kExpBelowFloor;
    }
    case Activation::gelu_erf: return size * 0.5 * (1.5e-7 + 32.0 * u * std::exp(-z * z / 2.0) + 2.0 * u) + 2.0 * u * value + kSmallest;
    case Activation::silu: return value * 9.0 * u + size * kExpBelowFloor;
    case Activation::tanh: return 14.0 * u;
  }
  return 0.0;
}

}  // namespace

Bounded activation(Activation kind, Bounded z) {
  const double value = exact(kind, z.value);
  if (kind == Activation::none) return z;
  // No activation is steeper than 1.2. The bound of the evaluation varies slowly: it is taken at both ends.
  const double own = std::fmax(evaluation(kind, z.value - z.error), evaluation(kind, z.value + z.error));
  return {value, 1.2 * z.error + std::fmax(own, evaluation(kind, z.value))};
}

// Sums have sixteen lanes, so ceil(n / 16) + 4 additions follow each other in one. To first order with a little to spare, because
// the errors of mean and variance are kept as they are, not as units.
std::vector<Bounded> layer_norm(const float* x, const float* gain, const float* bias, double epsilon, int n) {
  const double chain = std::ceil(n / 16.0) + 4.0;
  double sum = 0.0, magnitude = 0.0;
  for (int i = 0; i < n; ++i) {
    sum += x[i];
    magnitude += std::fabs(static_cast<double>(x[i]));
  }
  const double mean = sum / n, mean_error = gamma(chain + 1.0) * magnitude / n;
  double variance = 0.0, cross = 0.0, largest = 0.0;
  for (int i = 0; i < n; ++i) {
    const double d = x[i] - mean, d_error = (mean_error + u * std::fabs(d)) * (1.0 + u);
    variance += d * d / n;
    cross += (2.0 * std::fabs(d) * d_error + d_error * d_error) / n;
    largest = std::fmax(largest, std::fabs(d));
  }
  const double variance_error = cross + gamma(chain + 2.0) * (variance + cross);
  const double lower = variance + epsilon - variance_error;
  // relative error of 1 / sqrt(variance + epsilon): half of the argument's, and three roundings
  const double scale = 1.0 / std::sqrt(variance + epsilon);
  const double infinite = std::numeric_limits<double>::infinity();
  const double scale_error = lower > 0.0 ? std::sqrt((variance + epsilon) / lower) * (1.0 + 4.0 * u) - 1.0 : infinite;
  std::vector<Bounded> y;
  for (int i = 0; i < n; ++i) {
    const double d = x[i] - mean, normed = d * scale, value = normed * gain[i] + bias[i];
    const double normed_error = std::fabs(normed) * (scale_error + 2.0 * u) + mean_error * scale * (1.0 + scale_error) * (1.0 + 4.0 * u);
    const double error = normed_error * std::fabs(static_cast<double>(gain[i]));
    // float squares beyond its range say nothing of the formula
    const bool overflows = largest * largest * n > std::numeric_limits<float>::max() / 2.0;
    y.push_back({value, overflows ? infinite : error + u * (std::fabs(value) + error) + kNormal});
  }
  return y;
}

double nearest_bf16(double x) {
  if (!std::isfinite(x) || x == 0.0) return x;
  const int exponent = std::max(std::ilogb(x), -126);
  const double rounded = std::ldexp(std::nearbyint(std::ldexp(x, 7 - exponent)), exponent - 7);  // eight significant bits
  if (std::fabs(x) < kNormal) return std::copysign(0.0, x);
  return std::fabs(rounded) >= 0x1p128 ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
}

float widen_bf16(std::uint16_t x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float y;
  std::memcpy(&y, &bits, sizeof y);
  return y;
}

std::uint16_t bits_bf16(double exact) {
  const auto x = static_cast<float>(exact);
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return std::isnan(exact) ? 0x7FC0 : static_cast<std::uint16_t>(bits >> 16);
}

double value_f16(std::uint16_t x) {
  const int exponent = x >> 10 & 31, mantissa = x & 1023;
  const double sign = x & 0x8000 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

double kept(const Dropout& dropout, int query, int key) {
  constexpr std::uint64_t all = 0xFFFFFFFFu;
  std::uint64_t x = (dropout.first[query] + static_cast<std::uint64_t>(key)) & all;
  x = ((x ^ (x >> 16)) * 0x7FEB352Du & all) ^ dropout.second[query];
  x = (x ^ (x >> 15)) * 0x846CA68Bu & all;
  x ^= x >> 16;
  return x < dropout.threshold ? 0.0 : static_cast<double>(dropout.scale);
}

}  // namespace gpt2lab::tests
