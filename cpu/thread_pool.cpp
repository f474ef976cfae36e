#include "cpu/thread_pool.h"

#include <chrono>

#include "engine/processors.h"

namespace skrr::cpu {

namespace {

// Waits a little for what probably comes within microseconds: the next loop of a forward pass, or the end of this one.
// Waking a thread that sleeps takes 50 to 100 us, and a forward pass has eight loops a block. Other threads that
// want the core get it.
template <class Ready>
void wait_awake(Ready ready) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point end = Clock::now() + std::chrono::microseconds(100);
  while (!ready() && Clock::now() < end) std::this_thread::yield();
}

}  // namespace

ThreadPool::ThreadPool(int threads) : workers_(threads > 0 ? threads : available_threads(), 1) {
  try {
    for (int worker = 1; worker < workers_.wanted(); worker++) workers_.start([this, worker] { work(worker); });
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
}

void ThreadPool::run(int count, const CancelFlag& cancel, const Task& task) {
  {
    std::lock_guard lock(mutex_);
    task_ = &task;
    cancel_ = &cancel;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    failure_ = nullptr;
    busy_ = workers_.size();
    generation_++;
  }
  wake_.notify_all();
  take_tasks(0);
  wait_awake([this] { return busy_ == 0; });
  std::unique_lock lock(mutex_);
  done_.wait(lock, [this] { return busy_ == 0; });
  if (failure_) std::rethrow_exception(failure_);
  cancel.check();
}

void ThreadPool::work(int worker) {
  uint64_t seen = 0;
  for (;;) {
    wait_awake([&] { return generation_ != seen; });
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return stopping_ || generation_ != seen; });
    if (stopping_) return;
    seen = generation_;
    lock.unlock();
    take_tasks(worker);
    lock.lock();
    if (--busy_ == 0) done_.notify_one();
  }
}

void ThreadPool::take_tasks(int worker) {
  for (;;) {
    const int task = next_.fetch_add(1, std::memory_order_relaxed);
    if (task >= count_ || cancel_->raised()) return;
    try {
      (*task_)(task, worker);
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_.store(count_, std::memory_order_relaxed);
    }
  }
}

}  // namespace skrr::cpu
