#include "threads.h"

#if !defined(_WIN32)
#include <unistd.h>
#endif
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace gpt2lab {
namespace {

void pause() {
#if defined(__x86_64__) || defined(_M_X64)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

long process_id() {
#if defined(_WIN32)
  return 0;  // no fork
#else
  return static_cast<long>(getpid());
#endif
}

constexpr int kBarrierSpins = 2000;   // then give the processor away between looks: someone else may need it to arrive
constexpr int kIdleSpins = 20000;     // then sleep

}  // namespace

Team::Team(int size) : size_(size < 1 ? 1 : size) { hire(); }

void Team::hire() {
  crew_ = new Crew;
  crew_->process = process_id();
  for (int rank = 1; rank < size_; ++rank) crew_->threads.emplace_back([this, crew = crew_, rank] { member(*crew, rank); });
}

Team::~Team() {
  if (crew_->process != process_id()) return;  // the parent's threads: there is nothing here to join
  {
    std::lock_guard<std::mutex> lock(crew_->mutex);
    crew_->stop.store(true);
    crew_->round.fetch_add(1);
  }
  crew_->wake.notify_all();
  for (auto& thread : crew_->threads) thread.join();
  delete crew_;
}

void Team::run(const std::function<void(int)>& work) {
  if (size_ > 1 && crew_->process != process_id()) hire();
  work_ = &work;
  crew_->round.fetch_add(1);
  if (crew_->sleepers.load() > 0) {
    std::lock_guard<std::mutex> lock(crew_->mutex);  // a member between its last look and its sleep holds the mutex
    crew_->wake.notify_all();
  }
  work(0);
  barrier();
}

void Team::barrier() {
  if (size_ == 1) return;
  Crew& crew = *crew_;
  const unsigned phase = crew.phase.load(std::memory_order_relaxed);
  if (crew.arrived.fetch_add(1, std::memory_order_acq_rel) + 1 == size_) {
    crew.arrived.store(0, std::memory_order_relaxed);
    crew.phase.store(phase + 1, std::memory_order_release);
    return;
  }
  for (int spins = 0; crew.phase.load(std::memory_order_acquire) == phase; ++spins) {
    if (spins < kBarrierSpins) pause();
    else std::this_thread::yield();
  }
}

void Team::member(Crew& crew, int rank) {
  unsigned seen = 0;
  for (;;) {
    int spins = 0;
    while (crew.round.load(std::memory_order_acquire) == seen && ++spins < kIdleSpins) pause();
    if (crew.round.load(std::memory_order_acquire) == seen) {
      std::unique_lock<std::mutex> lock(crew.mutex);
      crew.sleepers.fetch_add(1);
      crew.wake.wait(lock, [&] { return crew.round.load() != seen; });
      crew.sleepers.fetch_sub(1);
    }
    ++seen;
    if (crew.stop.load()) return;
    (*work_)(rank);
    barrier();
  }
}

}  // namespace gpt2lab
