#include "cuda/pool.h"

#include <algorithm>

#include "engine/error.h"

namespace skrr::cuda {
namespace {

constexpr const char* kNames[Pool::kKinds] = {"a batch's rows", "the residual stream", "features"};

}  // namespace

void Pool::Shelf::drop_smallest() {
  idle_bytes -= idle.begin()->first;
  idle.erase(idle.begin());
}

Pool::Lease Pool::take(Kind kind, size_t bytes) {
  Shelf& shelf = shelves_[kind];
  const auto fits = shelf.idle.lower_bound(bytes);
  Buffer buffer;
  if (fits != shelf.idle.end()) {
    shelf.idle_bytes -= fits->first;
    buffer = std::move(fits->second);
    shelf.idle.erase(fits);
  } else {
    const size_t allowed = std::max(shelf.peak_in_use, shelf.in_use + bytes);
    while (!shelf.idle.empty() && shelf.in_use + shelf.idle_bytes + bytes > allowed) shelf.drop_smallest();
    buffer = allocate(kind, bytes);
  }
  shelf.in_use += buffer.bytes();
  shelf.peak_in_use = std::max(shelf.peak_in_use, shelf.in_use);
  return Lease(shared_from_this(), kind, bytes, std::move(buffer));
}

Buffer Pool::allocate(Kind kind, size_t bytes) {
  const bool any_idle = std::any_of(shelves_, shelves_ + kKinds, [](const Shelf& shelf) { return !shelf.idle.empty(); });
  if (!any_idle) return Buffer(device_, bytes, kNames[kind]);
  try {
    return Buffer(device_, bytes, kNames[kind]);
  } catch (const Error&) {
    trim();
    return Buffer(device_, bytes, kNames[kind]);
  }
}

void Pool::give_back(Kind kind, Buffer buffer) {
  Shelf& shelf = shelves_[kind];
  const size_t bytes = buffer.bytes();
  shelf.in_use -= bytes;
  if (shelf.idle_bytes + bytes > kMaxIdle) return;
  shelf.idle_bytes += bytes;
  shelf.idle.emplace(bytes, std::move(buffer));
}

size_t Pool::idle_bytes() const {
  size_t bytes = 0;
  for (const Shelf& shelf : shelves_) bytes += shelf.idle_bytes;
  return bytes;
}

void Pool::trim() {
  for (Shelf& shelf : shelves_) {
    while (!shelf.idle.empty()) shelf.drop_smallest();
  }
}

}  // namespace skrr::cuda
