// The formulas in double precision, and how far float may be from them. Nothing here is shared with the kernels.
#pragma once

#include <vector>

#include "harness.h"

namespace gpt2lab::tests {

struct Bounded {
  double value, error;
};

// An activation of a number known up to `z.error`, as a kernel computes it.
Bounded activation(Activation kind, Bounded z);

// Row-wise normalisation to mean 0 and variance 1, times gain, plus bias.
std::vector<Bounded> layer_norm(const float* x, const float* gain, const float* bias, double epsilon, int n);

// The relative error of the kernels' exp at x - shift, to first order: four roundings in its own arithmetic and polynomial,
// and what the rounding of the difference does to it.
inline double exp_error(double difference) { return (4.0 + (difference < 0 ? -difference : difference)) * kRounding; }
constexpr double kExpFloor = -87.3;         // below, exp is taken for zero
constexpr double kExpBelowFloor = 2.5e-38;  // more than what is lost by that

// What a weight of attention is multiplied by: 0 where it is dropped.
double kept(const Dropout& dropout, int query, int key);

// The bf16 nearest to x as a number, ties to even; what lies below the normal range becomes a zero.
double nearest_bf16(double x);
float widen_bf16(std::uint16_t x);
std::uint16_t bits_bf16(double exact);  // of a number that is a bf16

// The number that the bits of a float16 stand for (IEEE 754, binary16).
double value_f16(std::uint16_t x);

}  // namespace gpt2lab::tests
