#include "cache.h"

#include <algorithm>
#include <cstring>

namespace gpt2lab {

std::shared_ptr<PagePool::Page> PagePool::take() {
  std::unique_ptr<Page> page;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!waiting_.empty()) {
      page = std::move(waiting_.back());
      waiting_.pop_back();
    }
  }
  if (!page) {
    page = std::make_unique<Page>();
    page->memory.take(page_bytes_);
  }
  return {page.release(), [pool = shared_from_this()](Page* left) { pool->give(std::unique_ptr<Page>(left)); }};
}

void PagePool::give(std::unique_ptr<Page> page) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (waiting_.size() < kept_) waiting_.push_back(std::move(page));
}

std::size_t PagePool::waiting() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return waiting_.size();
}

std::vector<std::pair<std::uintptr_t, std::size_t>> Cache::pages() const {
  std::vector<std::pair<std::uintptr_t, std::size_t>> out;
  for (const auto& page : pages_) out.emplace_back(reinterpret_cast<std::uintptr_t>(page.get()), bytes() / pages_.size());
  return out;
}

void Cache::crop(int length) {
  length_ = std::min(length_, std::max(length, 0));
  const std::size_t needed = static_cast<std::size_t>(round_up(length_, kPage) / kPage);
  pages_.resize(std::min(pages_.size(), needed));
  table_.resize(pages_.size());
}

void Cache::extend(int count) {
  const std::size_t first = static_cast<std::size_t>(length_ / kPage);
  const int begin = length_ % kPage;
  length_ += count;
  const std::size_t needed = static_cast<std::size_t>(round_up(length_, kPage) / kPage);
  for (std::size_t i = first; i < needed; ++i) {
    if (i >= pages_.size()) {
      pages_.push_back(pool_->take());
      table_.push_back(pages_.back()->memory.data());
    } else if (pages_[i].use_count() > 1 && pages_[i]->filled != begin) {
      auto own = pool_->take();
      std::memcpy(own->memory.data(), pages_[i]->memory.data(), own->memory.size());
      pages_[i] = std::move(own);
      table_[i] = pages_[i]->memory.data();
    }
    pages_[i]->filled = std::min(kPage, length_ - static_cast<int>(i) * kPage);
  }
}

namespace {

void place(float* page, const CacheShape& shape, int layer, int head, int slot, const float* key, const float* value) {
  float* keys = page + shape.key_offset(layer, head) + static_cast<std::ptrdiff_t>(slot / kLanes) * shape.head_dim * kLanes + slot % kLanes;
  for (int d = 0; d < shape.head_dim; ++d) keys[static_cast<std::ptrdiff_t>(d) * kLanes] = key[d];
  std::copy_n(value, shape.head_dim, page + shape.value_offset(layer, head) + static_cast<std::ptrdiff_t>(slot) * shape.value_stride());
}

// Pairs of a key's elements lie together, and pairs of positions of the values. Values are read by whole pages: the first to
// come clears those of the page, so that no other text's numbers, which may be none, are left in it.
void place(std::uint16_t* page, const CacheShape& shape, int layer, int head, int slot, const std::uint16_t* key, const std::uint16_t* value) {
  std::uint16_t* keys = page + shape.key_offset(layer, head) + static_cast<std::ptrdiff_t>(slot) * 2;
  for (int d = 0; d < shape.key_depth(); d += 2) std::memcpy(keys + static_cast<std::ptrdiff_t>(d) * kPage, key + d, 2 * sizeof *key);
  std::uint16_t* values = page + shape.value_offset(layer, head);
  if (slot == 0) std::fill_n(values, static_cast<std::ptrdiff_t>(kPage) * shape.value_stride(), std::uint16_t{0});
  values += static_cast<std::ptrdiff_t>(slot / 2) * shape.value_stride() * 2;
  for (int d = 0; d < shape.head_dim; ++d) values[d * 2 + slot % 2] = value[d];
}

// Quads of a key's elements lie together; a value is quantised where it stays. Of a position not yet written any byte will do,
// but not any scale: the first to come clears those of the page's values.
void place(std::int8_t* page, const CacheShape& shape, int layer, int head, int slot, const Kernels& kernels, const float* key, const float* value,
           std::int8_t* scratch) {
  const int depth = shape.key_depth(), stride = shape.value_stride();
  std::int8_t* keys = page + shape.key_offset(layer, head);
  std::int8_t* values = page + shape.value_offset(layer, head);
  auto* key_scales = reinterpret_cast<float*>(keys + static_cast<std::ptrdiff_t>(depth) * kPage);
  float* value_scales = key_scales + kPage;
  if (slot == 0) std::fill_n(value_scales, kPage, 0.0f);
  std::int32_t sum;
  kernels.quantize_row(key, shape.head_dim, depth, depth, scratch, key_scales + slot, &sum);
  for (int d = 0; d < shape.head_dim; d += kQuad) {
    std::uint32_t four;
    std::memcpy(&four, scratch + d, kQuad);
    four ^= 0x01010101u * static_cast<std::uint32_t>(kOffsetI8);
    std::memcpy(keys + (static_cast<std::ptrdiff_t>(d) * kPage + slot * kQuad), &four, kQuad);
  }
  kernels.quantize_row(value, shape.head_dim, stride, stride, values + static_cast<std::ptrdiff_t>(slot) * stride, value_scales + slot, &sum);
}

}  // namespace

void Cache::write(const Kernels& kernels, int layer, int head, int position, const float* key, const float* value, void* scratch) {
  void* page = table_[static_cast<std::size_t>(position / kPage)];
  const int slot = position % kPage;
  if (shape_.format == CacheFormat::fp32) return place(static_cast<float*>(page), shape_, layer, head, slot, key, value);
  if (shape_.format == CacheFormat::int8)
    return place(static_cast<std::int8_t*>(page), shape_, layer, head, slot, kernels, key, value, static_cast<std::int8_t*>(scratch));
  auto* rounded_key = static_cast<std::uint16_t*>(scratch);
  std::uint16_t* rounded_value = rounded_key + shape_.key_depth();
  kernels.round_row(key, shape_.head_dim, shape_.key_depth(), rounded_key);
  kernels.round_row(value, shape_.head_dim, shape_.head_dim, rounded_value);
  place(static_cast<std::uint16_t*>(page), shape_, layer, head, slot, rounded_key, rounded_value);
}

}  // namespace gpt2lab
