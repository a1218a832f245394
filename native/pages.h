// Moves mapped memory to huge pages of the process's own: in place, a piece at a time, while others read it.
//
// A mapped file lies in pages of 4 KB. A step of decoding reads all weights, and finding so many pages costs it up to a fifth
// of its time; few steps do not pay for a copy, many do. The file's pages leave the process as the copies come: it grows by nothing.
#pragma once

#include <atomic>
#include <cstddef>

namespace gpt2lab {

class HugePages {
 public:
  // Memory that will be moved, to which nobody writes. Nothing moves unless the machine has twice as much to spare.
  void plan(const std::byte* data, std::size_t size);

  // Whether there is more to move.
  bool unfinished() const { return next_.load(std::memory_order_relaxed) < end_; }

  // Moves the next piece, if there is one; any number of threads may do so at once. Gives up for good where the system will not.
  void move();

 private:
  std::atomic<std::size_t> next_{0};  // address of the next piece
  std::size_t end_ = 0;
};

}  // namespace gpt2lab
