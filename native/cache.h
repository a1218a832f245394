// Keys and values of one sequence, in pages that several sequences may share.
//
// A fork shares every page. The first of its owners to go on behind what is written does so in place, which changes nothing for the
// others; where one of them writes what another one has, the page is copied. Pages that are let go of wait for the next
// text: a fresh one costs the system more time than the model takes to fill it. Knows nothing of tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/kernels.h"
#include "memory.h"

namespace gpt2lab {

// What a page holds for each layer and head: keys, then values, laid out as kernels.h says under Attend. Offsets are in
// elements, those of int8 in bytes.
struct CacheShape {
  int n_layer, n_head, head_dim;
  CacheFormat format;

  bool operator==(const CacheShape& other) const {
    return n_layer == other.n_layer && n_head == other.n_head && head_dim == other.head_dim && format == other.format;
  }
  int element_bytes() const { return format == CacheFormat::fp32 ? 4 : format == CacheFormat::bf16 ? 2 : 1; }
  int key_depth() const {
    return format == CacheFormat::fp32 ? head_dim : round_up(head_dim, format == CacheFormat::bf16 ? kDepthBf16 : kDepthI8);
  }
  int value_stride() const { return round_up(head_dim, format == CacheFormat::bf16 ? kDepthBf16 : kLanes); }
  int scale_elements() const { return format == CacheFormat::int8 ? 2 * static_cast<int>(sizeof(float)) : 0; }  // of a key and value
  std::ptrdiff_t key_elements() const { return static_cast<std::ptrdiff_t>(key_depth() + scale_elements()) * kPage; }
  std::ptrdiff_t value_elements() const { return static_cast<std::ptrdiff_t>(value_stride()) * kPage; }
  std::ptrdiff_t head_elements() const { return key_elements() + value_elements(); }
  std::size_t page_bytes() const { return static_cast<std::size_t>(head_elements() * n_head * n_layer * element_bytes()); }
  std::ptrdiff_t key_offset(int layer, int head) const { return (static_cast<std::ptrdiff_t>(layer) * n_head + head) * head_elements(); }
  std::ptrdiff_t value_offset(int layer, int head) const { return key_offset(layer, head) + key_elements(); }
};

// Where the caches of a model take their pages from. Pages may outlive it; any thread may take them and let go of them.
class PagePool : public std::enable_shared_from_this<PagePool> {
 public:
  struct Page {
    Array<std::byte> memory;
    int filled = 0;  // positions that somebody has written; forward() alone looks here, one text after another
  };

  // `kept`: how many pages that nobody uses may wait.
  PagePool(std::size_t page_bytes, std::size_t kept) : page_bytes_(page_bytes), kept_(kept) {}

  // A page with whatever its last user left in it.
  std::shared_ptr<Page> take();
  std::size_t waiting() const;

 private:
  void give(std::unique_ptr<Page> page);

  const std::size_t page_bytes_, kept_;
  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Page>> waiting_;
};

class Cache {
 public:
  Cache(CacheShape shape, std::shared_ptr<PagePool> pool) : shape_(shape), pool_(std::move(pool)) {}

  int length() const { return length_; }
  const CacheShape& shape() const { return shape_; }
  Cache empty() const { return Cache(shape_, pool_); }
  std::size_t bytes() const { return pages_.size() * shape_.page_bytes(); }

  // Address and bytes of each page; forks name the pages that they share alike.
  std::vector<std::pair<std::uintptr_t, std::size_t>> pages() const;

  // Forgets every position from `length` on.
  void crop(int length);

  // Makes room for `count` more positions in pages of this cache's own and counts them in; the model then fills them.
  void extend(int count);

  // Writes the key and value of one head at `position`, which extend() has made room for. `scratch`: attend_bytes(),
  // aligned to 2.
  void write(const Kernels& kernels, int layer, int head, int position, const float* key, const float* value, void* scratch);

  const void* const* page_table() const { return table_.data(); }

 private:
  using Page = PagePool::Page;

  CacheShape shape_;
  std::shared_ptr<PagePool> pool_;
  int length_ = 0;
  std::vector<std::shared_ptr<Page>> pages_;
  std::vector<void*> table_;
};

}  // namespace gpt2lab
