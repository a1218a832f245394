// A team of threads that all run one function together and meet at barriers.
//
// Waiting threads spin for a short while, because the next piece of work is usually microseconds away, then sleep.
// A forked process has none of its parent's threads; a team notices and starts its own.
// Which thread computes what never changes a result; see kernels.h.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace gpt2lab {

class Team {
 public:
  explicit Team(int size);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }

  // Calls work(rank) once on each member, rank 0 on the calling thread, and returns when all have returned.
  // `work` must not throw.
  void run(const std::function<void(int)>& work);

  // Called by every member inside run(): nobody passes before all have come.
  void barrier();

 private:
  // What a fork leaves behind cannot be repaired, only left alone: this holds all of it, to be replaced as a whole.
  struct Crew {
    std::vector<std::thread> threads;
    std::atomic<unsigned> round{0};      // number of the current run()
    std::atomic<int> arrived{0};
    std::atomic<unsigned> phase{0};      // number of barriers passed
    std::atomic<bool> stop{false};
    std::atomic<int> sleepers{0};
    std::mutex mutex;
    std::condition_variable wake;
    long process;                        // whose threads these are
  };

  void hire();
  void member(Crew& crew, int rank);

  const int size_;
  Crew* crew_ = nullptr;
  const std::function<void(int)>* work_ = nullptr;
};

// The share of `rank` when `count` pieces are divided among `size` members in contiguous runs.
struct Share {
  int first, last;
};
inline Share share_of(int count, int rank, int size) {
  const auto cut = [&](int r) { return static_cast<int>(static_cast<long long>(count) * r / size); };
  return {cut(rank), cut(rank + 1)};
}

}  // namespace gpt2lab
