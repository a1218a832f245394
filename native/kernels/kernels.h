// The kernel table: every inner loop of the engine, one implementation per instruction set, chosen at run time.
//
// All implementations compute the same bits. Vectors are sixteen floats wide on every path, fused multiply-add is used
// on every path, and each sum has one order that depends on neither the vector registers, the batch nor the threads:
//   * a matrix product adds over k strictly upwards, one accumulator per output element;
//   * a reduction keeps sixteen partial sums (element i goes to sum i mod 16) and folds them 8, 4, 2, 1;
//   * integer sums are exact.
//
// This header is included by files compiled for different instruction sets, so it must stay free of inline code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gpt2lab {

constexpr int kLanes = 16;          // floats in the vector that every path works with
constexpr int kPanel = 64;          // output columns that a packed weight panel holds side by side
constexpr int kPage = 32;           // positions in one page of a key/value cache; a multiple of kLanes
constexpr int kQuad = 4;            // int8 and int4 weights are packed four inputs deep
constexpr int kDepthBf16 = 32;      // inputs whose bf16 products are summed before they join the total; k is padded to it
constexpr int kDepthI8 = 64;        // k of an int8 product is padded to it
constexpr int kGroupI8 = 256;       // inputs that share one scale in the rows of an int8 product (the last group may be short)
constexpr int kGroupI4 = 32;        // the same in an int4 product, whose weights share a scale over the same inputs
constexpr int kOffsetI8 = 128;      // int8 weights are stored with it added, int4 weights with
constexpr int kOffsetI4 = 8;
constexpr int kSpareRows = 31;      // rows behind the last that a product may read (and ignore)

constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

enum class Activation : int { none, gelu_tanh, gelu_erf, relu, silu, tanh };

// What happens to a finished product before it is stored.
struct Epilogue {
  const float* bias;      // one per output column, padded to whole panels; null for none
  Activation activation;
  bool add;               // add to what the output holds (a residual) instead of overwriting it
};

// y[m, panel columns] = epilogue(x[m, k] . packed weights), for the panels first..last-1.
struct Output {
  float* y;               // (m, ldy); ldy is a multiple of kPanel
  std::ptrdiff_t ldy;
  Epilogue epilogue;
};

struct ProductF32 {
  const float* x;         // (m, ldx)
  std::ptrdiff_t ldx;
  int m, k;
  const float* weights;   // [panel][k][kPanel]
  Output out;
};

// bf16 times bf16 is exact in float. Each kDepthBf16 inputs make two sums from zero, of the even and of the odd inputs;
// the two are added, and their sum to the total. That is how AMX adds, and so every path does; only what falls below the
// normal range on the way is lost to AMX and kept by the others.
struct ProductBf16 {
  const std::uint16_t* x; // (m, k)
  int m, k;               // k is a multiple of kDepthBf16, padded with zeros
  const std::uint16_t* weights;   // [panel][k / 2][kPanel][2]
  Output out;
};

// Quantised rows: value = q * scale of its group.
struct Rows8 {
  const std::int8_t* q;   // (m, k)
  const float* scale;     // (m, groups)
  const std::int32_t* sum;        // (m, groups): sum of q over the group
  int groups;
};

struct ProductI8 {
  Rows8 x;                // in groups of kGroupI8
  int m, k;               // k is a multiple of kDepthI8, padded with zero inputs
  const std::uint8_t* weights;    // [panel][k / kQuad][kPanel][kQuad], 1 … 255: -128 would have no opposite
  const float* w_scale;           // one per output column
  Output out;
};

struct ProductI4 {
  Rows8 x;                // in groups of kGroupI4
  int m, k;               // k is a multiple of kGroupI4
  const std::uint8_t* weights;    // [panel][group]: kPanel float16 scales, then [4][kPanel][kQuad] bytes of two weights each:
  Output out;                     // in byte row i the low halves are quad 2 i of the group, the high halves quad 2 i + 1
};
constexpr std::size_t kScalesI4 = kPanel * 2;
constexpr std::size_t kGroupBytesI4 = kScalesI4 + kPanel * kGroupI4 / 2;

// Dropout (Srivastava et al. 2014) of the weights of attention, each stretch of numbers being one query of it: see dropout.inl.
struct Dropout {
  const std::uint32_t *first, *second;  // two random words for each query, up to a multiple of 32
  std::uint32_t threshold;              // 2^32 times the probability of being dropped
  float scale;                          // of what stays: 1 / (1 - probability)
};

// What keys and values are kept as.
enum class CacheFormat : int { fp32, bf16, int8 };

// Consecutive queries of one sequence against the keys and values of one head. A page holds
//   as floats   keys [kPage / kLanes][head_dim][kLanes], values [kPage][value_stride]
//   as bf16     keys [depth / 2][kPage][2], values [kPage / 2][value_stride][2], depth being head_dim padded with zeros to a
//               multiple of kDepthBf16: either is a panel of weights for ProductBf16, and its sums are those of ProductBf16 with
//               queries and softmax weights rounded to bf16. Values of positions not yet visible must be finite.
//   as int8     keys [depth / kQuad][kPage][kQuad] with kOffsetI8 added, depth being head_dim rounded up to kDepthI8, then a float
//               scale for each position, then those of the values, which are [kPage][value_stride]: a number is its byte times the
//               scale. What lies behind head_dim may be anything. Queries are quantised likewise, so that query . key is an exact integer
//               sum times two scales; softmax weights, times the scale of the value, are rounded to bf16, and the sums over
//               positions are those of ProductBf16. Scales of the values of positions not yet visible must be finite.
struct Attend {
  const float* query;             // (queries, query_stride), head_dim of each row
  std::ptrdiff_t query_stride;
  int queries;
  const void* const* pages;       // base address of each page of the cache
  std::ptrdiff_t key_offset;      // of this layer's and head's keys in a page, in elements (bytes of int8)
  std::ptrdiff_t value_offset;    // of its values
  int visible;                    // the first query sees positions 0 .. visible-1, each next one a position more
  int head_dim;
  int value_stride;               // head_dim rounded up to kLanes, or kDepthBf16 in a bf16 cache: elements from one position, or pair of them, to the next
  float scale;                    // of query . key
  float* scores;                  // scratch: kQueryRows rows of score_stride
  std::ptrdiff_t score_stride;    // at least `visible` of the last query rounded up to kPage
  void* rounded;                  // scratch of attend_bytes(), aligned to 64
  float* out;                     // (queries, out_stride), head_dim of each row
  std::ptrdiff_t out_stride;
  float* log_sum = nullptr;       // when not null, (queries): the logarithm of the sum of exp(scores) of each
  const Dropout* dropout = nullptr;  // of the weights, after they were divided by their sum; tables with attend_gradient only
  const float* bias = nullptr;    // when not null, (queries, bias_stride): added to query . key, of each position
  std::ptrdiff_t bias_stride = 0; // at least score_stride
};
constexpr int kQueryRows = 32;

// Bytes of Attend::rounded. Of bf16: kQueryRows rows of queries and of softmax weights. Of int8 the same, and what a tile unit takes
// from the pages: all values, as bf16, and the scales of keys and values.
constexpr std::size_t attend_bytes(CacheFormat format, int head_dim, int score_stride) {
  const auto positions = static_cast<std::size_t>(score_stride);
  if (format == CacheFormat::bf16) return (static_cast<std::size_t>(round_up(head_dim, kDepthBf16)) + positions) * kQueryRows * 2;
  if (format == CacheFormat::fp32) return 0;
  return static_cast<std::size_t>(round_up(head_dim, kDepthI8)) * kQueryRows + positions * (kQueryRows * 2 + static_cast<std::size_t>(round_up(head_dim, kDepthBf16)) * 2 + 8);
}

// The gradient of causal attention, the first query seeing one position. Everything is bf16, (positions, head_dim) in rows
// `stride` or `out_stride` apart; head_dim is a multiple of kDepthBf16.
struct AttendGradient {
  const std::uint16_t *query, *keys, *values;
  std::ptrdiff_t stride;
  const std::uint16_t *out, *upstream;
  std::ptrdiff_t out_stride;
  const float* log_sum;           // (positions), see Attend
  int positions, head_dim;
  float scale;
  std::uint16_t *d_query, *d_keys, *d_values;  // rows `stride` apart
  void* scratch;                  // attend_gradient_bytes(), aligned to 64
  const Dropout* dropout = nullptr;  // as in Attend; `out` was made with it
  // When not null, (positions, positions): what each query adds to its scores for distances, the farthest first, before they are
  // scaled; and its gradient, but for the scale. Query i has distance i - j at positions - 1 - i + j.
  const std::uint16_t* related = nullptr;
  std::uint16_t* d_related = nullptr;
};
constexpr std::size_t attend_gradient_bytes(int positions, int head_dim) {
  const auto padded = static_cast<std::size_t>(round_up(positions, 32)), depth = static_cast<std::size_t>(head_dim);
  return padded * depth * 12 + depth * (padded + 32) * 2 + depth * 32 * 14 + 32 * 32 * 18 + depth * 4 + 32 * 12 + 21 * 64;
}

struct RowStats {
  float max;
  double log_sum_exp;
  double entropy;         // nats
};

struct Kernels {
  const char* name;
  void (*product_f32)(const ProductF32&, int first, int last);
  void (*product_bf16)(const ProductBf16&, int first, int last);
  void (*product_i8)(const ProductI8&, int first, int last);
  void (*product_i4)(const ProductI4&, int first, int last);
  // Per group: scale = max|x| / 127, q = round(x / scale), or 0 where max|x| is at most 2^-100. The tail up to k_padded is
  // zero. Inputs that are infinite or not a number make the row's first scale not a number.
  void (*quantize_row)(const float* x, int k, int k_padded, int group, std::int8_t* q, float* scale, std::int32_t* sum);
  // To the nearest bf16, ties to even; values below the normal range become 0. The tail up to k_padded is zero.
  void (*round_row)(const float* x, int k, int k_padded, std::uint16_t* out);
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float epsilon, int n, float* y);
  void (*attend_f32)(const Attend&);
  void (*attend_bf16)(const Attend&);
  void (*attend_i8)(const Attend&);
  // Largest value of each block of kPanel values; n is a multiple of kPanel.
  void (*block_max)(const float* x, int n, float* out);
  // Softmax statistics of a row of n values; `out_exp`, when not null, receives exp(x - max).
  RowStats (*row_stats)(const float* x, int n, float* out_exp);
  // out[i] = exp(x[i] - shift)
  void (*exp_shifted)(const float* x, int n, float shift, float* out);
  // For training: GELU in its tanh form, and upstream times its derivative.
  void (*gelu_f32)(const float* x, std::ptrdiff_t n, float* y);
  void (*gelu_gradient_f32)(const float* x, const float* upstream, std::ptrdiff_t n, float* out);
  // y[i] = table[bits of x[i]], rounded; and the same times factor[i].
  void (*look_up)(const std::uint16_t* x, const float* table, std::ptrdiff_t n, std::uint16_t* y);
  void (*look_up_times)(const std::uint16_t* x, const float* table, const std::uint16_t* factor, std::ptrdiff_t n, std::uint16_t* y);
  void (*add_half)(const float* x, const std::uint16_t* y, std::ptrdiff_t n, float* out);  // out = x + y
  // total[i] += the sum of column i of x (rows, n).
  void (*sum_columns)(const std::uint16_t* x, int rows, int n, float* total);
  // For a row: d_x, and what is added to the gradients of gain and bias.
  void (*layer_norm_gradient)(const float* x, const std::uint16_t* upstream, const float* gain, float epsilon, int n, float* d_x, float* d_gain, float* d_bias);
  // In place, x[i] = exp(x[i] - max), the row's largest value, which goes to `highest`; returns their sum.
  float (*exponentials_f32)(float* x, int n, float* highest);
  float (*exponentials_bf16)(std::uint16_t* x, int n, float* highest);
  // Each of n numbers becomes 0 or `scale` times itself.
  void (*drop_f32)(const float* x, const Dropout& dropout, std::ptrdiff_t n, float* out);
  void (*drop_bf16)(const std::uint16_t* x, const Dropout& dropout, std::ptrdiff_t n, std::uint16_t* out);
  void (*attend_gradient)(const AttendGradient&);  // null without a tile unit
};

// Names of the instruction sets this build has and this processor can run, best first.
struct IsaList {
  const char* names[8];
  int count;
};
IsaList available_isas();

// The table for a name of `available_isas()`, or null.
const Kernels* find_kernels(const char* name);

extern const Kernels kPortable;
#if defined(GPT2LAB_X86)
extern const Kernels kAvx2;
extern const Kernels kAvx512;
extern const Kernels kAmx;
#endif

}  // namespace gpt2lab
