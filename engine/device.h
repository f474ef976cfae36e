// Where an encoder can run: what the device can do, what an encoder would take there, and a backend on it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/bench.h"

namespace skrr {

struct DeviceFacts {
  std::string id;    // cpu, cuda:0
  std::string name;  // of the hardware
  std::vector<Precision> precisions;  // in which it can hold weights
  // The ways it can compute a product, for tests and benchmarks; empty where there is one.
  std::vector<std::string> product_paths;
  std::vector<Attribute> attributes = {};  // that it has kernels for
};

// The bytes an encoder takes on a device, by the sums its backend allocates by.
struct Estimate {
  size_t weights;    // Backend::weight_bytes() with the plan's slots loaded, and its map
  size_t workspace;  // everything else while a batch is computed
};

// What memory depends on in a batch.
struct Extent {
  int tokens, longest;  // tokens of all sequences and of the longest
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceFacts& facts() const = 0;

  // `slots`: the distinct slots of a plan; `rank`: its compensation's, 0 without one. Throws what open() throws.
  virtual Estimate estimate(const Architecture& architecture, const std::vector<int>& slots, int rank, const Extent& extent) const = 0;

  // `product_path`: one of the facts', or empty for the device's own choice. Throws ERR_DEVICE for an attribute without a kernel.
  virtual std::unique_ptr<Backend> open(const Architecture& architecture, const FixedTensors& fixed,
                                        const std::string& product_path) const = 0;

  // Times of the backend's parts and of whole encoders, with random weights.
  virtual bench::Report bench(const Architecture& architecture, const bench::Request& request, const bench::Progress& progress,
                              const CancelFlag& cancel) const = 0;
};

// Throws ERR_DEVICE where the architecture has an attribute the device has no kernel for, or a slot's precision is not the device's.
void require_kernels(const DeviceFacts& device, const Architecture& architecture);
void require_precision(const DeviceFacts& device, int slot);

}  // namespace skrr
