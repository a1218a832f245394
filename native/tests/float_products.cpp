// Products in fp32 and bf16, and the activations behind them.
#include <cmath>

#include "products.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

std::vector<float> random_matrix(Random& random, Data data, int rows, int columns) {
  std::vector<float> matrix(static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns));
  fill(random, data, matrix.data(), matrix.size());
  return matrix;
}

void check_f32(Random& random, const Shape& shape, Data data) {
  const int ldx = shape.k + random.between(0, 5), all = shape.panels * kPanel;
  Buffer<float> x(static_cast<std::size_t>((shape.m - 1) * ldx + shape.k));
  fill(random, data, x.data(), x.size());
  const auto weights = random_matrix(random, random.chance(2) ? data : Data::normal, shape.k, all);
  Buffer<float> packed(weights.size());
  for (int k = 0; k < shape.k; ++k)
    for (int j = 0; j < all; ++j)
      packed[static_cast<std::size_t>((j / kPanel * shape.k + k) * kPanel + j % kPanel)] =
          shape.asks_for(j) ? weights[static_cast<std::size_t>(k * all + j)] : kNan;
  Truth truth;
  for (int r = 0; r < shape.m; ++r)
    for (int j = shape.first * kPanel; j < shape.last * kPanel; ++j) {
      double sum = 0.0, magnitude = 0.0;
      float ordered = 0.0f;
      for (int k = 0; k < shape.k; ++k) {
        const float a = x[static_cast<std::size_t>(r * ldx + k)], b = weights[static_cast<std::size_t>(k * all + j)];
        sum += static_cast<double>(a) * b;
        magnitude += std::fabs(static_cast<double>(a) * b);
        ordered = std::fma(a, b, ordered);
      }
      truth.add(sum, magnitude, gamma(shape.k) * magnitude + shape.k * kSmallest);
      truth.ordered.push_back(ordered);
    }
  compare(random, shape, truth, [&](const Kernels& kernels, const Output& out) {
    kernels.product_f32({x.data(), ldx, shape.m, shape.k, packed.data(), out}, shape.first, shape.last);
  });
}

// The sum of kernels.h: of even and of odd inputs by themselves, kDepthBf16 inputs at a time. `small` tells whether a sum on
// the way is not zero and below the normal range.
float ordered_bf16(const std::uint16_t* x, const std::uint16_t* w, int k, bool& small) {
  const auto look = [&small](float sum) {
    small = small || (sum != 0.0f && std::fabs(sum) < kNormal);
    return sum;
  };
  float total = 0.0f;
  for (int start = 0; start < k; start += kDepthBf16) {
    float even = 0.0f, odd = 0.0f;
    for (int i = start; i < start + kDepthBf16; i += 2) {
      even = look(std::fma(widen_bf16(x[i]), widen_bf16(w[i]), even));
      odd = look(std::fma(widen_bf16(x[i + 1]), widen_bf16(w[i + 1]), odd));
    }
    total = look(total + look(even + odd));
  }
  return total;
}

std::uint16_t random_bf16(float x) { return bits_bf16(nearest_bf16(static_cast<double>(x))); }

void check_bf16(Random& random, const Shape& shape, Data data) {
  const int all = shape.panels * kPanel, used = random.between(shape.k - kDepthBf16 + 1, shape.k);
  const auto k_size = static_cast<std::size_t>(shape.k);
  Buffer<std::uint16_t> x(static_cast<std::size_t>(shape.m + kSpareRows) * k_size);
  const auto inputs = random_matrix(random, data, shape.m, shape.k);
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = i >= inputs.size() ? static_cast<std::uint16_t>(random.between(0, 0xFFFF))
           : static_cast<int>(i % k_size) < used ? random_bf16(inputs[i]) : std::uint16_t{0};
  const auto weights = random_matrix(random, random.chance(2) ? data : Data::normal, all, shape.k);  // (out, in)
  std::vector<std::uint16_t> w;
  for (std::size_t i = 0; i < weights.size(); ++i)
    w.push_back(!shape.asks_for(static_cast<int>(i / k_size)) ? 0x7FC0 : static_cast<int>(i % k_size) < used ? random_bf16(weights[i]) : 0);
  Buffer<std::uint16_t> packed(w.size());
  for (int j = 0; j < all; ++j)
    for (int k = 0; k < shape.k; ++k)
      packed[static_cast<std::size_t>(((j / kPanel * shape.k / 2 + k / 2) * kPanel + j % kPanel) * 2 + k % 2)] =
          w[static_cast<std::size_t>(j) * k_size + static_cast<std::size_t>(k)];
  Truth truth;
  truth.flush_error = 2.0 * shape.k * kNormal;
  for (int r = 0; r < shape.m; ++r)
    for (int j = shape.first * kPanel; j < shape.last * kPanel; ++j) {
      const std::uint16_t *a = x.data() + static_cast<std::size_t>(r) * k_size, *b = w.data() + static_cast<std::size_t>(j) * k_size;
      double sum = 0.0, magnitude = 0.0;
      for (int k = 0; k < shape.k; ++k) {
        const double product = static_cast<double>(widen_bf16(a[k])) * static_cast<double>(widen_bf16(b[k]));
        sum += product;
        magnitude += std::fabs(product);
      }
      bool small = false;
      truth.ordered.push_back(ordered_bf16(a, b, shape.k, small));
      truth.flushed.push_back(small);
      truth.add(sum, magnitude, gamma(17.0 + shape.k / kDepthBf16) * magnitude + 2.0 * shape.k * kSmallest);
    }
  compare(random, shape, truth, [&](const Kernels& kernels, const Output& out) {
    kernels.product_bf16({x.data(), shape.m, shape.k, packed.data(), out}, shape.first, shape.last);
  });
}

}  // namespace

void test_float_products(Random& random) {
  check_shapes(random, "product_f32", 1, check_f32);
  check_shapes(random, "product_bf16", kDepthBf16, check_bf16);
}

void test_activations(Random& random) {
  report.test("activations");
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> values{0.0f, -0.0f, kNan, infinity, -infinity, 1e-45f, -1e-45f, 1e-38f, 3e38f, -3e38f, 88.3f, -88.3f, 87.3f, -87.3f};
  while (values.size() < 1000) values.push_back(static_cast<float>(random.uniform(-12.0, 12.0)));
  while (values.size() < 1600) values.push_back(static_cast<float>(std::ldexp(random.uniform(-1.0, 1.0), random.between(-120, 120))));
  const int panels = static_cast<int>(values.size()) / kPanel;
  const float one = 1.0f;
  for (int kind = 0; kind <= static_cast<int>(Activation::tanh); ++kind) {
    report.scene("activation %d", kind);
    const auto results = on_every_table<float>([&](const Table& table) {  // a product with one input, which is one
      std::vector<float> y(values.size());
      const Output out{y.data(), static_cast<std::ptrdiff_t>(y.size()), {nullptr, static_cast<Activation>(kind), false}};
      table.kernels->product_f32({&one, 1, 1, 1, values.data(), out}, 0, panels);
      return y;
    });
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double x = static_cast<double>(values[i]), got = static_cast<double>(results[0][i]);
      if (std::isinf(x) && x < 0.0 && kind != static_cast<int>(Activation::relu)) continue;  // -inf times 0 in the formulas
      const Bounded want = activation(static_cast<Activation>(kind), {x, 0.0});
      if (std::isinf(x)) report.expect(got == want.value, "of %g: %.9g, not %g", x, got, want.value);
      report.expect(within(got, want.value, want.error + 4.0 * kSmallest), "of %g: %.9g, not %.9g +- %.2g", x, got, want.value, want.error);
    }
  }
}

}  // namespace gpt2lab::tests
