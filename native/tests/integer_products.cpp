// Products in int8 and int4. What the quantised operands stand for is exact; only the sums over their groups round.
#include <algorithm>
#include <cmath>

#include "products.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

// Quantised rows with garbage behind the last, and scales all one when `unit` is set.
struct QuantizedRows {
  QuantizedRows(Random& random, Data data, int m, int k, int group, bool unit)
      : width(k), groups((k + group - 1) / group), q(static_cast<std::size_t>(m + kSpareRows) * static_cast<std::size_t>(k)),
        scale(static_cast<std::size_t>((m + kSpareRows) * groups)), sum(static_cast<std::size_t>((m + kSpareRows) * groups)) {
    const bool extreme = random.chance(4);
    for (std::size_t i = 0; i < q.size(); ++i)
      q[i] = static_cast<std::int8_t>(data == Data::zeros ? 0 : extreme ? (random.chance(6) ? -127 : 127) : random.between(-127, 127));
    fill(random, data, scale.data(), scale.size());
    for (std::size_t i = 0; i < scale.size(); ++i) scale[i] = unit ? 1.0f : std::fabs(scale[i]);
    for (int r = 0; r < m + kSpareRows; ++r)
      for (int i = 0; i < k; ++i) sum[static_cast<std::size_t>(r * groups + i / group)] += at(r, i);
  }
  int at(int r, int i) const { return q[static_cast<std::size_t>(r * width + i)]; }
  double scale_at(int r, int group) const { return static_cast<double>(scale[static_cast<std::size_t>(r * groups + group)]); }
  Rows8 rows() const { return {q.data(), scale.data(), sum.data(), groups}; }

  int width, groups;
  Buffer<std::int8_t> q;
  Buffer<float> scale;
  Buffer<std::int32_t> sum;
};

void check_i8(Random& random, const Shape& shape, Data data) {
  const int all = shape.panels * kPanel;
  const bool unit = random.chance(3), extreme = random.chance(4);
  const QuantizedRows x(random, data, shape.m, shape.k, kGroupI8, unit);
  Buffer<std::uint8_t> packed(static_cast<std::size_t>(shape.k * all));
  std::vector<int> w(packed.size());  // (out, in)
  Buffer<float> w_scale(static_cast<std::size_t>(all));
  fill(random, random.chance(2) ? data : Data::normal, w_scale.data(), w_scale.size());
  for (int j = 0; j < all; ++j) {
    if (unit || !shape.asks_for(j)) w_scale[static_cast<std::size_t>(j)] = unit ? 1.0f : kNan;
    for (int k = 0; k < shape.k; ++k) {
      const int value = extreme ? (random.chance(6) ? -127 : 127) : random.between(-127, 127);
      w[static_cast<std::size_t>(j * shape.k + k)] = value;
      packed[static_cast<std::size_t>(((j / kPanel * shape.k + k / kQuad * kQuad) * kPanel) + j % kPanel * kQuad + k % kQuad)] =
          static_cast<std::uint8_t>(value + kOffsetI8);
    }
  }
  Truth truth;
  for (int r = 0; r < shape.m; ++r)
    for (int j = shape.first * kPanel; j < shape.last * kPanel; ++j) {
      double sum = 0.0, magnitude = 0.0;
      for (int group = 0; group < x.groups; ++group) {
        long whole = 0;
        for (int k = group * kGroupI8; k < std::min(shape.k, (group + 1) * kGroupI8); ++k)
          whole += static_cast<long>(x.at(r, k)) * w[static_cast<std::size_t>(j * shape.k + k)];
        sum += static_cast<double>(whole) * x.scale_at(r, group);
        magnitude += std::fabs(static_cast<double>(whole) * x.scale_at(r, group));
      }
      const double scale = static_cast<double>(w_scale[static_cast<std::size_t>(j)]), size = std::fabs(scale);
      truth.add(sum * scale, std::fmax(magnitude, magnitude * size),
                gamma(x.groups + 1.0) * magnitude * size + (x.groups * size + 1.0) * kSmallest);
      if (unit) truth.ordered.push_back(static_cast<float>(sum));
    }
  compare(random, shape, truth, [&](const Kernels& kernels, const Output& out) {
    kernels.product_i8({x.rows(), shape.m, shape.k, packed.data(), w_scale.data(), out}, shape.first, shape.last);
  });
}

// ---- int4 ------------------------------------------------------------------------------------------------------------

// Where the weight of one output and input lies.
struct PlaceI4 {
  std::size_t scale, byte;  // in the packed bytes
  int shift;
};
PlaceI4 place_i4(int groups, int column, int k) {
  const int group = k / kGroupI4, quad = k % kGroupI4 / kQuad, j = column % kPanel;
  const std::size_t start = static_cast<std::size_t>(column / kPanel * groups + group) * kGroupBytesI4;
  return {start + static_cast<std::size_t>(j) * 2, start + kScalesI4 + static_cast<std::size_t>((quad / 2 * kPanel + j) * kQuad + k % kQuad), quad % 2 * 4};
}

std::uint16_t random_f16(Random& random, Data data) {
  switch (data) {
    case Data::zeros: return 0;
    case Data::tiny: return static_cast<std::uint16_t>(random.between(0, 0x3FF) | random.between(0, 1) << 15);
    case Data::not_a_number: return random.chance(200) ? 0x7E00 : 0x3800;
    case Data::infinite: return random.chance(200) ? 0x7C00 : 0xB800;
    default: return static_cast<std::uint16_t>(random.between(0, 0x7BFF) | random.between(0, 1) << 15);
  }
}

void check_i4(Random& random, const Shape& shape, Data data) {
  const int all = shape.panels * kPanel;
  const bool unit = random.chance(3);
  const QuantizedRows x(random, data, shape.m, shape.k, kGroupI4, unit);
  Buffer<std::uint8_t> packed(static_cast<std::size_t>(shape.panels * x.groups) * kGroupBytesI4);
  std::vector<int> w(static_cast<std::size_t>(all * shape.k));
  std::vector<double> w_scale(static_cast<std::size_t>(all * x.groups));
  const Data scales = random.chance(2) ? data : Data::normal;
  for (int j = 0; j < all; ++j)
    for (int k = 0; k < shape.k; ++k) {
      const PlaceI4 place = place_i4(x.groups, j, k);
      if (k % kGroupI4 == 0) {
        const std::uint16_t scale = unit ? 0x3C00 : shape.asks_for(j) ? random_f16(random, scales) : 0x7E00;
        std::memcpy(packed.data() + place.scale, &scale, 2);
        w_scale[static_cast<std::size_t>(j * x.groups + k / kGroupI4)] = value_f16(scale);
      }
      const int value = random.between(-8, 7);
      w[static_cast<std::size_t>(j * shape.k + k)] = value;
      packed[place.byte] = static_cast<std::uint8_t>(packed[place.byte] | (value + kOffsetI4) << place.shift);
    }
  Truth truth;
  for (int r = 0; r < shape.m; ++r)
    for (int j = shape.first * kPanel; j < shape.last * kPanel; ++j) {
      double sum = 0.0, magnitude = 0.0;
      for (int group = 0; group < x.groups; ++group) {
        long whole = 0;
        for (int k = group * kGroupI4; k < (group + 1) * kGroupI4; ++k)
          whole += static_cast<long>(x.at(r, k)) * w[static_cast<std::size_t>(j * shape.k + k)];
        const double scaled = static_cast<double>(whole) * (w_scale[static_cast<std::size_t>(j * x.groups + group)] * x.scale_at(r, group));
        sum += scaled;
        magnitude += std::fabs(scaled);
      }
      truth.add(sum, magnitude, gamma(x.groups + 1.0) * magnitude + x.groups * (8.0 * 127.0 * kGroupI4 + 1.0) * kSmallest);
      if (unit) truth.ordered.push_back(static_cast<float>(sum));
    }
  compare(random, shape, truth, [&](const Kernels& kernels, const Output& out) {
    kernels.product_i4({x.rows(), shape.m, shape.k, packed.data(), out}, shape.first, shape.last);
  });
}

// Every float16 as the scale of a weight 1 against an input 1.
void check_scales_i4() {
  report.scene("every float16");
  constexpr int values = 1 << 16, panels = values / kPanel;
  Buffer<std::uint8_t> packed(panels * kGroupBytesI4);
  for (int j = 0; j < values; ++j) {
    const auto scale = static_cast<std::uint16_t>(j);
    std::memcpy(packed.data() + place_i4(1, j, 0).scale, &scale, 2);
    for (int k = 0; k < kGroupI4; ++k) {
      const PlaceI4 place = place_i4(1, j, k);
      packed[place.byte] = static_cast<std::uint8_t>(packed[place.byte] | (kOffsetI4 + (k == 0)) << place.shift);
    }
  }
  Buffer<std::int8_t> q((1 + kSpareRows) * kGroupI4);
  Buffer<float> scale(1 + kSpareRows);
  Buffer<std::int32_t> sum(1 + kSpareRows);
  q[0] = 1;
  scale[0] = 1.0f;
  sum[0] = 1;
  const auto results = on_every_table<float>([&](const Table& table) {
    std::vector<float> y(values);
    table.kernels->product_i4({{q.data(), scale.data(), sum.data(), 1}, 1, kGroupI4, packed.data(), {y.data(), values, {nullptr, Activation::none, false}}}, 0, panels);
    return y;
  });
  for (std::size_t j = 0; j < values; ++j) {
    const double want = value_f16(static_cast<std::uint16_t>(j)), got = static_cast<double>(results[0][j]);
    report.expect(got == want || (std::isnan(got) && std::isnan(want)), "float16 %04zx is %g, not %g", j, got, want);
  }
}

}  // namespace

void test_integer_products(Random& random) {
  check_shapes(random, "product_i8", kDepthI8, check_i8);
  check_shapes(random, "product_i4", kGroupI4, check_i4);
  check_scales_i4();
}

}  // namespace gpt2lab::tests
