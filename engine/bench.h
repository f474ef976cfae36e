// How fast a backend is on its device: times of its parts and of whole encoders with random weights, beside the device's own
// limits. `skrr bench` (src/cli/bench.ts) and the native benchmarks use it.
//
// Times are medians over repeats, with the quartiles; caches are filled with other data between two repeats.
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

// The parts of a sub-block, as rows name them.
constexpr const char* kNorm = "norm";  // and packing of what the product after it reads
constexpr const char* kQkv = "q|k|v";
constexpr const char* kAttend = "softmax(q k^T + bias) v";
constexpr const char* kO = "o + stream";
constexpr const char* kUp = "act(gate) x up";  // act(up) in ungated ones
constexpr const char* kUngatedUp = "act(up)";
constexpr const char* kDown = "down + stream";

struct Row {
  std::string what;
  std::string plan;  // of a whole encoder; empty for parts
  int tokens = 0;
  Timing time;
  double bytes = 0;  // what must come from memory: the weights, once
  double flops = 0;  // multiplications and additions
  double float32_flops = 0;  // those of them that are in float32 whatever the weights are in: attention's, the norm's
};

// The device's own limits, as timed, and what they were timed with.
struct Ceilings {
  double memory = 0;  // bytes a second
  std::string memory_by;
  double multiply = 0;  // multiplications and additions a second in the precision of the weights
  std::string multiply_by;
  double float32 = 0;  // the same in float32, where attention computes in it
};

// The least time the limits allow for the row's bytes and operations.
double min_seconds(const Row& row, const Ceilings& ceilings);

// For a device with its own memory: bytes that the weights of all tables and the largest batch take, estimated and real.
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

Timing timing_of(std::vector<double> seconds);  // one or more

// Times `repeats` runs, after two that are not counted. `between` runs before each and is not timed.
Timing time_runs(int repeats, const std::function<void()>& between, const std::function<void()>& work);

// A checkpoint of random bf16 weights in memory: all matrices are views of one buffer.
class RandomModel {
 public:
  explicit RandomModel(const Architecture& architecture);
  FixedTensors fixed() const;
  Weights sub_block(int index) const;
  std::vector<float> embeddings(int tokens) const;  // [tokens, width]

 private:
  void add_attention(const Attention& a, Weights& weights) const;
  void add_feed_forward(const FeedForward& f, Weights& weights) const;
  Tensor matrix(int rows, int columns) const;

  const Architecture architecture_;
  std::vector<uint16_t> values_;
};

// The parameters of a sub-block's matrices, and the operations that it takes for one sequence of `tokens`.
double matrix_parameters(const Architecture& architecture, int sub_block);
double product_flops(const Architecture& architecture, int sub_block, int tokens);
double attention_flops(const Architecture& architecture, int sub_block, int tokens);  // of scores and weighted sums; 0 in a feed-forward

// Times a sub-block of each kind, and whole encoders under each layer table. load() fills the slots that the tables name.
class BackendBench {
 public:
  BackendBench(Backend& backend, const Architecture& architecture, const RandomModel& model, std::function<void()> scrub);
  void load(const std::vector<NamedTable>& tables, const CancelFlag& cancel);
  // The attention and the feed-forward that come first in the tables, each alone.
  std::vector<Row> sub_blocks(const Request& request, const Progress& progress, const CancelFlag& cancel);
  // The same, part by part: `listen` makes the backend call a function with the name of each part once it is done.
  using Listen = std::function<void(std::function<void(const char* part)>)>;
  std::vector<Row> parts(const Request& request, const Listen& listen, const Progress& progress, const CancelFlag& cancel);
  std::vector<Row> encoders(const Request& request, const Progress& progress, const CancelFlag& cancel);

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
  int first_[2] = {-1, -1};         // the first loaded slot of an attention and of a feed-forward
};

}  // namespace skrr::bench
