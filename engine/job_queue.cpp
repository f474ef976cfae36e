#include "engine/job_queue.h"

namespace skrr {

JobQueue::~JobQueue() {
  std::deque<Job> forgotten;  // destroyed after the lock is released: a job may hold an encoder
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    forgotten.swap(waiting_);
    if (running_) running_->raise();
  }
  wake_.notify_one();
  thread_.join();
}

void JobQueue::submit(std::shared_ptr<CancelFlag> cancel, Work work) {
  {
    std::lock_guard lock(mutex_);
    if (thread_.size() == 0) thread_.start([this] { loop(); });
    waiting_.push_back({std::move(cancel), std::move(work)});
  }
  wake_.notify_one();
}

void JobQueue::loop() {
  for (;;) {
    Job job;
    {
      std::unique_lock lock(mutex_);
      running_.reset();
      wake_.wait(lock, [this] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      job = std::move(waiting_.front());
      waiting_.pop_front();
      running_ = job.cancel;
    }
    job.work();
  }
}

}  // namespace skrr
