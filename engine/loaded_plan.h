// A plan whose weights are loaded. While it lives, they stay: it holds a lease on each of its slots.
#pragma once

#include <memory>
#include <vector>

#include "engine/layer_table.h"
#include "engine/map.h"

namespace skrr {

// By slot: how many loaded plans need it.
using Leases = std::vector<int>;

class LoadedPlan {
 public:
  LoadedPlan(LayerTable table, std::unique_ptr<Map> map, std::shared_ptr<Leases> leases);
  ~LoadedPlan();
  LoadedPlan(const LoadedPlan&) = delete;
  LoadedPlan& operator=(const LoadedPlan&) = delete;

  const LayerTable& table() const { return table_; }
  const Map* map() const { return map_.get(); }  // of the output; null where the plan has none
  size_t bytes() const { return map_ ? map_->bytes() : 0; }

 private:
  const LayerTable table_;
  const std::unique_ptr<Map> map_;
  const std::shared_ptr<Leases> leases_;
};

// The distinct slots of a layer table, in ascending order.
std::vector<int> slots_of(const LayerTable& table);

}  // namespace skrr
