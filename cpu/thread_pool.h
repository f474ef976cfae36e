// A persistent pool that splits one loop at a time. The calling thread works too, as worker 0.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>

#include "engine/cancel.h"
#include "engine/threads.h"

namespace skrr::cpu {

class ThreadPool {
 public:
  using Task = std::function<void(int task, int worker)>;

  // 0: as many as this process may run at once. Throws ERR_ENGINE where the system has not that many.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return workers_.size() + 1; }

  // Calls task(0..count-1, worker), each once, in no particular order, and returns when all are done. The first
  // exception stops the rest and is thrown here; a raised flag stops the rest and throws Cancelled.
  void run(int count, const CancelFlag& cancel, const Task& task);

 private:
  void stop();
  void work(int worker);
  void take_tasks(int worker);

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::atomic<uint64_t> generation_{0};  // counts loops; a worker waits until it changes
  std::atomic<int> busy_{0};             // workers that have not finished the current loop
  bool stopping_ = false;

  // The current loop.
  const Task* task_ = nullptr;
  const CancelFlag* cancel_ = nullptr;
  int count_ = 0;
  std::atomic<int> next_{0};
  std::exception_ptr failure_;

  Threads workers_;  // last: it ends first
};

}  // namespace skrr::cpu
