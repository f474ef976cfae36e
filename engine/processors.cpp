#include "engine/processors.h"

#ifdef __linux__
#include <sched.h>
#endif

#include <algorithm>
#include <climits>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

namespace skrr {
namespace {

// A hierarchy of control groups that limits processors: where it is mounted, and which of its groups lies there.
struct Hierarchy {
  bool v2;
  std::string mount, top;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& list, const std::string& wanted) {
  return std::find(list.begin(), list.end(), wanted) != list.end();
}

// Lines of /proc/self/mountinfo: `31 23 0:28 /top /mount options [more fields] - type source super-options`.
std::vector<Hierarchy> hierarchies(const std::string& root) {
  std::vector<Hierarchy> found;
  std::ifstream file(root + "/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> fields = split(line, ' ');
    const size_t dash = size_t(std::find(fields.begin(), fields.end(), "-") - fields.begin());
    if (dash < 6 || dash + 3 >= fields.size()) continue;
    const bool v2 = fields[dash + 1] == "cgroup2";
    const bool v1 = fields[dash + 1] == "cgroup" && contains(split(fields[dash + 3], ','), "cpu");
    if (v2 || v1) found.push_back({v2, fields[4], fields[3]});
  }
  return found;
}

// Lines of /proc/self/cgroup: `0::/group` of v2, `4:cpu,cpuacct:/group` of v1. Empty where there is none.
std::string group_in(const std::string& root, bool v2) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? controllers.empty() : contains(split(controllers, ','), "cpu")) return line.substr(second + 1);
  }
  return "";
}

int rounded_up(double quota, double period) {
  if (!(quota > 0 && period > 0)) return INT_MAX;  // -1 is no limit
  const double processors = quota / period;
  if (processors >= INT_MAX) return INT_MAX;
  const int whole = int(processors);
  return std::max(1, processors > whole ? whole + 1 : whole);
}

// `max` in place of the quota, or a file that is not there, limits nothing: the number is not read and stays 0.
int quota_of(const std::string& folder, bool v2) {
  double quota = 0, period = 0;
  if (v2) {
    std::ifstream(folder + "/cpu.max") >> quota >> period;
  } else {
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
  }
  return rounded_up(quota, period);
}

// The quota of the process's group and of each one above it, up to the one that is mounted.
int quota_in(const std::string& root, const Hierarchy& hierarchy) {
  std::string group = group_in(root, hierarchy.v2);
  const std::string& top = hierarchy.top;
  // A container may see its group alone, mounted as the top, under the path it has outside.
  if (top != "/" && group.compare(0, top.size(), top) == 0) group.erase(0, top.size());
  const std::string mount = root + hierarchy.mount;
  int processors = quota_of(mount, hierarchy.v2);
  while (!group.empty() && group != "/") {
    processors = std::min(processors, quota_of(mount + group, hierarchy.v2));
    group.erase(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
  return processors;
}

int processors_here() {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, int(std::thread::hardware_concurrency()));
}

}  // namespace

int quota_threads(const std::string& root) {
  int processors = INT_MAX;
  for (const Hierarchy& hierarchy : hierarchies(root)) processors = std::min(processors, quota_in(root, hierarchy));
  return processors;
}

int available_threads() { return std::min(processors_here(), quota_threads("")); }

}  // namespace skrr
