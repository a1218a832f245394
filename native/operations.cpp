#include "operations.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "random.h"

namespace gpt2lab {
namespace {

constexpr std::ptrdiff_t kStretch = 16384;  // elements that a thread takes at once
constexpr int kPartRows = 128;              // rows that are summed one after another, whoever does it
constexpr std::size_t kHalves = 65536;      // values of a bf16
constexpr int kBriefly = 200;               // spins before sleep: other threads than these want the processors in between

// Where one head's part of the scratch of attention() lies: pages of keys and values, queries and outputs as floats, and what
// Attend asks for.
struct ForwardScratch {
  std::uint16_t *pages, *rounded;
  float *query, *out, *scores, *bias;
  const void** table;
  std::ptrdiff_t page, score_stride;

  static std::size_t bytes(int positions, int head_dim) {
    const auto padded = static_cast<std::size_t>(round_up(positions, kPage)), depth = static_cast<std::size_t>(head_dim);
    return padded * depth * (4 + 4 + 4) + (padded + kPage) * kQueryRows * 10 + depth * kQueryRows * 2 + padded / kPage * sizeof(void*) + 9 * 64;
  }
  ForwardScratch(std::byte* at, int positions, int head_dim) {
    const auto padded = static_cast<std::size_t>(round_up(positions, kPage)), depth = static_cast<std::size_t>(head_dim);
    const auto take = [&](std::size_t size) {
      std::byte* here = at;
      at += (size + 63) / 64 * 64;
      return here;
    };
    page = static_cast<std::ptrdiff_t>(2 * depth) * kPage;
    score_stride = static_cast<std::ptrdiff_t>(padded) + kPage;
    pages = reinterpret_cast<std::uint16_t*>(take(padded * depth * 4));
    query = reinterpret_cast<float*>(take(padded * depth * 4));
    out = reinterpret_cast<float*>(take(padded * depth * 4));
    scores = reinterpret_cast<float*>(take((padded + kPage) * kQueryRows * 4));
    bias = reinterpret_cast<float*>(take((padded + kPage) * kQueryRows * 4));
    rounded = reinterpret_cast<std::uint16_t*>(take((padded + kPage + depth) * kQueryRows * 2));
    table = reinterpret_cast<const void**>(take(padded / kPage * sizeof(void*)));
    for (std::size_t i = 0; i < padded / kPage; ++i) table[i] = pages + static_cast<std::ptrdiff_t>(i) * page;
  }
};

float widened(std::uint16_t half) {
  const std::uint32_t bits = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

}  // namespace

Operations::Operations(const Kernels& kernels, int threads) : kernels_(kernels), team_(threads, kBriefly), scratch_(static_cast<std::size_t>(team_.size())), gelu_(kHalves), slope_(kHalves) {
  std::vector<float> values(kHalves), ones(kHalves, 1.0f);
  for (std::size_t i = 0; i < kHalves; ++i) values[i] = widened(static_cast<std::uint16_t>(i));
  kernels_.gelu_f32(values.data(), kHalves, gelu_.data());
  kernels_.gelu_gradient_f32(values.data(), ones.data(), kHalves, slope_.data());
}

template <class Work>
void Operations::each_stretch(std::ptrdiff_t n, const Work& work) {
  const auto count = static_cast<int>((n + kStretch - 1) / kStretch);
  team_.run([&](int rank) {
    team_.divide(rank, count, [&](int first, int last) {
      const std::ptrdiff_t start = first * kStretch;
      work(start, std::min(n, last * kStretch) - start);
    });
  });
}

template <class Work>
void Operations::each_row(int rows, const Work& work) {
  team_.run([&](int rank) {
    team_.divide(rank, rows, [&](int first, int last) {
      for (int r = first; r < last; ++r) work(r);
    });
  });
}

template <>
void Operations::gelu(const float* x, std::ptrdiff_t n, float* y) {
  each_stretch(n, [&](std::ptrdiff_t at, std::ptrdiff_t count) { kernels_.gelu_f32(x + at, count, y + at); });
}
template <>
void Operations::gelu(const std::uint16_t* x, std::ptrdiff_t n, std::uint16_t* y) {
  each_stretch(n, [&](std::ptrdiff_t at, std::ptrdiff_t count) { kernels_.look_up(x + at, gelu_.data(), count, y + at); });
}
template <>
void Operations::gelu_gradient(const float* x, const float* upstream, std::ptrdiff_t n, float* out) {
  each_stretch(n, [&](std::ptrdiff_t at, std::ptrdiff_t count) { kernels_.gelu_gradient_f32(x + at, upstream + at, count, out + at); });
}
template <>
void Operations::gelu_gradient(const std::uint16_t* x, const std::uint16_t* upstream, std::ptrdiff_t n, std::uint16_t* out) {
  each_stretch(n, [&](std::ptrdiff_t at, std::ptrdiff_t count) { kernels_.look_up_times(x + at, slope_.data(), upstream + at, count, out + at); });
}

namespace {

Dropout dropout_of(const Drop& drop, const std::uint32_t* first, const std::uint32_t* second) {
  return {first, second, static_cast<std::uint32_t>(std::ldexp(drop.share, 32)), static_cast<float>(1.0 / (1.0 - drop.share))};
}

// Calls work(at, count, dropout) for every stretch of a part, each with random words of its own.
template <class Work>
void drop_stretches(const Drop& drop, std::ptrdiff_t at, std::ptrdiff_t count, const Work& work) {
  for (const std::ptrdiff_t end = at + count; at < end; at += kStretch) {
    const Words words = philox(drop.seed, 0, static_cast<std::uint64_t>(at / kStretch));
    work(at, std::min(kStretch, end - at), dropout_of(drop, &words.first, &words.second));
  }
}

}  // namespace

template <>
void Operations::drop(const float* x, std::ptrdiff_t n, const Drop& drop, float* out) {
  each_stretch(n, [&](std::ptrdiff_t start, std::ptrdiff_t size) {
    drop_stretches(drop, start, size, [&](std::ptrdiff_t at, std::ptrdiff_t count, const Dropout& dropout) { kernels_.drop_f32(x + at, dropout, count, out + at); });
  });
}
template <>
void Operations::drop(const std::uint16_t* x, std::ptrdiff_t n, const Drop& drop, std::uint16_t* out) {
  each_stretch(n, [&](std::ptrdiff_t start, std::ptrdiff_t size) {
    drop_stretches(drop, start, size, [&](std::ptrdiff_t at, std::ptrdiff_t count, const Dropout& dropout) { kernels_.drop_bf16(x + at, dropout, count, out + at); });
  });
}

void Operations::layer_norm(const NormShape& shape, const float* x, const float* gain, const float* bias, std::uint16_t* y) {
  for (auto& scratch : scratch_) scratch.at_least(static_cast<std::size_t>(shape.width) * sizeof(float));
  team_.run([&](int rank) {
    auto* const row = reinterpret_cast<float*>(scratch_[static_cast<std::size_t>(rank)].data());
    team_.divide(rank, shape.rows, [&](int first, int last) {
      for (std::ptrdiff_t r = first; r < last; ++r) {
        kernels_.layer_norm(x + r * shape.width, gain, bias, shape.epsilon, shape.width, row);
        kernels_.round_row(row, shape.width, shape.width, y + r * shape.width);
      }
    });
  });
}

template <class Work>
void Operations::sum_over_rows(int rows, std::ptrdiff_t size, float* total, const Work& work) {
  const int parts = (rows + kPartRows - 1) / kPartRows;
  sums_.at_least(static_cast<std::size_t>(parts * size));
  sums_.clear();
  team_.run([&](int rank) {
    team_.divide(rank, parts, [&](int first, int last) {
      for (int part = first; part < last; ++part) work(part * kPartRows, std::min(rows, (part + 1) * kPartRows), sums_.data() + part * size);
    });
  });
  for (std::ptrdiff_t i = 0; i < size; ++i) {
    double sum = 0.0;
    for (int part = 0; part < parts; ++part) sum += static_cast<double>(sums_.data()[part * size + i]);
    total[i] = static_cast<float>(sum);
  }
}

void Operations::layer_norm_gradient(const NormShape& shape, const float* x, const float* gain, const std::uint16_t* upstream, float* d_x, float* d_gain_bias) {
  const std::ptrdiff_t width = shape.width;
  sum_over_rows(shape.rows, 2 * width, d_gain_bias, [&](int first, int last, float* sums) {
    for (std::ptrdiff_t r = first; r < last; ++r)
      kernels_.layer_norm_gradient(x + r * width, upstream + r * width, gain, shape.epsilon, shape.width, d_x + r * width, sums, sums + width);
  });
}

void Operations::add(const float* x, const std::uint16_t* y, std::ptrdiff_t n, float* out) {
  each_stretch(n, [&](std::ptrdiff_t at, std::ptrdiff_t count) { kernels_.add_half(x + at, y + at, count, out + at); });
}

void Operations::sum_columns(const std::uint16_t* x, int rows, int width, float* total) {
  sum_over_rows(rows, width, total, [&](int first, int last, float* sums) {
    kernels_.sum_columns(x + static_cast<std::ptrdiff_t>(first) * width, last - first, width, sums);
  });
}

template <>
void Operations::exponentials(float* x, int rows, int width, float* highest, float* sum) {
  each_row(rows, [&](int r) { sum[r] = kernels_.exponentials_f32(x + static_cast<std::ptrdiff_t>(r) * width, width, highest + r); });
}
template <>
void Operations::exponentials(std::uint16_t* x, int rows, int width, float* highest, float* sum) {
  each_row(rows, [&](int r) { sum[r] = kernels_.exponentials_bf16(x + static_cast<std::ptrdiff_t>(r) * width, width, highest + r); });
}

template <class Work>
void Operations::each_head(const AttentionShape& shape, const Drop& drop, const Work& work) {
  const std::size_t bytes = std::max(ForwardScratch::bytes(shape.positions, shape.head_dim), attend_gradient_bytes(shape.positions, shape.head_dim));
  const auto padded = static_cast<std::size_t>(round_up(shape.positions, kPage));
  const std::size_t words_at = (bytes + 63) / 64 * 64;
  for (auto& scratch : scratch_) scratch.at_least(words_at + padded * 8);
  team_.run([&](int rank) {
    std::byte* const scratch = scratch_[static_cast<std::size_t>(rank)].data();
    auto* const words = reinterpret_cast<std::uint32_t*>(scratch + words_at);
    const Dropout dropout = dropout_of(drop, words, words + padded);
    team_.divide(rank, shape.rows * shape.heads, [&](int first, int last) {
      for (int i = first; i < last; ++i) {
        for (std::size_t query = 0; drop.share > 0.0 && query < padded; ++query) {
          const Words drawn = philox(drop.seed, static_cast<std::uint32_t>(query), static_cast<std::uint64_t>(i));
          words[query] = drawn.first;
          words[padded + query] = drawn.second;
        }
        work(scratch, i / shape.heads, i % shape.heads, drop.share > 0.0 ? &dropout : nullptr);
      }
    });
  });
}

// All queries of `job`, kQueryRows at a time, with what `related` adds to their scores; `bias` is scratch.
void Operations::attend_related(const Attend& job, const std::uint16_t* related, float* bias) const {
  const int positions = job.queries;
  for (int first = 0; first < positions; first += kQueryRows) {
    Attend part = job;
    part.queries = std::min(kQueryRows, positions - first);
    part.query += first * job.query_stride;
    part.out += first * job.out_stride;
    part.log_sum += first;
    part.visible += first;
    part.bias = bias;
    part.bias_stride = job.score_stride;
    Dropout dropout{};
    if (job.dropout) {
      dropout = *job.dropout;
      dropout.first += first;
      dropout.second += first;
      part.dropout = &dropout;
    }
    for (int q = 0; q < part.queries; ++q) {
      const int i = first + q;
      const std::uint16_t* row = related + static_cast<std::ptrdiff_t>(i) * positions + positions - 1 - i;
      for (int j = 0; j <= i; ++j) bias[q * job.score_stride + j] = widened(row[j]);
    }
    kernels_.attend_bf16(part);
  }
}

void Operations::attention(const AttentionShape& shape, const Drop& drop, const std::uint16_t* qkv, const std::uint16_t* related, std::uint16_t* out, float* log_sum) {
  const std::ptrdiff_t width = shape.width(), stride = 3 * width;
  const int depth = shape.head_dim;
  each_head(shape, drop, [&](std::byte* scratch, int row, int head, const Dropout* dropout) {
    const ForwardScratch at(scratch, shape.positions, depth);
    const std::uint16_t* query = qkv + row * shape.positions * stride + head * depth;
    std::memset(at.pages, 0, static_cast<std::size_t>(round_up(shape.positions, kPage)) * static_cast<std::size_t>(depth) * 4);
    for (int t = 0; t < shape.positions; ++t) {
      const std::uint16_t *q = query + t * stride, *k = q + width, *v = k + width;
      std::uint16_t* keys = at.pages + t / kPage * at.page + t % kPage * 2;  // as Attend wants them
      std::uint16_t* values = at.pages + t / kPage * at.page + static_cast<std::ptrdiff_t>(depth) * kPage + t % kPage / 2 * depth * 2 + t % 2;
      float* wide = at.query + static_cast<std::ptrdiff_t>(t) * depth;
      for (int d = 0; d < depth; ++d) wide[d] = widened(q[d]);
      for (int d = 0; d < depth; d += 2) std::memcpy(keys + d * kPage, k + d, 4);
      for (int d = 0; d < depth; ++d) values[d * 2] = v[d];
    }
    Attend job{at.query, depth, shape.positions, at.table, 0, static_cast<std::ptrdiff_t>(depth) * kPage, 1, depth, depth, shape.scale,
               at.scores, at.score_stride, at.rounded, at.out, depth};
    const std::ptrdiff_t number = row * shape.heads + head;
    job.log_sum = log_sum + number * shape.positions;
    job.dropout = dropout;
    if (related) attend_related(job, related + number * shape.positions * shape.positions, at.bias);
    else kernels_.attend_bf16(job);
    for (int t = 0; t < shape.positions; ++t)
      kernels_.round_row(at.out + static_cast<std::ptrdiff_t>(t) * depth, depth, depth, out + (static_cast<std::ptrdiff_t>(row) * shape.positions + t) * width + head * depth);
  });
}

void Operations::attention_gradient(const AttentionShape& shape, const Drop& drop, const std::uint16_t* qkv, const std::uint16_t* related,
                                    const std::uint16_t* out, const float* log_sum, const std::uint16_t* upstream, std::uint16_t* d_qkv,
                                    std::uint16_t* d_related) {
  const std::ptrdiff_t width = shape.width(), stride = 3 * width;
  each_head(shape, drop, [&](std::byte* scratch, int row, int head, const Dropout* dropout) {
    const std::ptrdiff_t at = row * shape.positions * stride + head * shape.head_dim, out_at = row * shape.positions * width + head * shape.head_dim;
    const std::ptrdiff_t square = static_cast<std::ptrdiff_t>(row * shape.heads + head) * shape.positions * shape.positions;
    kernels_.attend_gradient({qkv + at, qkv + at + width, qkv + at + 2 * width, stride, out + out_at, upstream + out_at, width,
                              log_sum + static_cast<std::ptrdiff_t>(row * shape.heads + head) * shape.positions, shape.positions, shape.head_dim,
                              shape.scale, d_qkv + at, d_qkv + at + width, d_qkv + at + 2 * width,
                              scratch, dropout, related ? related + square : nullptr, related ? d_related + square : nullptr});
  });
}

}  // namespace gpt2lab
