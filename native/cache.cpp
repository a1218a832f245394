#include "cache.h"

#include <algorithm>
#include <cstring>

namespace gpt2lab {

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
  length_ += count;
  const std::size_t needed = static_cast<std::size_t>(round_up(length_, kPage) / kPage);
  for (std::size_t i = first; i < needed; ++i) {
    if (i >= pages_.size()) {
      pages_.push_back(std::make_shared<Page>(shape_.page_bytes()));
      table_.push_back(pages_.back()->data());
    } else if (pages_[i].use_count() > 1) {
      auto own = std::make_shared<Page>(shape_.page_bytes());
      std::memcpy(own->data(), pages_[i]->data(), own->size());
      pages_[i] = std::move(own);
      table_[i] = pages_[i]->data();
    }
  }
}

namespace {

// Keys lie kLanes positions side by side, values one position after another.
template <class Element>
void place(void* page, const CacheShape& shape, int layer, int head, int slot, const Element* key, const Element* value) {
  auto* base = static_cast<Element*>(page);
  Element* keys = base + shape.key_offset(layer, head) + static_cast<std::ptrdiff_t>(slot / kLanes) * shape.head_dim * kLanes + slot % kLanes;
  for (int d = 0; d < shape.head_dim; ++d) keys[static_cast<std::ptrdiff_t>(d) * kLanes] = key[d];
  std::copy_n(value, shape.head_dim, base + shape.value_offset(layer, head) + static_cast<std::ptrdiff_t>(slot) * shape.value_stride());
}

}  // namespace

void Cache::write(const Kernels& kernels, int layer, int head, int position, const float* key, const float* value,
                  std::uint16_t* scratch) {
  void* page = table_[static_cast<std::size_t>(position / kPage)];
  const int slot = position % kPage;
  if (!shape_.bf16) return place(page, shape_, layer, head, slot, key, value);
  std::uint16_t* rounded_key = scratch;
  std::uint16_t* rounded_value = scratch + shape_.head_dim;
  kernels.round_row(key, shape_.head_dim, shape_.head_dim, rounded_key);
  kernels.round_row(value, shape_.head_dim, shape_.head_dim, rounded_value);
  place(page, shape_, layer, head, slot, rounded_key, rounded_value);
}

}  // namespace gpt2lab
