// Weights packed for the kernels, all in one arena whose layout depends on the model's shape and precision alone, so that
// it can be written to a file as it is and mapped again.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/kernels.h"
#include "memory.h"

namespace gpt2lab {

// Changes whenever the same weights would be packed into other bytes.
constexpr int kPackingVersion = 2;

enum class Precision { fp32, bf16, int8, int4 };

// One block of memory that tensors take their places in, and then either own memory or someone else's, read only.
class Arena {
 public:
  // Sets `bytes` aside and returns where they will lie. Before allocate() or adopt().
  std::size_t take(std::size_t bytes);

  void allocate();
  void adopt(const std::byte* memory) { base_ = memory; }

  std::size_t size() const { return size_; }
  bool owned() const { return own_.size() > 0; }
  const std::byte* data() const { return base_; }
  std::byte* writable() { return own_.data(); }

 private:
  std::size_t size_ = 0;
  Array<std::byte> own_;
  const std::byte* base_ = nullptr;
};

// A vector or table of floats in the arena.
class Floats {
 public:
  void lay_out(Arena& arena, std::size_t size);
  void fill(Arena& arena, const float* from) const;
  const float* in(const Arena& arena) const { return reinterpret_cast<const float*>(arena.data() + offset_); }

 private:
  std::size_t offset_ = 0, size_ = 0;
};

// Activations as a product reads them; which members are used depends on the precision.
struct Inputs {
  const float* f32 = nullptr;  // (m, stride)
  std::ptrdiff_t stride = 0;
  const std::uint16_t* bf16 = nullptr;
  Rows8 quantized = {};
};

// Memory for the rows of a product in any precision.
class RowBuffer {
 public:
  // For up to `rows` rows of up to `width` values.
  void reserve(Precision precision, int rows, int width);

  std::uint16_t* bf16() { return reinterpret_cast<std::uint16_t*>(bytes_.data()); }
  std::int8_t* int8() { return reinterpret_cast<std::int8_t*>(bytes_.data()); }
  float* scale() { return scale_.data(); }
  std::int32_t* sum() { return sum_.data(); }

 private:
  Array<std::byte> bytes_;
  Array<float> scale_;
  Array<std::int32_t> sum_;
};

// y = x W + b with W packed in panels of kPanel output columns; see kernels.h for the layout of each precision.
class Linear {
 public:
  void lay_out(Arena& arena, int in, int out, bool bias, Precision precision);

  // Packs the panels first..last-1. `weight` holds (in, out) when `out_major` is false, as a checkpoint's linear layers do,
  // and (out, in) when it is true, as its embeddings do. `importance`, when not null, says how much an error in the weights
  // of each input matters (int4 only).
  void pack(Arena& arena, const float* weight, bool out_major, const float* importance, int first, int last) const;
  void set_bias(Arena& arena, const float* bias) const;

  int in() const { return in_; }
  int out() const { return out_; }
  int panels() const { return round_up(out_, kPanel) / kPanel; }
  int stride() const { return round_up(out_, kPanel); }  // floats between rows of an output
  bool exists() const { return in_ > 0; }
  std::size_t bytes() const { return panel_bytes() * static_cast<std::size_t>(panels()); }

  // Adds the weights of output `row` to out[0 .. in-1]: the embedding that is tied to this layer.
  void add_row(const Arena& arena, int row, float* out) const;

  // Row r of a product's input, from floats.
  void prepare(const Kernels& kernels, const float* from, RowBuffer& to, int r) const;
  Inputs prepared(RowBuffer& rows) const;

  void apply(const Arena& arena, const Kernels& kernels, const Inputs& inputs, int m, float* y, Activation activation, bool add,
             int first, int last) const;

 private:
  std::size_t panel_bytes() const;
  int groups() const;
  template <class T>
  const T* at(const Arena& arena, std::size_t offset) const { return reinterpret_cast<const T*>(arena.data() + offset); }

  int in_ = 0, out_ = 0, in_padded_ = 0;
  Precision precision_ = Precision::fp32;
  bool has_bias_ = false;
  std::size_t weights_ = 0, scales_ = 0, bias_ = 0;  // offsets in the arena
};

}  // namespace gpt2lab
