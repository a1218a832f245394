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
constexpr int kQuad = 4;            // int8 weights are packed four inputs deep

constexpr int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

enum class Activation : int { none, gelu_tanh, gelu_erf, relu, silu, tanh };

// What happens to a finished product before it is stored.
struct Epilogue {
  const float* bias;      // one per output column, padded to whole panels; null for none
  Activation activation;
  bool add;               // add to what the output holds (a residual) instead of overwriting it
};

// y[m, panel columns] = epilogue(x[m, k] . packed weights), for the panels first..last-1.
struct ProductF32 {
  const float* x;         // (m, ldx)
  std::ptrdiff_t ldx;
  int m, k;
  const float* weights;   // [panel][k][kPanel]
  float* y;               // (m, ldy); ldy is a multiple of kPanel
  std::ptrdiff_t ldy;
  Epilogue epilogue;
};

struct ProductI8 {
  const std::uint8_t* x;  // (m, ldx): round(value / scale) + 128
  std::ptrdiff_t ldx;
  const float* x_scale;   // (m)
  int m, k;               // k is a multiple of kQuad, padded with zero weights
  const std::int8_t* weights;     // [panel][k / kQuad][kPanel][kQuad]
  const float* w_scale;           // one per output column
  const std::int32_t* w_sum;      // sum of each column's quantised weights
  float* y;
  std::ptrdiff_t ldy;
  Epilogue epilogue;
};

// One query against the keys and values of one head.
struct Attend {
  const float* query;             // (head_dim)
  const float* const* pages;      // base address of each page of the cache
  std::ptrdiff_t key_offset;      // of this layer's and head's keys in a page: [kPage / kLanes][head_dim][kLanes]
  std::ptrdiff_t value_offset;    // of its values: [kPage][value_stride]
  int visible;                    // positions 0 .. visible-1 are attended to
  int head_dim;
  int value_stride;               // head_dim rounded up to kLanes
  float scale;                    // of query . key
  float* scores;                  // scratch, `visible` rounded up to kPage
  float* out;                     // (head_dim)
};

struct RowStats {
  float max;
  double log_sum_exp;
  double entropy;         // nats
};

struct Kernels {
  const char* name;
  void (*product_f32)(const ProductF32&, int first, int last);
  void (*product_i8)(const ProductI8&, int first, int last);
  // q = round(x * 127 / max|x|) + 128, scale = max|x| / 127; the tail up to k_padded is filled with 128.
  void (*quantize_row)(const float* x, int k, int k_padded, std::uint8_t* q, float* scale);
  void (*layer_norm)(const float* x, const float* gain, const float* bias, float epsilon, int n, float* y);
  void (*attend)(const Attend&);
  // Largest value of each block of kPanel values; n is a multiple of kPanel.
  void (*block_max)(const float* x, int n, float* out);
  // Softmax statistics of a row of n values; `out_exp`, when not null, receives exp(x - max).
  RowStats (*row_stats)(const float* x, int n, float* out_exp);
  // out[i] = exp(x[i] - shift)
  void (*exp_shifted)(const float* x, int n, float shift, float* out);
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
#endif

}  // namespace gpt2lab
