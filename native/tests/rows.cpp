// Quantising, rounding and normalising one row.
#include <algorithm>
#include <cmath>

#include "reference.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

// scale is the float max|x| / 127 and q is within half a step of x / scale, give or take the two roundings of x * (127 / max).
// The first scale of a row with a number that is none, or infinite, is none; groups of nothing above 2^-100 are zero.
void check_quantized(Random& random, int k, int k_padded, int group, Data data) {
  const int groups = (k_padded + group - 1) / group;
  Buffer<float> x(static_cast<std::size_t>(k));
  fill(random, data, x.data(), x.size());
  const bool broken = !std::all_of(x.data(), x.data() + k, [](float value) { return std::isfinite(value); });
  on_every_table<float>([&](const Table& table) {
    Buffer<std::int8_t> q(static_cast<std::size_t>(k_padded));
    Buffer<float> scale(static_cast<std::size_t>(groups));
    Buffer<std::int32_t> sum(static_cast<std::size_t>(groups));
    std::memset(q.data(), 77, q.size());
    table.kernels->quantize_row(x.data(), k, k_padded, group, q.data(), scale.data(), sum.data());
    std::vector<float> everything;
    for (int g = 0; g < groups; ++g) {
      const int start = g * group, end = std::min(k_padded, start + group);
      float largest = 0.0f;
      bool finite = true;
      for (int i = start; i < std::min(end, k); ++i) {
        largest = std::fmax(largest, std::fabs(x[static_cast<std::size_t>(i)]));
        finite = finite && std::isfinite(x[static_cast<std::size_t>(i)]);
      }
      const auto at = static_cast<std::size_t>(g);
      const char* name = table.kernels->name;
      if (g == 0 && broken) report.expect(std::isnan(scale[at]), "%s: scale %.9g of a broken row", name, static_cast<double>(scale[at]));
      else if (finite) report.expect(scale[at] == largest / 127.0f, "%s: scale %.9g of group %d, largest %.9g", name, static_cast<double>(scale[at]), g, static_cast<double>(largest));
      int total = 0;
      for (int i = start; i < end; ++i) {
        const int got = q[static_cast<std::size_t>(i)];
        total += got;
        report.expect(got >= -127 && got <= 127, "%s: q[%d] = %d", name, i, got);
        if (i >= k) report.expect(got == 0, "%s: q[%d] = %d behind the row", name, i, got);
        if (!finite || i >= k) continue;
        const double value = static_cast<double>(x[static_cast<std::size_t>(i)]);
        if (value == 0.0 || largest <= 0x1p-100f) report.expect(got == 0, "%s: q[%d] = %d for %g", name, i, got, value);
        else
          report.expect(std::fabs(value * 127.0 / static_cast<double>(largest) - got) <= 0.5 + 127.0 * gamma(2.0), "%s: q[%d] = %d for %.9g of %.9g", name,
                        i, got, value, static_cast<double>(largest));
      }
      report.expect(sum[at] == total, "%s: sum %d of group %d, not %d", name, sum[at], g, total);
      everything.push_back(scale[at]);
      if (finite)
        for (int i = start; i < end; ++i) everything.push_back(static_cast<float>(q[static_cast<std::size_t>(i)]));
    }
    return everything;
  });
}

void test_quantize(Random& random) {
  report.test("quantize_row");
  for (int turn = 0; turn < 160; ++turn) {
    const bool four = random.chance(2);
    const int depth = four ? kGroupI4 : kDepthI8, group = four ? kGroupI4 : kGroupI8;
    const int k = turn < 40 ? turn + 1 : random.between(1, 700), k_padded = round_up(k, depth);
    const Data data = kAll[turn % 10];
    report.scene("k %d of %d, groups of %d, %s", k, k_padded, group, name_of(data));
    check_quantized(random, k, k_padded, group, data);
  }
}

void check_rounded(const std::vector<float>& values, int k_padded) {
  const Buffer<float> x(values);
  const auto results = on_every_table<std::uint16_t>([&](const Table& table) {
    Buffer<std::uint16_t> out(static_cast<std::size_t>(k_padded));
    std::memset(out.data(), 77, out.size() * 2);
    table.kernels->round_row(x.data(), static_cast<int>(values.size()), k_padded, out.data());
    return std::vector<std::uint16_t>(out.data(), out.data() + k_padded);
  });
  for (std::size_t i = 0; i < results[0].size(); ++i) {
    const std::uint16_t got = results[0][i];
    if (i >= values.size()) report.expect(got == 0, "%04x behind the row", got);
    else if (std::isnan(values[i])) report.expect(std::isnan(widen_bf16(got)), "%04x for not-a-number", got);
    else {
      const std::uint16_t want = bits_bf16(nearest_bf16(static_cast<double>(values[i])));
      report.expect(got == want, "%04x for %.9g, not %04x", got, static_cast<double>(values[i]), want);
    }
  }
}

void test_round(Random& random) {
  report.test("round_row");
  for (int turn = 0; turn < 60; ++turn) {
    std::vector<float> x(static_cast<std::size_t>(turn < 34 ? turn + 1 : random.between(1, 300)));
    fill(random, kAll[turn % 10], x.data(), x.size());
    report.scene("k %zu, %s", x.size(), name_of(kAll[turn % 10]));
    check_rounded(x, round_up(static_cast<int>(x.size()), random.chance(3) ? 1 : kDepthBf16));
  }
  report.scene("around every tie");
  std::vector<float> x;
  for (std::uint32_t upper = 0; upper <= 0xFFFF; ++upper)
    for (const std::uint32_t lower : {0u, 1u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu}) {
      const std::uint32_t bits = upper << 16 | lower;
      float value;
      std::memcpy(&value, &bits, sizeof value);
      x.push_back(value);
    }
  check_rounded(x, static_cast<int>(x.size()));
}

void test_layer_norm(Random& random) {
  report.test("layer_norm");
  for (int turn = 0; turn < 150; ++turn) {
    const int n = turn < 50 ? turn + 1 : random.between(1, 900);
    const Data data = kAll[turn % 10];
    const float epsilon = random.pick(std::vector<float>{1e-5f, 1e-12f, 1e-3f});
    report.scene("n %d, epsilon %g, %s", n, static_cast<double>(epsilon), name_of(data));
    const auto size = static_cast<std::size_t>(n);
    Buffer<float> x(size), gain(size), bias(size);
    fill(random, data, x.data(), size);
    if (random.chance(3))
      for (std::size_t i = 0; i < size; ++i) x[i] += 100.0f;
    fill(random, Data::normal, gain.data(), size);
    fill(random, Data::normal, bias.data(), size);
    const auto want = layer_norm(x.data(), gain.data(), bias.data(), static_cast<double>(epsilon), n);
    const auto results = on_every_table<float>([&](const Table& table) {
      Buffer<float> y(size);
      table.kernels->layer_norm(x.data(), gain.data(), bias.data(), epsilon, n, y.data());
      return std::vector<float>(y.data(), y.data() + size);
    });
    for (std::size_t t = 0; t < results.size(); ++t)
      for (std::size_t i = 0; i < size; ++i)
        report.expect(within(static_cast<double>(results[t][i]), want[i].value, want[i].error), "%s: y[%zu] = %.9g, not %.9g +- %.2g",
                      tables()[t].kernels->name, i, static_cast<double>(results[t][i]), want[i].value, want[i].error);
  }
}

}  // namespace

void test_rows(Random& random) {
  test_quantize(random);
  test_round(random);
  test_layer_norm(random);
}

}  // namespace gpt2lab::tests
