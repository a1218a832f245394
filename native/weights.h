// Weights packed for the kernels: once at load, then only read.
#pragma once

#include "kernels/kernels.h"
#include "memory.h"

namespace gpt2lab {

enum class Precision { fp32, int8 };

// y = x W + b with W packed in panels of kPanel output columns.
class Linear {
 public:
  // `weight` holds (in, out) when `out_major` is false, as a checkpoint's linear layers do, and (out, in) when it is
  // true, as its embeddings do. `bias` may be null.
  void pack(const float* weight, const float* bias, int in, int out, bool out_major, Precision precision);

  int in() const { return in_; }
  int out() const { return out_; }
  int panels() const { return round_up(out_, kPanel) / kPanel; }
  int stride() const { return round_up(out_, kPanel); }  // floats between rows of an output
  bool packed() const { return in_ > 0; }
  std::size_t bytes() const;

  // Adds the weights of output `row` to out[0 .. in-1]: the embedding that is tied to this layer.
  void add_row(int row, float* out) const;

  void apply_f32(const Kernels& kernels, const float* x, std::ptrdiff_t ldx, int m, float* y, Activation activation,
                 bool add, int first, int last) const;
  void apply_i8(const Kernels& kernels, const std::uint8_t* x, const float* x_scale, int m, float* y,
                Activation activation, bool add, int first, int last) const;

 private:
  Epilogue epilogue(Activation activation, bool add) const { return {bias_.data(), activation, add}; }

  int in_ = 0, out_ = 0, in_padded_ = 0;
  Precision precision_ = Precision::fp32;
  Array<float> f32_;
  Array<std::int8_t> i8_;
  Array<float> scale_;
  Array<std::int32_t> sum_;
  Array<float> bias_;
};

}  // namespace gpt2lab
