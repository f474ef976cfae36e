#include "engine/loaded_plan.h"

#include <algorithm>

namespace skrr {

LoadedPlan::LoadedPlan(LayerTable table, std::unique_ptr<Map> map, std::shared_ptr<Leases> leases)
    : table_(std::move(table)), map_(std::move(map)), leases_(std::move(leases)) {
  for (const int slot : slots_of(table_)) (*leases_)[size_t(slot)]++;
}

LoadedPlan::~LoadedPlan() {
  for (const int slot : slots_of(table_)) (*leases_)[size_t(slot)]--;
}

std::vector<int> slots_of(const LayerTable& table) {
  std::vector<int> slots;
  for (const TableEntry& entry : table) {
    if (entry.slot != kSkipped) slots.push_back(entry.slot);
  }
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return slots;
}

}  // namespace skrr
