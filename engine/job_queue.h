// One thread that does all the engine's work, in the order it was asked for. Callers never wait. It starts with the first work.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "engine/cancel.h"
#include "engine/threads.h"

namespace skrr {

class JobQueue {
 public:
  using Work = std::function<void()>;

  JobQueue() = default;
  // Cancels the running job, forgets the waiting ones, and returns when the thread has ended.
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  // `work` reports its own result and must not throw. It polls `cancel`, which may be raised at any time; a job whose
  // flag is raised while it waits still runs, and is expected to notice at once. Throws ERR_ENGINE where the
  // thread cannot be started; `work` is forgotten then.
  void submit(std::shared_ptr<CancelFlag> cancel, Work work);

 private:
  struct Job {
    std::shared_ptr<CancelFlag> cancel;
    Work work;
  };

  void loop();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Job> waiting_;
  std::shared_ptr<CancelFlag> running_;
  bool stopping_ = false;
  Threads thread_{1};
};

}  // namespace skrr
