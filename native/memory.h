// Aligned arrays of plain numbers, on huge pages where the system gives them.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace gpt2lab {

template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(std::size_t size) { resize(size); }
  Array(Array&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Array& operator=(Array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { std::free(data_); }

  // The old contents are lost; the new ones are zero.
  void resize(std::size_t size) {
    take(size);
    if (size > 0) std::memset(static_cast<void*>(data_), 0, size * sizeof(T));
  }
  // The same, but the contents are whatever was in that memory.
  void take(std::size_t size) {
    std::free(data_);
    data_ = nullptr;
    size_ = 0;
    if (size == 0) return;
    constexpr std::size_t huge = std::size_t{2} << 20;
    const std::size_t alignment = size * sizeof(T) >= 2 * huge ? huge : 64;
    const std::size_t bytes = (size * sizeof(T) + alignment - 1) / alignment * alignment;
    data_ = static_cast<T*>(std::aligned_alloc(alignment, bytes));
    if (!data_) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment == huge) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
    size_ = size;
  }
  void at_least(std::size_t size) {
    if (size > size_) resize(size);
  }

  void clear() {
    if (size_ > 0) std::memset(static_cast<void*>(data_), 0, size_ * sizeof(T));
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace gpt2lab
