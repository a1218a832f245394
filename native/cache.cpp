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
      pages_.push_back(std::make_shared<Page>(static_cast<std::size_t>(shape_.page_floats())));
      table_.push_back(pages_.back()->data());
    } else if (pages_[i].use_count() > 1) {
      auto own = std::make_shared<Page>(static_cast<std::size_t>(shape_.page_floats()));
      std::memcpy(own->data(), pages_[i]->data(), own->size() * sizeof(float));
      pages_[i] = std::move(own);
      table_[i] = pages_[i]->data();
    }
  }
}

void Cache::write(int layer, int head, int position, const float* key, const float* value) {
  float* page = table_[static_cast<std::size_t>(position / kPage)];
  const int slot = position % kPage;
  float* keys = page + shape_.key_offset(layer, head) + static_cast<std::ptrdiff_t>(slot / kLanes) * shape_.head_dim * kLanes + slot % kLanes;
  for (int d = 0; d < shape_.head_dim; ++d) keys[static_cast<std::ptrdiff_t>(d) * kLanes] = key[d];
  std::memcpy(page + shape_.value_offset(layer, head) + static_cast<std::ptrdiff_t>(slot) * shape_.value_stride(), value,
              static_cast<std::size_t>(shape_.head_dim) * sizeof(float));
}

}  // namespace gpt2lab
