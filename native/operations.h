// What training on a CPU spends its time on beside products, by the engine's kernels: layer norm, GELU, softmax, and causal
// attention in bf16.
//
// Works on memory that PyTorch owns. Threads divide heads, rows and stretches of elements; no sum depends on how many they are.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"
#include "memory.h"
#include "threads.h"

namespace gpt2lab {

// Queries, keys and values of `rows` texts as one layer's c_attn gives them: (rows, positions, 3, heads, head_dim).
struct AttentionShape {
  int rows, positions, heads, head_dim;
  float scale;
  std::ptrdiff_t width() const { return static_cast<std::ptrdiff_t>(heads) * head_dim; }
};

// Which share of numbers, or of attention's weights, is dropped, in [0, 1), and what the choice follows from, beside the number's
// place, or text, head, query and key.
struct Drop {
  double share = 0.0;
  std::uint64_t seed = 0;
};

struct NormShape {
  int rows, width;
  float epsilon;
};

class Operations {
 public:
  Operations(const Kernels& kernels, int threads);

  // Whether attention() and attention_gradient() can be computed, and for heads of this width.
  bool has_attention(int head_dim) const { return kernels_.attend_gradient && head_dim % kDepthBf16 == 0; }

  // Of a bf16 there are 65,536: its GELU and the slope there are looked up.
  template <class Element>
  void gelu(const Element* x, std::ptrdiff_t n, Element* y);
  template <class Element>
  void gelu_gradient(const Element* x, const Element* upstream, std::ptrdiff_t n, Element* out);

  // y (rows, width) = layer norm of the rows of x, rounded.
  void layer_norm(const NormShape& shape, const float* x, const float* gain, const float* bias, std::uint16_t* y);

  // The gradients of x and of (gain, bias), one behind the other, from that of y.
  void layer_norm_gradient(const NormShape& shape, const float* x, const float* gain, const std::uint16_t* upstream, float* d_x, float* d_gain_bias);

  // out = what `drop` leaves of x, divided by the share that stays.
  template <class Element>
  void drop(const Element* x, std::ptrdiff_t n, const Drop& drop, Element* out);

  void add(const float* x, const std::uint16_t* y, std::ptrdiff_t n, float* out);  // out = x + y

  // total (width) = the sums of the columns of x (rows, width).
  void sum_columns(const std::uint16_t* x, int rows, int width, float* total);

  // Each row of x (rows, width) becomes exp(x - highest), highest being its largest number, and sum their sum.
  template <class Element>
  void exponentials(Element* x, int rows, int width, float* highest, float* sum);

  // out (rows, positions, heads, head_dim) and log_sum (rows, heads, positions), that of all weights, from qkv. `related`, when not
  // null, is (rows, heads, positions, positions), a matrix of AttendGradient for each head.
  void attention(const AttentionShape& shape, const Drop& drop, const std::uint16_t* qkv, const std::uint16_t* related, std::uint16_t* out, float* log_sum);

  // The gradients of qkv and `related` from that of out, which was made with the same `drop`.
  void attention_gradient(const AttentionShape& shape, const Drop& drop, const std::uint16_t* qkv, const std::uint16_t* related, const std::uint16_t* out,
                          const float* log_sum, const std::uint16_t* upstream, std::uint16_t* d_qkv, std::uint16_t* d_related);

 private:
  // Calls work(scratch, row, head, dropout) for every head of every text; `dropout` is null where nothing is dropped.
  template <class Work>
  void each_head(const AttentionShape& shape, const Drop& drop, const Work& work);

  void attend_related(const Attend& job, const std::uint16_t* related, float* bias) const;

  // Calls work(first, last, sums) for every kPartRows rows, with `size` sums that begin at zero, and adds these up in order.
  template <class Work>
  void sum_over_rows(int rows, std::ptrdiff_t size, float* total, const Work& work);

  template <class Work>
  void each_row(int rows, const Work& work);

  template <class Work>
  void each_stretch(std::ptrdiff_t n, const Work& work);

  const Kernels& kernels_;
  Team team_;
  std::vector<Array<std::byte>> scratch_;  // one for each thread
  Array<float> gelu_, slope_;              // of every bf16
  Array<float> sums_;                      // of sum_over_rows()
};

}  // namespace gpt2lab
