// What the sampler asks of a row of logits.
//
// exp(x - max) is off by exp_error(x - max) relatively; its sums are chains of at most 36 additions in float (32 of a stretch of
// 512 values in sixteen lanes, four to fold them), whose results a double adds up. With p for the probabilities, e for
// those errors and d = x - max, the logarithm of the sum is off by E = sum p e + gamma(36), and the entropy, log sum - sum p d,
// by E + sum p |d| (e + E + gamma(38)), all to first order.
#include <algorithm>
#include <cmath>
#include <limits>

#include "reference.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

void test_block_max(Random& random) {
  report.test("block_max");
  for (int turn = 0; turn < 60; ++turn) {
    const Data data = kAll[turn % 10];
    const int blocks = random.between(1, 12), n = blocks * kPanel;
    report.scene("n %d, %s", n, name_of(data));
    Buffer<float> x(static_cast<std::size_t>(n));
    fill(random, data, x.data(), x.size());
    const auto results = on_every_table<float>([&](const Table& table) {
      Buffer<float> out(static_cast<std::size_t>(blocks));
      table.kernels->block_max(x.data(), n, out.data());
      return std::vector<float>(out.data(), out.data() + blocks);
    });
    if (data == Data::not_a_number) continue;
    for (int b = 0; b < blocks; ++b) {
      const float want = *std::max_element(x.data() + b * kPanel, x.data() + (b + 1) * kPanel);
      report.expect(results[0][static_cast<std::size_t>(b)] == want, "block %d: %.9g, not %.9g", b,
                    static_cast<double>(results[0][static_cast<std::size_t>(b)]), static_cast<double>(want));
    }
  }
}

struct Statistics {
  double max, log_sum_exp, entropy, log_error, entropy_error;
};

Statistics statistics(const Buffer<float>& x) {
  const float* end = x.data() + x.size();
  const double top = static_cast<double>(*std::max_element(x.data(), x.data() + x.size()));
  double total = 0.0, moment = 0.0, error = 0.0, moment_error = 0.0, distance = 0.0;
  for (const float* p = x.data(); p != end; ++p) {
    const double d = static_cast<double>(*p) - top, e = std::exp(d);
    if (d == -static_cast<double>(kInfinity)) continue;
    total += e;
    moment += e * d;
    distance += e * std::fabs(d);
    error += e * exp_error(d) + (d < kExpFloor + 1.0 ? kExpBelowFloor : 0.0);
    moment_error += e * std::fabs(d) * exp_error(d) + (d < kExpFloor + 1.0 ? kExpBelowFloor * std::fabs(d) : 0.0);
  }
  const double relative = error / total + gamma(36.0);
  return {top, top + std::log(total), std::log(total) - moment / total, relative * 1.001 + 1e-12,
          (relative + moment_error / total + distance / total * (relative + gamma(38.0))) * 1.001 + 1e-12};
}

void test_row_stats(Random& random) {
  report.test("row_stats");
  for (int turn = 0; turn < 120; ++turn) {
    const Data data = kAll[turn % 10];
    Buffer<float> x(static_cast<std::size_t>(turn < 20 ? turn + 1 : random.between(1, turn % 20 == 0 ? 6000 : 1500)));
    fill(random, data, x.data(), x.size());
    const float spread = random.pick(std::vector<float>{0.1f, 1.0f, 20.0f});
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= spread;
    const bool impossible = random.chance(3) && x.size() > 1;  // some tokens that cannot come, as a grammar or a ban makes them
    for (std::size_t i = 1; impossible && i < x.size(); i += static_cast<std::size_t>(random.between(1, 9))) x[i] = -kInfinity;
    report.scene("n %zu, times %g, %s%s", x.size(), static_cast<double>(spread), name_of(data), impossible ? ", some impossible" : "");

    const auto results = on_every_table<double>([&](const Table& table) {
      const RowStats stats = table.kernels->row_stats(x.data(), static_cast<int>(x.size()), nullptr);
      return std::vector<double>{static_cast<double>(stats.max), stats.log_sum_exp, stats.entropy};
    });
    const auto exponentials = on_every_table<float>([&](const Table& table) {
      Buffer<float> out(x.size());
      const RowStats stats = table.kernels->row_stats(x.data(), static_cast<int>(x.size()), out.data());
      report.expect(same_bits(stats.log_sum_exp, results[0][1]), "%s: writing the exponentials changes their sum", table.kernels->name);
      return std::vector<float>(out.data(), out.data() + out.size());
    });
    const float *begin = x.data(), *end = begin + x.size();
    const bool broken = std::any_of(begin, end, [](float v) { return std::isnan(v) || v == kInfinity; }) ||
                        std::all_of(begin, end, [](float v) { return v == -kInfinity; });
    for (const auto& got : results) {
      if (broken) {
        report.expect(std::isnan(got[1]) && std::isnan(got[2]), "log sum %g, entropy %g of a broken row", got[1], got[2]);
        continue;
      }
      const Statistics want = statistics(x);
      report.expect(got[0] == want.max, "maximum %.9g, not %.9g", got[0], want.max);
      report.expect(std::fabs(got[1] - want.log_sum_exp) <= want.log_error + 1e-15 * std::fabs(want.max), "log sum %.12g, not %.12g +- %.2g", got[1], want.log_sum_exp, want.log_error);
      report.expect(std::fabs(got[2] - want.entropy) <= want.entropy_error, "entropy %.12g, not %.12g +- %.2g", got[2], want.entropy, want.entropy_error);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double d = static_cast<double>(x[i]) - want.max, e = std::exp(d);
        report.expect(within(static_cast<double>(exponentials[0][i]), e, e * exp_error(d == -INFINITY ? 0.0 : d) * 1.001 + kExpBelowFloor), "exp(%g) is %.9g", d,
                      static_cast<double>(exponentials[0][i]));
      }
    }
  }
}

void test_exp_shifted(Random& random) {
  report.test("exp_shifted");
  for (int turn = 0; turn < 60; ++turn) {
    const Data data = kAll[turn % 10];
    Buffer<float> x(static_cast<std::size_t>(turn < 34 ? turn + 1 : random.between(1, 3000)));
    fill(random, data, x.data(), x.size());
    if (turn % 2)
      for (std::size_t i = 0; i < x.size(); ++i) x[i] *= 30.0f;
    const auto shift = static_cast<float>(random.uniform(-40.0, 40.0));
    report.scene("n %zu, shift %g, %s", x.size(), static_cast<double>(shift), name_of(data));
    const auto results = on_every_table<float>([&](const Table& table) {
      Buffer<float> out(x.size());
      table.kernels->exp_shifted(x.data(), static_cast<int>(x.size()), shift, out.data());
      return std::vector<float>(out.data(), out.data() + out.size());
    });
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double d = static_cast<double>(x[i]) - static_cast<double>(shift), want = std::exp(d);
      const double got = static_cast<double>(results[0][i]);
      if (std::isnan(d)) report.expect(std::isnan(got), "exp of not-a-number is %g", got);
      else if (d < kExpFloor - 1e-4) report.expect(got == 0.0, "exp(%g) is %g", d, got);
      else if (d <= -kExpFloor)
        report.expect(std::fabs(got - want) <= want * exp_error(d) * 1.001 + (d < kExpFloor + 1e-4 ? kExpBelowFloor : 0.0), "exp(%.9g) is %.9g, not %.9g", d, got, want);
    }
  }
}

}  // namespace

void test_logits(Random& random) {
  test_block_max(random);
  test_row_stats(random);
  test_exp_shifted(random);
}

}  // namespace gpt2lab::tests
