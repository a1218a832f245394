// GELU, layer norm and attention with their gradients, and sums, against their formulas in double precision.
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

// The kernels' sigmoid is good to some 1e-6 of itself where it matters.
void check_gelu(Random& random, int n, Data data) {
  const auto size = static_cast<std::size_t>(n);
  Buffer<float> x(size), upstream(size);
  fill(random, data, x.data(), size);
  fill(random, Data::normal, upstream.data(), size);
  for (std::size_t i = 0; i < size; ++i)
    if (random.chance(3)) x[i] *= 4.0f;
  const auto results = on_every_table<float>([&](const Table& table) {
    Buffer<float> y(size), slope(size);
    table.kernels->gelu_f32(x.data(), n, y.data());
    table.kernels->gelu_gradient_f32(x.data(), upstream.data(), n, slope.data());
    std::vector<float> out;
    for (std::size_t i = 0; i < size; ++i) {
      out.push_back(y[i]);
      out.push_back(slope[i]);
    }
    return out;
  });
  for (std::size_t i = 0; i < size; ++i) {
    const double at = value_of(x[i]), g = value_of(upstream[i]), y = gelu_of(at), slope = slope_of(at) * g;
    const double got = value_of(results[0][2 * i]), got_slope = value_of(results[0][2 * i + 1]);
    if (!std::isfinite(at) || std::fabs(at) > 1e30) continue;
    report.expect(within(got, y, 3e-6 * std::fabs(y) + 3e-7), "gelu(%.9g) = %.9g, not %.9g", at, got, y);
    report.expect(within(got_slope, slope, 6e-6 * std::fabs(g) * (1.0 + std::min(std::fabs(at), 20.0)) + 1e-37), "gradient at %.9g of %.9g: %.9g, not %.9g",
                  at, g, got_slope, slope);
  }
}

// What stays is the number times 1 / (1 - share), about as often as asked for, and the same on every path.
template <class Element>
void check_drop(Random& random, int n, double share, void (*Kernels::*kernel)(const Element*, const Dropout&, std::ptrdiff_t, Element*)) {
  const auto size = static_cast<std::size_t>(n);
  Buffer<Element> x(size);
  for (std::size_t i = 0; i < size; ++i) put(static_cast<float>(random.uniform(0.5, 2.0)), x[i]);
  const auto word = [&] { return static_cast<std::uint32_t>(random.between(0, 65535)) << 16 | static_cast<std::uint32_t>(random.between(0, 65535)); };
  const std::uint32_t first = word(), second = word();
  const Dropout dropout{&first, &second, static_cast<std::uint32_t>(std::ldexp(share, 32)), static_cast<float>(1.0 / (1.0 - share))};
  on_every_table<Element>([&](const Table& table) {
    Buffer<Element> out(size);
    (table.kernels->*kernel)(x.data(), dropout, n, out.data());
    int stay = 0;
    for (std::size_t i = 0; i < size; ++i) {
      const double got = value_of(out[i]), whole = value_of(x[i]) / (1.0 - share);
      report.expect(got == 0.0 || within(got, whole, 0.004 * whole), "%s: %.9g, not 0 or %.9g", table.kernels->name, got, whole);
      stay += got != 0.0;
    }
    const double spread = std::sqrt(n * share * (1.0 - share));
    report.expect(within(stay, n * (1.0 - share), 5.5 * spread + 1e-9), "%s: %d of %d stay at a share of %.3f", table.kernels->name, stay, n, share);
    return std::vector<Element>(out.data(), out.data() + size);
  });
}

// Any bits may ask, those of no number too.
void check_look_up(Random& random, int n) {
  const auto size = static_cast<std::size_t>(n);
  Buffer<float> table(65536);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = static_cast<float>(random.normal());
  Buffer<std::uint16_t> x(size), factor(size);
  for (std::size_t i = 0; i < size; ++i) {
    x[i] = static_cast<std::uint16_t>(random.between(0, 65535));
    put(static_cast<float>(random.normal()), factor[i]);
  }
  on_every_table<float>([&](const Table& kernels) {
    Buffer<std::uint16_t> y(size), times(size);
    kernels.kernels->look_up(x.data(), table.data(), n, y.data());
    kernels.kernels->look_up_times(x.data(), table.data(), factor.data(), n, times.data());
    std::vector<float> out;
    for (std::size_t i = 0; i < size; ++i) {
      const float found = table[x[i]], product = found * widen_bf16(factor[i]);
      report.expect(y[i] == bits_bf16(nearest_bf16(value_of(found))), "%s: %.9g for %.9g", kernels.kernels->name, value_of(y[i]), value_of(found));
      report.expect(times[i] == bits_bf16(nearest_bf16(value_of(product))), "%s: %.9g for the product %.9g", kernels.kernels->name, value_of(times[i]), value_of(product));
      out.push_back(widen_bf16(y[i]));
    }
    return out;
  });
}

void check_sums(Random& random, int rows, int n) {
  const auto size = static_cast<std::size_t>(rows) * static_cast<std::size_t>(n), width = static_cast<std::size_t>(n);
  Buffer<float> x(size);
  std::vector<float> begin(width);
  Buffer<std::uint16_t> y(size);
  fill(random, Data::normal, x.data(), size);
  fill(random, Data::normal, begin.data(), width);
  for (std::size_t i = 0; i < size; ++i) put(static_cast<float>(random.normal()), y[i]);
  on_every_table<float>([&](const Table& table) {
    Buffer<float> sums(begin), joined(size);
    table.kernels->sum_columns(y.data(), rows, n, sums.data());
    table.kernels->add_half(x.data(), y.data(), static_cast<std::ptrdiff_t>(size), joined.data());
    for (std::size_t i = 0; i < size; ++i)
      report.expect(joined[i] == x[i] + widen_bf16(y[i]), "%s: number %zu of a sum is %.9g", table.kernels->name, i, value_of(joined[i]));
    for (std::size_t i = 0; i < width; ++i) {
      double want = value_of(begin[i]), all = std::fabs(want);
      for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
        want += value_of(y[r * width + i]);
        all += std::fabs(value_of(y[r * width + i]));
      }
      report.expect(within(value_of(sums[i]), want, gamma(rows + 1.0) * all), "%s: column %zu: %.9g, not %.9g", table.kernels->name, i, value_of(sums[i]), want);
    }
    return std::vector<float>(sums.data(), sums.data() + width);
  });
}

void check_norm_gradient(Random& random, int n) {
  const auto size = static_cast<std::size_t>(n);
  Buffer<float> x(size), gain(size);
  std::vector<float> begin(size);
  Buffer<std::uint16_t> up(size);
  const double shift = random.uniform(-3.0, 3.0);
  for (std::size_t i = 0; i < size; ++i) {
    x[i] = static_cast<float>(random.normal() + shift);
    put(static_cast<float>(random.normal()), up[i]);
  }
  fill(random, Data::normal, gain.data(), size);
  fill(random, Data::normal, begin.data(), size);
  const double epsilon = 1e-5, count = static_cast<double>(n);
  double mean = 0.0, variance = 0.0, sum = 0.0, along = 0.0;
  for (std::size_t i = 0; i < size; ++i) mean += value_of(x[i]) / count;
  for (std::size_t i = 0; i < size; ++i) variance += (value_of(x[i]) - mean) * (value_of(x[i]) - mean) / count;
  const double scale = 1.0 / std::sqrt(variance + epsilon);
  std::vector<double> d(size), h(size);
  for (std::size_t i = 0; i < size; ++i) {
    d[i] = (value_of(x[i]) - mean) * scale;
    h[i] = value_of(up[i]) * value_of(gain[i]);
    sum += h[i] / count;
    along += h[i] * d[i] / count;
  }
  on_every_table<float>([&](const Table& table) {
    Buffer<float> d_x(size), d_gain(begin), d_bias(begin);
    table.kernels->layer_norm_gradient(x.data(), up.data(), gain.data(), static_cast<float>(epsilon), n, d_x.data(), d_gain.data(), d_bias.data());
    const char* name = table.kernels->name;
    const double slack = 1e-5 * (1.0 + std::fabs(shift));
    std::vector<float> out;
    for (std::size_t i = 0; i < size; ++i) {
      const double want = (h[i] - sum - d[i] * along) * scale, want_gain = value_of(begin[i]) + value_of(up[i]) * d[i];
      report.expect(within(value_of(d_x[i]), want, slack * scale * (std::fabs(h[i]) + std::fabs(sum) + std::fabs(d[i] * along) + 1.0)), "%s: x %zu: %.9g, not %.9g", name, i,
                    value_of(d_x[i]), want);
      report.expect(within(value_of(d_gain[i]), want_gain, slack * (1.0 + scale) * (std::fabs(want_gain) + std::fabs(value_of(up[i])))), "%s: gain %zu: %.9g, not %.9g", name, i,
                    value_of(d_gain[i]), want_gain);
      report.expect(d_bias[i] == begin[i] + widen_bf16(up[i]), "%s: bias %zu: %.9g", name, i, value_of(d_bias[i]));
      out.insert(out.end(), {d_x[i], d_gain[i], d_bias[i]});
    }
    return out;
  });
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
void check_gradient(Random& random, int positions, int head_dim, double dropped, bool relative) {
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
  Buffer<std::uint16_t> related(rows * rows);
  for (std::size_t i = 0; i < related.size(); ++i) put(static_cast<float>(random.normal()), related[i]);
  const auto place = [&](int query, int key) { return static_cast<std::size_t>(query) * rows + static_cast<std::size_t>(positions - 1 - query + key); };
  std::vector<double> want_related(related.size());
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
      if (relative) score += value_of(related[place(i, j)]);
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
      want_related[place(i, j)] = d_score / scale;
      for (int d = 0; d < head_dim; ++d) {
        gradient(i, 0, d) += d_score * at(j, 1, d);
        gradient(j, 1, d) += d_score * at(i, 0, d);
        gradient(j, 2, d) += w * factor(i, j) * value_of(up[static_cast<std::size_t>(i * out_stride + d)]);
      }
    }
  }
  double largest = 0.0;
  for (double g : want) largest = std::fmax(largest, std::fabs(g));
  double largest_related = 0.0;
  for (double g : want_related) largest_related = std::fmax(largest_related, std::fabs(g));
  std::vector<float> first;
  for (const Table& table : training_tables()) {
    Buffer<std::uint16_t> got(qkv.size()), got_related(related.size());
    Buffer<char> scratch(attend_gradient_bytes(positions, head_dim) + 64);
    void* aligned = scratch.data();
    std::size_t room = scratch.size();
    std::align(64, attend_gradient_bytes(positions, head_dim), aligned, room);
    table.kernels->attend_gradient({qkv.data(), qkv.data() + head_dim, qkv.data() + 2 * head_dim, stride, out.data(), up.data(), out_stride,
                                    log_sum.data(), positions, head_dim, static_cast<float>(scale), got.data(), got.data() + head_dim,
                                    got.data() + 2 * head_dim, aligned, dropped > 0.0 ? &dropout : nullptr,
                                    relative ? related.data() : nullptr, relative ? got_related.data() : nullptr});
    std::vector<float> all;
    for (std::size_t i = 0; relative && i < related.size(); ++i) {
      all.push_back(static_cast<float>(value_of(got_related[i])));
      report.expect(within(value_of(all.back()), want_related[i], 0.02 * largest_related), "%s: number %zu of the distances: %.9g, not %.9g", table.kernels->name, i,
                    value_of(all.back()), want_related[i]);
    }
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
    check_gelu(random, n, kinds[turn % 6]);
  }
  report.test("look_up and look_up_times");
  for (int turn = 0; turn < 12; ++turn) {
    const int n = random.between(1, 700);
    report.scene("%d numbers", n);
    check_look_up(random, n);
  }
  report.test("drop");
  for (int turn = 0; turn < 40; ++turn) {
    const int n = random.between(1, turn % 2 == 0 ? 16384 : 200);
    const double share = turn % 8 == 0 ? 0.0 : random.uniform(0.0, 0.9);
    report.scene("%d numbers, a share of %.3f", n, share);
    check_drop<float>(random, n, share, &Kernels::drop_f32);
    check_drop<std::uint16_t>(random, n, share, &Kernels::drop_bf16);
  }
  report.test("add_half and sum_columns");
  for (int turn = 0; turn < 30; ++turn) {
    const int rows = random.between(1, 40), n = random.between(1, 100);
    report.scene("%d rows of %d", rows, n);
    check_sums(random, rows, n);
  }
  report.test("layer_norm_gradient");
  for (int turn = 0; turn < 40; ++turn) {
    const int n = random.between(2, 500);
    report.scene("%d numbers", n);
    check_norm_gradient(random, n);
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
    report.scene("%d positions, head_dim %d, %.3f dropped, distances %d", positions, head_dim, dropped, turn % 2);
    check_gradient(random, positions, head_dim, dropped, turn % 2 == 1);
  }
}

}  // namespace gpt2lab::tests
