// How many threads this process may run at once.
#pragma once

#include <string>

namespace skrr {

// Its processors (affinity: taskset, --cpuset-cpus) or what its control groups grant of them (--cpus), whichever is less; at least 1.
int available_threads();

// Processors by the quotas of this process's control groups, rounded up: the smallest of the group and those above it, of cgroup v2
// (cpu.max) and v1 (cpu.cfs_quota_us and cpu.cfs_period_us). INT_MAX where nothing limits them. `root` is where /proc and the groups
// are looked for: "" but in tests.
int quota_threads(const std::string& root);

}  // namespace skrr
