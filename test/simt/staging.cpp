#include "test/simt/staging.h"

#include <cstring>
#include <list>
#include <mutex>
#include <vector>

#include "cuda/runtime.h"
#include "test/simt/device_memory.h"

namespace {

struct Copy {
  const void* from;
  void* to;
  size_t bytes;
};

std::mutex lock;         // copies are started from several threads
std::list<Copy> pending;  // in the order they were started, which is that of the queue
size_t bytes_in_use = 0;

// Up to the last one from this memory, or all of them.
void make_copies(const void* from) {
  auto end = pending.begin();
  for (auto copy = pending.begin(); copy != pending.end(); ++copy) {
    if (!from || copy->from == from) end = std::next(copy);
  }
  for (auto copy = pending.begin(); copy != end; copy = pending.erase(copy)) {
    simt::mark_initialised(copy->to, copy->bytes);
    std::memcpy(copy->to, copy->from, copy->bytes);
  }
}

}  // namespace

namespace simt {

void make_staged_copies() {
  const std::lock_guard<std::mutex> guard(lock);
  make_copies(nullptr);
}

size_t staging_bytes_in_use() { return bytes_in_use; }

}  // namespace simt

namespace skrr::cuda {

struct StagingBuffer::State {
  std::vector<unsigned char> memory;
};

StagingBuffer::StagingBuffer(Gpu&, size_t bytes) : state_(new State{std::vector<unsigned char>(bytes, 0xff)}) {
  bytes_in_use += bytes;
}

StagingBuffer::~StagingBuffer() {
  wait();
  bytes_in_use -= state_->memory.size();
}

void* StagingBuffer::wait() {
  const std::lock_guard<std::mutex> guard(lock);
  make_copies(state_->memory.data());
  return state_->memory.data();
}

void StagingBuffer::upload(void* to, size_t bytes) {
  const std::lock_guard<std::mutex> guard(lock);
  pending.push_back({state_->memory.data(), to, bytes});
}

}  // namespace skrr::cuda
