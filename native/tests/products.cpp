#include "products.h"

#include <cmath>

namespace gpt2lab::tests {
namespace {

struct Finish {
  Activation activation;
  bool bias, add;
};

Finish random_finish(Random& random) {
  const int kind = random.between(-4, 5);  // often none: only then are bits known
  return {kind < 0 ? Activation::none : static_cast<Activation>(kind), random.chance(2), random.chance(2)};
}

Bounded finished(Bounded z, const Finish& finish, float bias, float before) {
  if (finish.bias) {
    z.value += static_cast<double>(bias);
    z.error += kRounding * (std::fabs(z.value) + z.error);
  }
  z = activation(finish.activation, z);
  if (finish.add) {
    z.value += static_cast<double>(before);
    z.error += kRounding * (std::fabs(z.value) + z.error);
  }
  z.error += 4.0 * kSmallest;
  return z;
}

float finished_exactly(float z, const Finish& finish, float bias, float before) {
  if (finish.bias) z += bias;
  if (finish.activation == Activation::relu && z <= 0.0f) z = 0.0f;
  return finish.add ? before + z : z;
}

}  // namespace

void Truth::add(double value, double magnitude, double error) {
  const bool overflows = magnitude > std::numeric_limits<float>::max() / 2.0;
  sum.push_back({value, overflows ? std::numeric_limits<double>::infinity() : error * (1.0 + 1e-9)});
}

void compare(Random& random, const Shape& shape, const Truth& truth, const std::function<void(const Kernels&, const Output&)>& run) {
  const Finish finish = random_finish(random);
  const auto ldy = static_cast<std::size_t>((shape.panels + random.between(0, 1)) * kPanel);
  const auto rows = static_cast<std::size_t>(shape.m), columns = static_cast<std::size_t>(shape.columns());
  const auto left = static_cast<std::size_t>(shape.first * kPanel);
  Buffer<float> bias(static_cast<std::size_t>(shape.panels * kPanel));
  fill(random, Data::normal, bias.data(), bias.size());
  std::vector<float> before((rows - 1) * ldy + static_cast<std::size_t>(shape.last * kPanel));
  fill(random, Data::normal, before.data(), before.size());

  const auto results = on_every_table<float>([&](const Table& table) {
    Buffer<float> y(before);
    run(*table.kernels, Output{y.data(), static_cast<std::ptrdiff_t>(ldy), {finish.bias ? bias.data() : nullptr, finish.activation, finish.add}});
    std::vector<float> wanted;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const std::size_t column = i % ldy;
      if (column >= left && column < left + columns) wanted.push_back(y[i]);
      else report.expect(same_bits(y[i], before[i]), "%s: wrote to column %zu", table.kernels->name, column);
    }
    return wanted;
  }, truth.flushed.empty() ? nullptr : &truth.flushed);

  for (std::size_t t = 0; t < results.size(); ++t)
    for (std::size_t i = 0; i < shape.outputs(); ++i) {
      const Table& table = tables()[t];
      const float old = before[i / columns * ldy + left + i % columns], b = bias[left + i % columns], got = results[t][i];
      Bounded sum = truth.sum[i];
      if (table.tiles) sum.error += truth.flush_error;
      const Bounded want = finished(sum, finish, b, old);
      report.expect(within(got, want.value, want.error), "%s: row %zu column %zu, activation %d: %.9g, not %.9g +- %.2g", table.kernels->name,
                    i / columns, i % columns, static_cast<int>(finish.activation), static_cast<double>(got), want.value, want.error);
      const bool known = finish.activation == Activation::none || finish.activation == Activation::relu;
      if (!known || truth.ordered.empty() || (table.tiles && !truth.flushed.empty() && truth.flushed[i])) continue;
      const float exactly = finished_exactly(truth.ordered[i], finish, b, old);
      report.expect(same_bits(got, exactly) || (got == 0.0f && exactly == 0.0f && finish.activation == Activation::relu),
                    "%s: row %zu column %zu: %.9g, in order %.9g", table.kernels->name, i / columns, i % columns, static_cast<double>(got),
                    static_cast<double>(exactly));
    }
}

void check_shapes(Random& random, const char* name, int depth, const std::function<void(Random&, const Shape&, Data)>& check) {
  report.test(name);
  std::vector<int> heights{1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 16, 17, 24, 31, 32, 33, 48, 49, 64, 65, 70};
  while (heights.size() < 40) heights.push_back(random.between(1, 70));
  std::size_t turn = 0;
  for (int m : heights) {
    const Data data = turn % 3 == 0 ? Data::normal : kAll[turn / 3 * 2 % 10 + turn % 3 - 1];
    ++turn;
    const bool deep = turn % 10 == 0;  // now and then as deep as a model's layers
    const int most = deep ? 1700 : m > 16 ? 160 : 500, least = deep ? 800 : 1;
    Shape shape{m, round_up(random.between(least, most), depth), deep ? 1 : random.between(1, m > 16 ? 2 : 3), 0, 0};
    shape.first = random.chance(3) ? random.between(0, shape.panels - 1) : 0;
    shape.last = random.between(shape.first + 1, shape.panels);
    report.scene("m %d, k %d, panels %d..%d of %d, %s", shape.m, shape.k, shape.first, shape.last - 1, shape.panels, name_of(data));
    check(random, shape, data);
  }
}

}  // namespace gpt2lab::tests
