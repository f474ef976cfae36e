// For the machine's own tests: device memory with the host's values in it, and the kinds of what was found wrong.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "test/simt/device_memory.h"
#include "test/simt/report.h"

namespace simt {

template <class T>
struct OnDevice {
  T* data;
  size_t count;
  explicit OnDevice(const std::vector<T>& values)
      : data(static_cast<T*>(allocate_device(values.size() * sizeof(T)))), count(values.size()) {
    std::memcpy(data, values.data(), count * sizeof(T));
    mark_initialised(data, count * sizeof(T));
  }
  explicit OnDevice(size_t count) : data(static_cast<T*>(allocate_device(count * sizeof(T)))), count(count) {}
  ~OnDevice() { free_device(data); }
};

// "uninitialised, race": the findings since the last call, each kind once.
inline std::string kinds_found() {
  std::string kinds;
  for (const Finding& finding : take_findings()) {
    if (kinds.find(finding.kind) == std::string::npos) kinds += (kinds.empty() ? "" : ", ") + finding.kind;
  }
  return kinds;
}

}  // namespace simt
