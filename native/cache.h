// Keys and values of one sequence, in pages that several sequences may share.
//
// A fork shares every page; a page is copied when one of its owners writes to it. Knows nothing of tokens.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "memory.h"

namespace gpt2lab {

struct CacheShape {
  int n_layer, n_head, head_dim;

  bool operator==(const CacheShape& other) const {
    return n_layer == other.n_layer && n_head == other.n_head && head_dim == other.head_dim;
  }
  int value_stride() const { return round_up(head_dim, kLanes); }
  std::ptrdiff_t head_floats() const { return static_cast<std::ptrdiff_t>(head_dim + value_stride()) * kPage; }
  std::ptrdiff_t page_floats() const { return head_floats() * n_head * n_layer; }
  std::ptrdiff_t key_offset(int layer, int head) const { return (static_cast<std::ptrdiff_t>(layer) * n_head + head) * head_floats(); }
  std::ptrdiff_t value_offset(int layer, int head) const { return key_offset(layer, head) + static_cast<std::ptrdiff_t>(head_dim) * kPage; }
};

class Cache {
 public:
  explicit Cache(CacheShape shape) : shape_(shape) {}

  int length() const { return length_; }
  const CacheShape& shape() const { return shape_; }
  std::size_t bytes() const { return pages_.size() * static_cast<std::size_t>(shape_.page_floats()) * 4; }

  // Address and bytes of each page; forks name the pages that they share alike.
  std::vector<std::pair<std::uintptr_t, std::size_t>> pages() const;

  // Forgets every position from `length` on.
  void crop(int length);

  // Makes room for `count` more positions in pages of this cache's own and counts them in; the model then fills them.
  void extend(int count);

  // Writes the key and value of one head at `position`, which extend() has made room for.
  void write(int layer, int head, int position, const float* key, const float* value);

  const float* const* page_table() const { return table_.data(); }

 private:
  using Page = Array<float>;

  CacheShape shape_;
  int length_ = 0;
  std::vector<std::shared_ptr<Page>> pages_;
  std::vector<float*> table_;
};

}  // namespace gpt2lab
