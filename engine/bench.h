// What a backend reaches on the device it runs on: times of its parts and of whole encoders with random weights, beside what
// the device can do. Behind `skrr bench` (src/cli/bench.ts) and the native benchmarks.
//
// Times are medians over repeats, with the quartiles; between two repeats caches are filled with something else.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/backend.h"

namespace skrr::bench {

struct Timing {
  double median = 0, lower = 0, upper = 0;  // seconds; lower and upper quartile
};

// Parts of a sub-block, by the names their rows have.
constexpr const char* kNorm = "norm";  // and packing of what the product after it reads
constexpr const char* kQkv = "q|k|v";
constexpr const char* kAttend = "softmax(q k^T + bias) v";
constexpr const char* kO = "o + stream";
constexpr const char* kUp = "act(gate) x up";  // act(up) in ungated ones
constexpr const char* kUngatedUp = "act(up)";
constexpr const char* kDown = "down + stream";

struct Row {
  std::string what;
  std::string plan;  // of whole encoders; empty for parts
  int tokens = 0;
  Timing time;
  double bytes = 0;  // that must be read: the weights, once
  double flops = 0;  // multiplications and additions
};

// What is measured of the device itself.
struct Ceilings {
  double copy = 0;      // bytes a second, read and written both counted
  double multiply = 0;  // multiplications and additions a second in the largest product measured
  std::string product;  // which that is
};

// Of a device with memory of its own: bytes that all tables' weights and the largest batch take, by the estimate and in truth.
struct DeviceMemory {
  double promised = 0, taken = 0;
};

struct Report {
  Ceilings ceilings;
  DeviceMemory memory;
  std::vector<Row> rows;
};

struct NamedTable {
  std::string name;
  LayerTable table;
};

struct Request {
  std::vector<NamedTable> tables;
  std::vector<int> tokens;
  int repeats = 10;
};

using Progress = std::function<void(int done, int total)>;

Timing timing_of(std::vector<double> seconds);  // at least one

// `repeats` runs after two that are not counted. `between` runs before each of them and is not timed.
Timing measure(int repeats, const std::function<void()>& between, const std::function<void()>& work);

// A checkpoint of random bf16 weights in memory: all matrices are views of one buffer.
class RandomModel {
 public:
  explicit RandomModel(const Architecture& architecture);
  FixedTensors fixed() const;
  Weights sub_block(int index) const;
  std::vector<float> embeddings(int tokens) const;  // [tokens, width]

 private:
  Tensor matrix(int rows, int columns) const;

  const Architecture architecture_;
  std::vector<uint16_t> values_;
};

// Parameters of the matrices of a sub-block, and operations it takes for one sequence of `tokens`.
double matrix_parameters(const Architecture& architecture, int sub_block);
double sub_block_flops(const Architecture& architecture, int sub_block, int tokens);

// A sub-block of either kind, and whole encoders under each table. `backend` is loaded with what the tables name.
class BackendBench {
 public:
  BackendBench(Backend& backend, const Architecture& architecture, const RandomModel& model, std::function<void()> scrub);
  void load(const std::vector<NamedTable>& tables, const CancelFlag& cancel);
  // The attention and the feed-forward that run first in the tables, each alone.
  std::vector<Row> sub_blocks(const Request& request, const Progress& progress, const CancelFlag& cancel);
  // The same, part by part: `listen` makes the backend call a function with the name of each part when it is over.
  using Listen = std::function<void(std::function<void(const char* part)>)>;
  std::vector<Row> parts(const Request& request, const Listen& listen, const Progress& progress, const CancelFlag& cancel);
  std::vector<Row> encoders(const Request& request, const Progress& progress, const CancelFlag& cancel);
  // The feed-forward on `tokens` tokens: the largest products there are here.
  double product_rate(int tokens, int repeats, const CancelFlag& cancel);

 private:
  LayerTable one_of_kind(int kind) const;
  std::unique_ptr<States> begin(int tokens) const;
  Row row_of(const std::string& part, int tokens) const;
  Row time_table(const LayerTable& table, int from, int to, int tokens, int repeats, const CancelFlag& cancel);

  Backend& backend_;
  const Architecture architecture_;
  const RandomModel& model_;
  const std::function<void()> scrub_;
  std::vector<double> slot_bytes_;  // as the backend holds them; 0 where nothing is loaded
  int first_[2] = {-1, -1};         // slots of an attention and of a feed-forward that are loaded
};

// The host's memory, by as many threads as given: the ceiling, and what fills its caches between repeats.
class HostMemory {
 public:
  explicit HostMemory(int threads);
  double copy_rate(int repeats) const;  // bytes a second, read and written
  void scrub() const;

 private:
  void copy() const;

  const int threads_;
  mutable std::vector<char> from_, to_;
};

}  // namespace skrr::bench
