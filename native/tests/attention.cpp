// Attention over a paged cache, in each of its formats, against softmax in double precision.
//
// A score is a chain of head_dim fused multiply-adds and one product: it may be off by d = gamma(head_dim + 1) sum|q k| |scale|;
// with a bias there is one addition more, and the sum has |bias| too.
// Its weight exp(score - top) is then off by the relative error d + exp_error(score - top); that of the subtracted maximum is
// the same for all and cancels. With w for the exact weights, e for those errors and n positions, an output may differ by
//   sum w e |v| + |out| sum w e + gamma(n + n / 16 + 8) sum w |v|, the last for the sums and the division.
// With a bf16 cache the queries are rounded beforehand, which is exact here, and the weights of the values: e gains 2^-8. With
// an int8 cache a score is an exact integer times three factors, in four roundings with the one to float; the weights are
// multiplied by the scales of the values before they are rounded, which is one more.
#include <cmath>
#include <limits>
#include <memory>

#include "reference.h"
#include "tests.h"

namespace gpt2lab::tests {
namespace {

struct Shape {
  int queries, visible, head_dim;
  int positions() const { return visible + queries - 1; }
};
constexpr double kRoundingBf16 = 0x1.0p-8;

// What an int8 cache makes of n numbers, and what they then are. Of quantising itself there are tests elsewhere.
float quantise(const float* x, int n, std::int8_t* q, double* exact) {
  const int padded = round_up(n, kLanes);
  std::vector<std::int8_t> room(static_cast<std::size_t>(padded));
  float scale = 0.0f;
  std::int32_t sum = 0;
  kPortable.quantize_row(x, n, padded, padded, room.data(), &scale, &sum);
  for (int i = 0; i < n; ++i) {
    q[i] = room[static_cast<std::size_t>(i)];
    exact[i] = static_cast<double>(q[i]) * static_cast<double>(scale);
  }
  return scale;
}

// Keys and values, (positions, head_dim) each, as the format has them, and the pages that hold them with not-a-numbers around.
// Behind the last position a cache in use has finite values.
template <class Element>
struct Cached {
  static constexpr bool bf16 = sizeof(Element) == 2, int8 = sizeof(Element) == 1;
  static constexpr CacheFormat format = int8 ? CacheFormat::int8 : bf16 ? CacheFormat::bf16 : CacheFormat::fp32;

  Cached(Random& random, const Shape& shape, Data data)
      : shape(shape), depth(int8 ? round_up(shape.head_dim, kDepthI8) : bf16 ? round_up(shape.head_dim, kDepthBf16) : shape.head_dim),
        value_stride(round_up(shape.head_dim, bf16 ? kDepthBf16 : kLanes)) {
    const auto size = static_cast<std::size_t>(shape.positions() * shape.head_dim);
    std::vector<float> plain_keys(size), plain_values(size);
    keys.resize(size);
    values.resize(size);
    fill(random, data, plain_keys.data(), size);
    fill(random, random.chance(2) ? data : Data::normal, plain_values.data(), size);
    const int key_size = (depth + (int8 ? 8 : 0)) * kPage, value_size = value_stride * kPage, gap = random.between(0, 10) * (int8 ? 4 : 1);
    const bool values_last = random.chance(2);
    key_offset = values_last ? gap : gap + value_size;
    value_offset = values_last ? gap + key_size : gap;
    for (int page = 0; page * kPage < shape.positions(); ++page) {
      pages.push_back(std::make_unique<Buffer<Element>>(static_cast<std::size_t>(gap + key_size + value_size)));
      Element* base = pages.back()->data();
      table.push_back(base);
      std::memset(base, 0xFF, pages.back()->size() * sizeof(Element));
      if (int8) clear_scales(base, random.chance(2) ? 0.0f : -123.0f);  // of fresh pages, or of what was cropped
      if (!bf16) continue;
      std::fill_n(base + value_offset, value_size, static_cast<Element>(random.chance(2) ? 0 : 0xC2F7));  // zero, or what was cropped
      for (int t = 0; t < kPage; ++t)
        for (int d = shape.head_dim; d < depth; ++d) base[key_offset + d / 2 * kPage * 2 + t * 2 + d % 2] = 0;
    }
    for (int t = 0; t < shape.positions(); ++t) {
      if constexpr (int8) {
        place_quantised(t, plain_keys.data() + at(t, 0), plain_values.data() + at(t, 0));
      } else {
        for (int d = 0; d < shape.head_dim; ++d) place(t, d, plain_keys[at(t, d)], plain_values[at(t, d)]);
      }
    }
  }

  void clear_scales(Element* page, float to) const {
    for (int slot = 0; slot < kPage; ++slot) std::memcpy(page + key_offset + (depth + 4) * kPage + slot * 4, &to, 4);
  }
  void place_quantised(int t, const float* key, const float* value) {
    Element* page = pages[static_cast<std::size_t>(t / kPage)]->data();
    const int slot = t % kPage;
    std::vector<std::int8_t> q(static_cast<std::size_t>(shape.head_dim));
    const float key_scale = quantise(key, shape.head_dim, q.data(), keys.data() + at(t, 0));
    for (int d = 0; d < shape.head_dim; ++d)
      page[key_offset + d / kQuad * kPage * kQuad + slot * kQuad + d % kQuad] = static_cast<Element>(q[static_cast<std::size_t>(d)] + kOffsetI8);
    std::memcpy(page + key_offset + depth * kPage + slot * 4, &key_scale, 4);
    const float value_scale = quantise(value, shape.head_dim, q.data(), values.data() + at(t, 0));
    std::memcpy(page + value_offset + slot * value_stride, q.data(), q.size());
    std::memcpy(page + key_offset + (depth + 4) * kPage + slot * 4, &value_scale, 4);
  }

  void place(int t, int d, float key, float value) {
    Element* page = pages[static_cast<std::size_t>(t / kPage)]->data();
    const int slot = t % kPage;
    put(page[key_offset + (bf16 ? d / 2 * kPage * 2 + slot * 2 + d % 2 : (slot / kLanes * shape.head_dim + d) * kLanes + slot % kLanes)],
        key, keys[at(t, d)]);
    put(page[value_offset + (bf16 ? slot / 2 * value_stride * 2 + d * 2 + slot % 2 : slot * value_stride + d)], value, values[at(t, d)]);
  }
  static void put(float& to, float x, double& exact) { exact = static_cast<double>(to = x); }
  static void put(std::uint16_t& to, float x, double& exact) {
    to = bits_bf16(nearest_bf16(static_cast<double>(x)));
    exact = static_cast<double>(widen_bf16(to));
  }
  std::vector<double> as_query(const float* x) const {
    std::vector<double> exact(x, x + shape.head_dim);
    std::vector<std::int8_t> q(exact.size());
    if (int8) quantise(x, shape.head_dim, q.data(), exact.data());
    for (double& e : exact) e = bf16 ? nearest_bf16(e) : e;
    return exact;
  }
  std::size_t at(int t, int d) const { return static_cast<std::size_t>(t * shape.head_dim + d); }

  Shape shape;
  int depth, value_stride;
  std::vector<double> keys, values;
  std::vector<std::unique_ptr<Buffer<Element>>> pages;
  std::vector<const void*> table;
  int key_offset, value_offset;
};

// The outputs of query `number`, some of whose weights may be dropped after they were divided by their sum.
template <class Element>
std::vector<Bounded> reference(const Cached<Element>& cached, const float* query, const float* bias, double scale, int visible, const Dropout* dropout, int number) {
  const Shape& shape = cached.shape;
  std::vector<double> score, slack;
  double top = -std::numeric_limits<double>::infinity();
  const std::vector<double> exact_query = cached.as_query(query);
  for (int t = 0; t < visible; ++t) {
    double sum = 0.0, magnitude = 0.0;
    for (int d = 0; d < shape.head_dim; ++d) {
      const double product = exact_query[static_cast<std::size_t>(d)] * cached.keys[cached.at(t, d)];
      sum += product;
      magnitude += std::fabs(product);
    }
    if (bias) {
      sum += static_cast<double>(bias[t]);
      magnitude += std::fabs(static_cast<double>(bias[t]));
    }
    score.push_back(sum * scale);
    slack.push_back(gamma((cached.int8 ? 3.0 : shape.head_dim) + (bias ? 2.0 : 1.0)) * magnitude * std::fabs(scale) + shape.head_dim * kSmallest);
    // float scores beyond its range end in infinite minus infinite
    if (magnitude > std::numeric_limits<float>::max() / 2.0) slack.back() = std::numeric_limits<double>::infinity();
    top = std::fmax(top, score.back());
  }
  double total = 0.0, weighted_error = 0.0, lost = 0.0;
  std::vector<double> weight, error;
  bool broken = false;
  for (int t = 0; t < visible; ++t) {
    const double difference = score[static_cast<std::size_t>(t)] - top;
    weight.push_back(std::exp(difference));
    broken = broken || std::isnan(difference);
    // the first-order error, made to hold for large ones too
    error.push_back(std::expm1(slack[static_cast<std::size_t>(t)] + exp_error(difference)) + (cached.bf16 || cached.int8 ? kRoundingBf16 : 0.0) + (cached.int8 ? kRounding : 0.0));
    total += weight.back();
    lost += difference < kExpFloor + 1.0 ? 2.0 * kExpBelowFloor : 0.0;
  }
  if (broken) total = std::numeric_limits<double>::quiet_NaN();
  for (int t = 0; t < visible; ++t) weighted_error += weight[static_cast<std::size_t>(t)] / total * error[static_cast<std::size_t>(t)];
  std::vector<Bounded> out;
  for (int d = 0; d < shape.head_dim; ++d) {
    double sum = 0.0, magnitude = 0.0, spread = 0.0, largest = 0.0;
    for (int t = 0; t < visible; ++t) {
      const double w = weight[static_cast<std::size_t>(t)] / total * (dropout ? kept(*dropout, number, t) : 1.0), v = cached.values[cached.at(t, d)];
      sum += w * v;
      magnitude += w * std::fabs(v);
      spread += w * std::fabs(v) * error[static_cast<std::size_t>(t)];
      largest = std::fmax(largest, std::fabs(v));
    }
    // an error e of the weights' sum divides by 1 - e at worst
    const double own = (spread + std::fabs(sum) * weighted_error) / std::fmax(1.0 - weighted_error, 1e-300) +
                       gamma(visible * 17.0 / 16.0 + 8.0) * magnitude * (1.0 + weighted_error) + lost * largest + visible * kSmallest;
    out.push_back({sum, weighted_error < 1.0 ? own * (1.0 + 1e-6) : std::numeric_limits<double>::infinity()});
  }
  return out;
}

template <class Element>
void check(Random& random, const Shape& shape, Data data, void (*Kernels::*attend)(const Attend&), double dropped = 0.0) {
  Cached<Element> cached(random, shape, data);
  const int stride = shape.head_dim + random.between(0, 20), out_stride = shape.head_dim + random.between(0, 20);
  const auto last = static_cast<std::size_t>(shape.queries - 1), width = static_cast<std::size_t>(shape.head_dim);
  Buffer<float> query(last * static_cast<std::size_t>(stride) + width);
  fill(random, data, query.data(), query.size());
  const float scale = random.chance(4) ? 3.0f : 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
  const std::ptrdiff_t score_stride = round_up(shape.positions(), kPage);
  Buffer<float> bias(random.chance(3) ? static_cast<std::size_t>(score_stride * shape.queries) : 0);
  fill(random, data, bias.data(), bias.size());
  const float* biases = bias.size() > 0 ? bias.data() : nullptr;
  for (int q = 0; q < shape.queries && biases; ++q)  // what is not visible may be anything
    std::memset(bias.data() + q * score_stride + shape.visible + q, 0xFF, static_cast<std::size_t>(score_stride - shape.visible - q) * sizeof(float));

  const QueryWords words(random, shape.queries);
  const Dropout dropout = words.dropout(dropped);
  const auto answers = [&](const Table& table, int first, int count) {
    const Dropout from_first{dropout.first + first, dropout.second + first, dropout.threshold, dropout.scale};
    const std::size_t size = static_cast<std::size_t>(count - 1) * static_cast<std::size_t>(out_stride) + width;
    Buffer<float> out(size), scores(static_cast<std::size_t>(score_stride) * kQueryRows);
    Buffer<float> rounded(attend_bytes(cached.format, shape.head_dim, static_cast<int>(score_stride)) / sizeof(float));
    std::memset(scores.data(), 0xFF, scores.size() * sizeof(float));
    std::memset(rounded.data(), 0xFF, rounded.size() * sizeof(float));
    (table.kernels->*attend)({query.data() + first * stride, stride, count, cached.table.data(), cached.key_offset, cached.value_offset,
                              shape.visible + first, shape.head_dim, cached.value_stride, scale, scores.data(), score_stride, rounded.data(),
                              out.data(), out_stride, nullptr, dropped > 0.0 ? &from_first : nullptr,
                              biases ? biases + first * score_stride : nullptr, score_stride});
    std::vector<float> rows;
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (i % static_cast<std::size_t>(out_stride) < width) rows.push_back(out[i]);
      else report.expect(out[i] == 0.0f, "%s: wrote behind a row", table.kernels->name);
    }
    return rows;
  };
  // A tile unit loses what falls below the normal range on the way, which these numbers do.
  const bool flushes = (cached.bf16 || cached.int8) && (data == Data::tiny || data == Data::wide || data == Data::huge);
  const std::vector<char> exempt(static_cast<std::size_t>(shape.queries) * width, flushes);
  const std::vector<Table>& list = dropped > 0.0 ? training_tables() : tables();
  const auto results = on_every_table<float>([&](const Table& table) { return answers(table, 0, shape.queries); }, &exempt, list);
  for (std::size_t t = 0; t < results.size(); ++t) {  // what a query gets does not depend on those beside it
    if (list[t].tiles && flushes) continue;
    const int alone = random.between(0, shape.queries - 1);
    const auto row = answers(list[t], alone, 1);
    for (std::size_t d = 0; d < width; ++d)
      report.expect(same_bits(row[d], results[t][static_cast<std::size_t>(alone) * width + d]), "%s: query %d alone: %.9g, not %.9g", list[t].kernels->name,
                    alone, static_cast<double>(row[d]), static_cast<double>(results[t][static_cast<std::size_t>(alone) * width + d]));
  }
  for (int q = 0; q < shape.queries; ++q) {
    const auto want = reference(cached, query.data() + q * stride, biases ? biases + q * score_stride : nullptr, static_cast<double>(scale), shape.visible + q, dropped > 0.0 ? &dropout : nullptr, q);
    for (std::size_t t = 0; t < results.size(); ++t)
      for (std::size_t d = 0; d < width; ++d) {
        const double got = static_cast<double>(results[t][static_cast<std::size_t>(q) * width + d]);
        report.expect(within(got, want[d].value, want[d].error), "%s: query %d, out[%zu] = %.9g, not %.9g +- %.2g", list[t].kernels->name, q,
                      d, got, want[d].value, want[d].error);
      }
  }
}

}  // namespace

void test_attention(Random& random) {
  constexpr Data kinds[] = {Data::normal, Data::zeros, Data::normal, Data::equal, Data::tiny, Data::normal, Data::wide, Data::huge};
  for (const CacheFormat format : {CacheFormat::fp32, CacheFormat::bf16, CacheFormat::int8}) {
    report.test(format == CacheFormat::int8 ? "attend_i8" : format == CacheFormat::bf16 ? "attend_bf16" : "attend_f32");
    for (int turn = 0; turn < 90; ++turn) {
      Shape shape{random.chance(3) ? 1 : random.between(1, random.chance(2) ? 20 : 70), random.between(1, 110), random.between(1, 128)};
      if (turn % 5 == 0) shape.head_dim = 64;
      if (turn % 7 == 0) shape.visible = kPage * random.between(1, 3) + random.between(-1, 1);
      const Data data = kinds[turn % 8];
      report.scene("%d queries, %d visible, head_dim %d, %s", shape.queries, shape.visible, shape.head_dim, name_of(data));
      if (format == CacheFormat::int8) check<std::uint8_t>(random, shape, data, &Kernels::attend_i8);
      else if (format == CacheFormat::bf16) check<std::uint16_t>(random, shape, data, &Kernels::attend_bf16);
      else check<float>(random, shape, data, &Kernels::attend_f32);
    }
  }
  report.test("attend_bf16 with dropout");
  for (int turn = 0; turn < 40; ++turn) {
    const Shape shape{random.between(1, 70), random.between(1, 70), random.between(1, 96)};
    const double dropped = turn % 4 == 0 ? random.uniform(0.9, 0.9999) : random.uniform(0.0, 0.5);
    report.scene("%d queries, %d visible, head_dim %d, %.3f dropped", shape.queries, shape.visible, shape.head_dim, dropped);
    check<std::uint16_t>(random, shape, kinds[turn % 4], &Kernels::attend_bf16, dropped);
  }
}

}  // namespace gpt2lab::tests
