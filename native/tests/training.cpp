// GELU and its gradient, and the gradient of attention, against their formulas in double precision.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "reference.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

double gelu_of(double x) { return 0.5 * x * (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x))); }
double slope_of(double x) {
  const double c = std::sqrt(2.0 / M_PI), t = std::tanh(c * (x + 0.044715 * x * x * x));
  return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * c * (1.0 + 3.0 * 0.044715 * x * x);
}

double value_of(float x) { return static_cast<double>(x); }
double value_of(std::uint16_t x) { return static_cast<double>(widen_bf16(x)); }
void put(float x, float& to) { to = x; }
void put(float x, std::uint16_t& to) { to = bits_bf16(nearest_bf16(value_of(x))); }

// The kernels' sigmoid is good to some 1e-6 of itself where it matters; a result in bf16 is then rounded.
template <class Element>
void check_gelu(Random& random, int n, Data data, void (*Kernels::*gelu)(const Element*, std::ptrdiff_t, Element*),
                void (*Kernels::*gradient)(const Element*, const Element*, std::ptrdiff_t, Element*)) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<float> numbers(size), above(size);
  fill(random, data, numbers.data(), size);
  fill(random, Data::normal, above.data(), size);
  Buffer<Element> x(size), upstream(size);
  for (std::size_t i = 0; i < size; ++i) {
    put(random.chance(3) ? 4.0f * numbers[i] : numbers[i], x[i]);
    put(above[i], upstream[i]);
  }
  const double rounding = sizeof(Element) == 2 ? 0x1.0p-8 : 0.0;
  const auto results = on_every_table<float>([&](const Table& table) {
    Buffer<Element> y(size), slope(size);
    (table.kernels->*gelu)(x.data(), n, y.data());
    (table.kernels->*gradient)(x.data(), upstream.data(), n, slope.data());
    std::vector<float> out;
    for (std::size_t i = 0; i < size; ++i) {
      out.push_back(static_cast<float>(value_of(y[i])));
      out.push_back(static_cast<float>(value_of(slope[i])));
    }
    return out;
  });
  for (std::size_t i = 0; i < size; ++i) {
    const double at = value_of(x[i]), g = value_of(upstream[i]), y = gelu_of(at), slope = slope_of(at) * g;
    const double got = value_of(results[0][2 * i]), got_slope = value_of(results[0][2 * i + 1]);
    if (!std::isfinite(at) || std::fabs(at) > 1e30) continue;
    report.expect(within(got, y, (3e-6 + rounding) * std::fabs(y) + 3e-7), "gelu(%.9g) = %.9g, not %.9g", at, got, y);
    report.expect(within(got_slope, slope, 6e-6 * std::fabs(g) * (1.0 + std::min(std::fabs(at), 20.0)) + rounding * std::fabs(slope) + 1e-37),
                  "gradient at %.9g of %.9g: %.9g, not %.9g", at, g, got_slope, slope);
  }
}

// As row_stats is checked: each exponential by the error of the kernels' exp, their sum by that and its own roundings.
template <class Element>
void check_exponentials(Random& random, int n, Data data, float (*Kernels::*exponentials)(Element*, int, float*)) {
  const auto size = static_cast<std::size_t>(n);
  std::vector<float> numbers(size);
  fill(random, data, numbers.data(), size);
  std::vector<Element> row(size);
  double top = -std::numeric_limits<double>::infinity(), total = 0.0, slack = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    put(numbers[i], row[i]);
    top = std::fmax(top, value_of(row[i]));
  }
  for (std::size_t i = 0; i < size; ++i) {
    const double difference = value_of(row[i]) - top;
    total += std::exp(difference);
    slack += std::exp(difference) * exp_error(difference) + (difference < kExpFloor + 1.0 ? kExpBelowFloor : 0.0);
  }
  on_every_table<float>([&](const Table& table) {
    Buffer<Element> x(row);
    float highest = 0.0f;
    const float sum = (table.kernels->*exponentials)(x.data(), n, &highest);
    const char* name = table.kernels->name;
    report.expect(value_of(highest) == top, "%s: highest %.9g, not %.9g", name, value_of(highest), top);
    report.expect(within(value_of(sum), total, (slack + gamma(n / 16.0 + 20.0) * total) * 1.001), "%s: sum %.9g, not %.9g", name, value_of(sum), total);
    std::vector<float> out{sum, highest};
    for (std::size_t i = 0; i < size; ++i) {
      const double difference = value_of(row[i]) - top, exact = std::exp(difference), rounding = sizeof(Element) == 2 ? 0x1.0p-8 : 0.0;
      const double got = value_of(x[i]);
      report.expect(within(got, exact, exact * (exp_error(difference) * 1.001 + rounding) + 2.0 * kExpBelowFloor), "%s: exp(%.9g) = %.9g", name, difference, got);
      out.push_back(static_cast<float>(got));
    }
    return out;
  });
}

// Rounding weights and their gradients to bf16 leaves errors of some 2^-8 of the largest terms.
void check_gradient(Random& random, int positions, int head_dim, double dropped) {
  const int stride = 3 * head_dim + 8 * random.between(0, 3), out_stride = head_dim + 8 * random.between(0, 3);
  const auto rows = static_cast<std::size_t>(positions);
  Buffer<std::uint16_t> qkv(rows * static_cast<std::size_t>(stride)), out(rows * static_cast<std::size_t>(out_stride)), up(out.size());
  for (std::size_t i = 0; i < qkv.size(); ++i) put(static_cast<float>(random.normal()), qkv[i]);
  for (std::size_t i = 0; i < up.size(); ++i) put(static_cast<float>(random.normal()), up[i]);
  const double scale = 1.0 / std::sqrt(static_cast<double>(head_dim));
  const auto at = [&](int t, int part, int d) { return value_of(qkv[static_cast<std::size_t>(t * stride + part * head_dim + d)]); };
  const auto width = static_cast<std::size_t>(head_dim);
  std::vector<double> want(rows * 3 * width);
  const auto gradient = [&](int t, int part, int d) -> double& { return want[(static_cast<std::size_t>(t) * 3 + static_cast<std::size_t>(part)) * width + static_cast<std::size_t>(d)]; };
  const QueryWords words(random, positions);
  const Dropout dropout = words.dropout(dropped);
  const auto factor = [&](int query, int key) { return dropped > 0.0 ? kept(dropout, query, key) : 1.0; };
  std::vector<float> log_sum;
  for (int i = 0; i < positions; ++i) {
    std::vector<double> weight;
    double top = -1e300, total = 0.0;
    for (int j = 0; j <= i; ++j) {
      double score = 0.0;
      for (int d = 0; d < head_dim; ++d) score += at(i, 0, d) * at(j, 1, d);
      weight.push_back(score * scale);
      top = std::fmax(top, weight.back());
    }
    for (double w : weight) total += std::exp(w - top);
    log_sum.push_back(static_cast<float>(top + std::log(total)));
    for (double& w : weight) w = std::exp(w - top) / total;
    double delta = 0.0;
    for (int d = 0; d < head_dim; ++d) {
      double value = 0.0;
      for (int j = 0; j <= i; ++j) value += weight[static_cast<std::size_t>(j)] * factor(i, j) * at(j, 2, d);
      put(static_cast<float>(value), out[static_cast<std::size_t>(i * out_stride + d)]);
      delta += value * value_of(up[static_cast<std::size_t>(i * out_stride + d)]);
    }
    for (int j = 0; j <= i; ++j) {
      double d_weight = 0.0;
      for (int d = 0; d < head_dim; ++d) d_weight += value_of(up[static_cast<std::size_t>(i * out_stride + d)]) * at(j, 2, d);
      const double w = weight[static_cast<std::size_t>(j)], d_score = w * (factor(i, j) * d_weight - delta) * scale;
      for (int d = 0; d < head_dim; ++d) {
        gradient(i, 0, d) += d_score * at(j, 1, d);
        gradient(j, 1, d) += d_score * at(i, 0, d);
        gradient(j, 2, d) += w * factor(i, j) * value_of(up[static_cast<std::size_t>(i * out_stride + d)]);
      }
    }
  }
  double largest = 0.0;
  for (double g : want) largest = std::fmax(largest, std::fabs(g));
  std::vector<float> first;
  for (const Table& table : training_tables()) {
    Buffer<std::uint16_t> got(qkv.size());
    Buffer<char> scratch(attend_gradient_bytes(positions, head_dim) + 64);
    void* aligned = scratch.data();
    std::size_t room = scratch.size();
    std::align(64, attend_gradient_bytes(positions, head_dim), aligned, room);
    table.kernels->attend_gradient({qkv.data(), qkv.data() + head_dim, qkv.data() + 2 * head_dim, stride, out.data(), up.data(), out_stride,
                                    log_sum.data(), positions, head_dim, static_cast<float>(scale), got.data(), got.data() + head_dim,
                                    got.data() + 2 * head_dim, aligned, dropped > 0.0 ? &dropout : nullptr});
    std::vector<float> all;
    for (int t = 0; t < positions; ++t)
      for (int i = 0; i < stride; ++i) {
        const float value = static_cast<float>(value_of(got[static_cast<std::size_t>(t * stride + i)]));
        if (i >= 3 * head_dim) {
          report.expect(value == 0.0f, "%s: wrote behind a row", table.kernels->name);
          continue;
        }
        all.push_back(value);
        const double exact = gradient(t, i / head_dim, i % head_dim);
        report.expect(within(value_of(value), exact, 0.02 * largest), "%s: position %d, %d of part %d: %.9g, not %.9g (largest %.3g)", table.kernels->name, t,
                      i % head_dim, i / head_dim, value_of(value), exact, largest);
      }
    if (first.empty()) first = all;
    for (std::size_t i = 0; i < all.size(); ++i) report.expect(same_bits(first[i], all[i]), "%s: %.9g, elsewhere %.9g", table.kernels->name, value_of(all[i]), value_of(first[i]));
  }
}

}  // namespace

void test_training(Random& random) {
  constexpr Data kinds[] = {Data::normal, Data::zeros, Data::normal, Data::tiny, Data::wide, Data::huge};
  report.test("gelu and gradient");
  for (int turn = 0; turn < 60; ++turn) {
    const int n = random.between(1, 700);
    report.scene("%d numbers, %s", n, name_of(kinds[turn % 6]));
    check_gelu<float>(random, n, kinds[turn % 6], &Kernels::gelu_f32, &Kernels::gelu_gradient_f32);
    check_gelu<std::uint16_t>(random, n, kinds[turn % 6], &Kernels::gelu_bf16, &Kernels::gelu_gradient_bf16);
  }
  report.test("exponentials");
  for (int turn = 0; turn < 60; ++turn) {
    const int n = random.between(1, turn % 3 == 0 ? 5000 : 400);
    report.scene("%d numbers, %s", n, name_of(kinds[turn % 6]));
    check_exponentials<float>(random, n, kinds[turn % 6], &Kernels::exponentials_f32);
    check_exponentials<std::uint16_t>(random, n, kinds[turn % 6], &Kernels::exponentials_bf16);
  }
  report.test("attend_gradient");
  for (int turn = 0; turn < 36; ++turn) {
    const int positions = turn % 4 == 0 ? 32 * random.between(1, 3) : random.between(1, 100), head_dim = 32 * random.between(1, 3);
    const double dropped = turn % 3 == 0 ? 0.0 : random.uniform(0.0, 0.6);
    report.scene("%d positions, head_dim %d, %.3f dropped", positions, head_dim, dropped);
    check_gradient(random, positions, head_dim, dropped);
  }
}

}  // namespace gpt2lab::tests
