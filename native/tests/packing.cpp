// Packed weights: what packing loses, and that products and rows of embeddings read back exactly what was packed.
//
// The file under test is included, not linked, so that its conversions between formats can be called.
#include "../weights.cpp"

#include "reference.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

constexpr Precision kPrecisions[] = {Precision::fp32, Precision::bf16, Precision::int8, Precision::int4};
const char* name_of(Precision precision) {
  constexpr const char* names[] = {"fp32", "bf16", "int8", "int4"};
  return names[static_cast<int>(precision)];
}

struct Layer {
  Arena arena;
  Linear linear;

  Layer(int in, int out, bool bias, Precision precision) {
    arena.take(static_cast<std::size_t>(out % 3) * 100);  // something else comes first
    linear.lay_out(arena, in, out, bias, precision);
  }
};

// (in, out) from what the layer holds.
std::vector<float> unpacked(const Layer& layer) {
  const int in = layer.linear.in(), out = layer.linear.out();
  std::vector<float> weights(static_cast<std::size_t>(in * out));
  Buffer<float> row(static_cast<std::size_t>(in));
  for (int j = 0; j < out; ++j) {
    for (std::size_t k = 0; k < row.size(); ++k) row[k] = 0.0f;
    layer.linear.add_row(layer.arena, j, row.data());
    for (int k = 0; k < in; ++k) weights[static_cast<std::size_t>(k * out + j)] = row[static_cast<std::size_t>(k)];
  }
  return weights;
}

std::vector<float> transposed(const std::vector<float>& matrix, int rows, int columns) {
  std::vector<float> turned(matrix.size());
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) turned[static_cast<std::size_t>(c * rows + r)] = matrix[static_cast<std::size_t>(r * columns + c)];
  return turned;
}

// ---- float16 ---------------------------------------------------------------------------------------------------------

// The bounds between which a float rounds to one float16 are ties: all numbers beside them, and the ties themselves.
void test_float16() {
  report.test("float16");
  for (std::uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    const double value = value_f16(half);
    const float got = from_f16(half);
    report.expect(same_bits(got, static_cast<float>(value)), "%04x is read as %g", bits, static_cast<double>(got));
#if defined(__FLT16_MANT_DIG__)
    _Float16 native;
    std::memcpy(&native, &half, sizeof native);
    report.expect(same_bits(got, static_cast<float>(native)), "%04x is read as %g", bits, static_cast<double>(got));
#endif
    if (std::isnan(value) || std::isinf(value)) continue;
    const auto written = to_f16(static_cast<float>(value));
    report.expect(written == half, "%g is written as %04x, not %04x", value, written, bits);
    const bool last = (half & 0x7FFF) == 0x7BFF;
    const double next = last ? std::copysign(65536.0, value) : value_f16(static_cast<std::uint16_t>(half + 1));
    const auto tie = static_cast<float>((value + next) / 2.0);  // exact: one bit more than a float16
    const auto upper = static_cast<std::uint16_t>(last ? 0x7E00 : half + 1);
    const auto matches = [](std::uint16_t a, std::uint16_t b) { return a == b || (std::isnan(value_f16(a)) && std::isnan(value_f16(b))); };
    const std::uint16_t at_tie = to_f16(tie), below = to_f16(std::nextafter(tie, static_cast<float>(value))),
                        above = to_f16(std::nextafter(tie, static_cast<float>(2.0 * next - value)));
    report.expect(matches(at_tie, half % 2 ? upper : half), "the tie above %04x is written as %04x", bits, at_tie);
    report.expect(matches(below, half), "below the tie above %04x: %04x", bits, below);
    report.expect(matches(above, upper), "above the tie above %04x: %04x", bits, above);
  }
  for (const float broken : {70000.0f, -1e30f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    report.expect(std::isnan(from_f16(to_f16(broken))), "%g is no float16", static_cast<double>(broken));
}

// ---- what packing loses ----------------------------------------------------------------------------------------------

// fp32: nothing. bf16: what the nearest bf16 loses. int8: half a step of the column, max|w| / 127, and two roundings.
// `w` (in, out), `got` likewise.
void check_loss(const std::vector<float>& w, const std::vector<float>& got, int in, int out, Precision precision) {
  for (int j = 0; j < out; ++j) {
    double largest = 0.0;
    for (int k = 0; k < in; ++k) largest = std::fmax(largest, std::fabs(static_cast<double>(w[static_cast<std::size_t>(k * out + j)])));
    for (int k = 0; k < in; ++k) {
      const auto at = static_cast<std::size_t>(k * out + j);
      const double want = static_cast<double>(w[at]), is = static_cast<double>(got[at]);
      if (precision == Precision::fp32) report.expect(is == want, "[%d, %d] is %.9g, not %.9g", k, j, is, want);
      else if (precision == Precision::bf16) report.expect(is == nearest_bf16(want), "[%d, %d] is %.9g, not %.9g", k, j, is, nearest_bf16(want));
      else report.expect(std::fabs(is - want) <= largest / 127.0 * (0.5 + 127.0 * gamma(4.0)) + 130.0 * kNormal, "[%d, %d] is %.9g, not %.9g +- %.2g", k, j, is, want, largest / 254.0);
    }
  }
}

// int4: steps of 1.07 / 8 of a group's largest weight, one of those that are tried, miss no weight by more than a fourteenth of it
// (half a step, or where they end at seven steps); so the chosen ones, which have the least error weighted by importance, cannot
// have more of it than that on every weight. Of the chosen scale every weight is then the nearest multiple that four bits can
// say. float16 scales have a coarsest step of 2^-24 near zero, which eight times over is 2^-22 at each tried share.
void check_loss_int4(const std::vector<float>& w, const std::vector<float>& got, const std::vector<float>& importance, int in, int out) {
  for (int j = 0; j < out; ++j)
    for (int start = 0; start < in; start += kGroupI4) {
      const int end = std::min(in, start + kGroupI4);
      double largest = 0.0, error = 0.0, allowed = 0.0, lowest = 0.0, highest = 0.0;
      for (int k = start; k < end; ++k) {
        largest = std::fmax(largest, std::fabs(static_cast<double>(w[static_cast<std::size_t>(k * out + j)])));
        lowest = std::fmin(lowest, static_cast<double>(got[static_cast<std::size_t>(k * out + j)]));
        highest = std::fmax(highest, static_cast<double>(got[static_cast<std::size_t>(k * out + j)]));
      }
      for (int k = start; k < end; ++k) {
        const double matters = importance.empty() ? 1.0 : static_cast<double>(importance[static_cast<std::size_t>(k)]);
        const auto at = static_cast<std::size_t>(k * out + j);
        const double off = static_cast<double>(got[at]) - static_cast<double>(w[at]), bound = largest / 14.0 + 0x1p-22;
        error += matters * off * off;
        allowed += matters * bound * bound;
      }
      report.expect(error <= allowed * (1.0 + 1e-4), "column %d, inputs from %d: weighted squared error %.4g, allowed %.4g", j, start, error, allowed);
      report.expect(highest - lowest <= 15.0 * largest / 7.0 + 0x1p-20, "column %d, inputs from %d: from %g to %g, largest %g", j, start, lowest, highest, largest);
    }
}

// The scale and the sixteen values of every group as kernels.h lays them out: each weight is the nearest of them.
void check_nearest_int4(const Layer& layer, const std::byte* packed, const std::vector<float>& w, const std::vector<float>& got) {
  const int in = layer.linear.in(), out = layer.linear.out(), groups = round_up(in, kGroupI4) / kGroupI4;
  for (int j = 0; j < out; ++j)
    for (int k = 0; k < in; ++k) {
      const std::byte* group = packed + static_cast<std::size_t>(j / kPanel * groups + k / kGroupI4) * kGroupBytesI4;
      std::uint16_t bits;
      std::memcpy(&bits, group + j % kPanel * 2, sizeof bits);
      const double scale = value_f16(bits);
      const int quad = k % kGroupI4 / kQuad;
      const int both = static_cast<int>(group[kScalesI4 + static_cast<std::size_t>((quad / 2 * kPanel + j % kPanel) * kQuad + k % kQuad)]);
      const int q = (both >> quad % 2 * 4 & 15) - kOffsetI4;
      const auto at = static_cast<std::size_t>(k * out + j);
      report.expect(static_cast<double>(got[at]) == scale * q, "[%d, %d] is %.9g, but %d times %g is packed", k, j, static_cast<double>(got[at]), q, scale);
      if (scale == 0.0) continue;
      const double steps = std::fmin(std::fmax(static_cast<double>(w[at]) / scale, -8.0), 7.0);
      report.expect(std::fabs(steps - q) <= 0.5 + 8.0 * gamma(3.0), "[%d, %d]: %d for %.9g steps", k, j, q, steps);
    }
}

// ---- products --------------------------------------------------------------------------------------------------------

// y = x W + b of the packed weights and the prepared rows, both read back as numbers; see products.cpp for the bounds.
void check_products(Random& random, const Layer& layer, const std::vector<float>& w, const std::vector<float>& bias, Precision precision) {
  const int in = layer.linear.in(), out = layer.linear.out(), m = random.between(1, 20);
  const auto width = static_cast<std::size_t>(in), height = static_cast<std::size_t>(m);
  Buffer<float> x(height * width);
  fill(random, Data::normal, x.data(), x.size());
  const int group = precision == Precision::int4 ? kGroupI4 : kGroupI8, depth = precision == Precision::int4 ? kGroupI4 : precision == Precision::int8 ? kDepthI8 : kDepthBf16;
  const int padded = round_up(in, depth), groups = (padded + group - 1) / group;

  std::vector<double> read(x.size());
  const auto results = on_every_table<float>([&](const Table& table) {
    RowBuffer rows;
    rows.reserve(precision, m, in);
    Inputs inputs{x.data(), in, nullptr, {}};
    if (precision != Precision::fp32) {
      for (int r = 0; r < m; ++r) layer.linear.prepare(*table.kernels, x.data() + static_cast<std::size_t>(r) * width, rows, r);
      inputs = layer.linear.prepared(rows);
    }
    for (int r = 0; r < m; ++r)
      for (int k = 0; k < in; ++k) {
        const auto at = static_cast<std::size_t>(r * in + k), place = static_cast<std::size_t>(r * padded + k);
        read[at] = precision == Precision::fp32   ? static_cast<double>(x[at])
                   : precision == Precision::bf16 ? static_cast<double>(widen_bf16(rows.bf16()[place]))
                                                  : rows.int8()[place] * static_cast<double>(rows.scale()[r * groups + k / group]);
      }
    Buffer<float> y(height * static_cast<std::size_t>(layer.linear.stride()));
    const int middle = random.between(0, layer.linear.panels());  // two shares, as of two threads
    layer.linear.apply(layer.arena, *table.kernels, inputs, m, y.data(), Activation::none, false, 0, middle);
    layer.linear.apply(layer.arena, *table.kernels, inputs, m, y.data(), Activation::none, false, middle, layer.linear.panels());
    return std::vector<float>(y.data(), y.data() + y.size());
  });
  for (int r = 0; r < m; ++r)
    for (int j = 0; j < out; ++j) {
      double sum = bias.empty() ? 0.0 : static_cast<double>(bias[static_cast<std::size_t>(j)]), magnitude = std::fabs(sum);
      for (int k = 0; k < in; ++k) {
        const double product = read[static_cast<std::size_t>(r * in + k)] * static_cast<double>(w[static_cast<std::size_t>(k * out + j)]);
        sum += product;
        magnitude += std::fabs(product);
      }
      const double got = static_cast<double>(results[0][static_cast<std::size_t>(r * layer.linear.stride() + j)]);
      // int8 weights are read back as rounded products of scale and integer: one rounding more
      report.expect(std::fabs(got - sum) <= gamma(in + 20.0) * magnitude + kNormal, "y[%d, %d] = %.9g, not %.9g", r, j, got, sum);
    }
}

// The same bytes in someone else's memory, read only, make the same layer.
void check_adopted(Random& random, const Layer& layer, int in, int out, bool bias, Precision precision) {
  Layer other(in, out, bias, precision);
  report.expect(other.arena.size() == layer.arena.size() && !other.arena.owned(), "%zu bytes, not %zu", other.arena.size(), layer.arena.size());
  const Buffer<std::byte> copy(std::vector<std::byte>(layer.arena.data(), layer.arena.data() + layer.arena.size()));
  other.arena.adopt(copy.data());
  const auto ours = unpacked(layer), theirs = unpacked(other);
  for (std::size_t i = 0; i < ours.size(); ++i) report.expect(same_bits(ours[i], theirs[i]), "weight %zu: %g, adopted %g", i, static_cast<double>(ours[i]), static_cast<double>(theirs[i]));
  Buffer<float> x(static_cast<std::size_t>(in));
  fill(random, Data::normal, x.data(), x.size());
  std::vector<std::vector<float>> results;
  for (const Layer* each : {&layer, static_cast<const Layer*>(&other)}) {
    RowBuffer rows;
    rows.reserve(precision, 1, in);
    Inputs inputs{x.data(), in, nullptr, {}};
    if (precision != Precision::fp32) {
      each->linear.prepare(kPortable, x.data(), rows, 0);
      inputs = each->linear.prepared(rows);
    }
    std::vector<float> y(static_cast<std::size_t>(each->linear.stride()));
    each->linear.apply(each->arena, kPortable, inputs, 1, y.data(), Activation::none, false, 0, each->linear.panels());
    results.push_back(y);
  }
  for (std::size_t j = 0; j < results[0].size(); ++j) report.expect(same_bits(results[0][j], results[1][j]), "output %zu of the adopted layer differs", j);
}

struct Numbers {
  std::vector<float> weights, bias, importance;  // (in, out), (out), (in); the last two may be empty
};

void pack(Layer& layer, const Numbers& numbers, bool out_major, int middle) {
  const int in = layer.linear.in(), out = layer.linear.out();
  layer.arena.allocate();
  const Buffer<float> given(out_major ? transposed(numbers.weights, in, out) : numbers.weights);
  const float* importance = numbers.importance.empty() ? nullptr : numbers.importance.data();
  layer.linear.pack(layer.arena, given.data(), out_major, importance, middle, layer.linear.panels());
  layer.linear.pack(layer.arena, given.data(), out_major, importance, 0, middle);
  if (!numbers.bias.empty()) layer.linear.set_bias(layer.arena, numbers.bias.data());
}

void test_layers(Random& random, Precision precision) {
  report.test(std::string("packing ") + name_of(precision));
  constexpr int sizes[][2] = {{1, 1}, {2, 3}, {31, 64}, {33, 63}, {64, 65}, {65, 128}, {100, 130}, {127, 1}, {129, 200}, {192, 70}, {300, 64}};
  constexpr Data kinds[] = {Data::normal, Data::wide, Data::zeros, Data::equal, Data::normal, Data::tiny, Data::signed_zeros, Data::subnormal};
  int turn = 0;
  for (const auto& [in, out] : sizes)
    for (const bool with_bias : {false, true}) {
      const Data data = kinds[turn++ % 8];
      report.scene("%d -> %d, %s%s", in, out, tests::name_of(data), with_bias ? ", bias" : "");
      Numbers numbers{std::vector<float>(static_cast<std::size_t>(in * out)), std::vector<float>(static_cast<std::size_t>(with_bias ? out : 0)),
                      std::vector<float>(static_cast<std::size_t>(random.chance(2) ? in : 0))};
      fill(random, data, numbers.weights.data(), numbers.weights.size());
      if (precision == Precision::int4)  // steps of a group beyond 489,000 are no float16
        for (float& weight : numbers.weights) weight *= 0.25f;
      fill(random, Data::normal, numbers.bias.data(), numbers.bias.size());
      for (float& matters : numbers.importance) matters = static_cast<float>(std::exp(random.normal() * 2.0));
      Layer layer(in, out, with_bias, precision), turned(in, out, with_bias, precision);
      pack(layer, numbers, false, random.between(0, layer.linear.panels()));
      pack(turned, numbers, true, random.between(0, layer.linear.panels()));
      report.expect(std::memcmp(layer.arena.data(), turned.arena.data(), layer.arena.size()) == 0, "(out, in) packs into other bytes than (in, out)");

      const auto got = unpacked(layer);
      if (precision == Precision::int4) {
        check_loss_int4(numbers.weights, got, numbers.importance, in, out);
        const std::size_t before = round_up(out % 3 * 100, 256);
        check_nearest_int4(layer, layer.arena.data() + before, numbers.weights, got);
      } else {
        check_loss(numbers.weights, got, in, out, precision);
      }
      check_products(random, layer, got, numbers.bias, precision);
      check_adopted(random, layer, in, out, with_bias, precision);
    }
}

// A weight that is no number, or infinite, must be seen in its output and in no other.
void test_broken(Random& random) {
  report.test("broken weights");
  const int in = 70, out = 80, hurt = 66, at = 40;
  for (const Precision precision : kPrecisions)
    for (const float broken : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(), 1e7f}) {
      if (broken == 1e7f && precision != Precision::int4) continue;  // beyond what a float16 scale can say
      report.scene("%s, %g", name_of(precision), static_cast<double>(broken));
      Numbers numbers{std::vector<float>(in * out), {}, {}};
      fill(random, Data::normal, numbers.weights.data(), numbers.weights.size());
      numbers.weights[at * out + hurt] = broken;
      Layer layer(in, out, false, precision);
      pack(layer, numbers, false, 0);
      const auto read = unpacked(layer);
      report.expect(!std::isfinite(read[at * out + hurt]), "it is read back as %g", static_cast<double>(read[at * out + hurt]));
      Buffer<float> x(in);
      fill(random, Data::normal, x.data(), x.size());
      on_every_table<float>([&](const Table& table) {
        RowBuffer rows;
        rows.reserve(precision, 1, in);
        Inputs inputs{x.data(), in, nullptr, {}};
        if (precision != Precision::fp32) {
          layer.linear.prepare(*table.kernels, x.data(), rows, 0);
          inputs = layer.linear.prepared(rows);
        }
        std::vector<float> y(static_cast<std::size_t>(layer.linear.stride()));
        layer.linear.apply(layer.arena, *table.kernels, inputs, 1, y.data(), Activation::none, false, 0, layer.linear.panels());
        for (int j = 0; j < out; ++j) {
          const float got = y[static_cast<std::size_t>(j)];
          const bool loud = precision == Precision::fp32 ? !std::isfinite(got) : std::isnan(got);
          report.expect(j == hurt ? loud : std::isfinite(got), "%s: output %d is %g", table.kernels->name, j, static_cast<double>(got));
        }
        return y;
      });
    }
}

}  // namespace

void test_weights(Random& random) {
  test_float16();
  for (const Precision precision : kPrecisions) test_layers(random, precision);
  test_broken(random);
}

}  // namespace gpt2lab::tests
