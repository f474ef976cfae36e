// What the kernel tests share: device memory filled from host vectors, and checks that run on the emulated machine and on
// hardware alike. On the machine, every launch must end without a finding.
#pragma once

#include <cmath>
#include <cstdio>
#include <vector>

#include "cuda/kernels.h"
#include "cuda/runtime.h"
#include "engine/numeric.h"
#include "test/cuda/findings.h"
#include "test/engine/check.h"

namespace skrr::cuda {

inline Gpu& test_device() {
  static Gpu device(0);
  return device;
}

template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : OnDevice(values.size()) {
    test_device().upload(data(), values.data(), count_ * sizeof(T));
  }
  explicit OnDevice(size_t count) : count_(count), buffer_(test_device(), count * sizeof(T), "a test") {}

  T* data() const { return buffer_.as<T>(); }
  std::vector<T> values() const {
    std::vector<T> values(count_);
    test_device().download(values.data(), data(), count_ * sizeof(T));
    return values;
  }

 private:
  size_t count_;
  Buffer buffer_;
};

inline std::vector<bf16> random_bf16(size_t count, unsigned seed, float scale = 1) {
  std::vector<bf16> values;
  for (const float value : random_floats(count, seed, scale)) values.push_back({to_bf16(value)});
  return values;
}

inline double real(bf16 value) { return double(from_bf16(value.bits)); }

// A layer table of one step in front of one slot, with two others around them that must not be touched. `next`: the slot of
// the step that follows.
class OneSlot {
 public:
  OneSlot(const Slot& slot, float scale) : OneSlot(slot, scale, Slot{}, -1) {}
  OneSlot(const Slot& slot, float scale, const Slot& next) : OneSlot(slot, scale, next, 1) {}
  StepRef at() const { return {table_.data(), slots_.data(), 1, 3}; }
  StepRef skipped() const { return {table_.data(), slots_.data(), 2, 3}; }

 private:
  OneSlot(const Slot& slot, float scale, const Slot& next, int next_index)
      : table_(std::vector<Step>{{-1, 99, 0}, {2, scale, next_index}, {-1, 99, 0}}),
        slots_(std::vector<Slot>{{}, next, slot}) {}

  OnDevice<Step> table_;
  OnDevice<Slot> slots_;
};

}  // namespace skrr::cuda
