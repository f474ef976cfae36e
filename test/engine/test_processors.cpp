#include "engine/processors.h"

#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "test/engine/check.h"

using namespace skrr;

namespace {

// Files of a system, by their paths, in a folder that is removed again.
class System {
 public:
  explicit System(const std::map<std::string, std::string>& files) {
    char name[] = "/tmp/skrr-test-XXXXXX";
    root_ = mkdtemp(name);
    for (const auto& [path, text] : files) {
      std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
      std::ofstream(root_ + path) << text;
    }
  }
  ~System() { std::filesystem::remove_all(root_); }
  int threads() const { return quota_threads(root_); }

 private:
  std::string root_;
};

constexpr const char* kV2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kV1 = "33 31 0:30 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
                            "34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n";

int v2(const std::string& quota) {
  return System({{"/proc/self/mountinfo", kV2}, {"/proc/self/cgroup", "0::/\n"}, {"/sys/fs/cgroup/cpu.max", quota}}).threads();
}

int v1(const std::string& quota, const std::string& period) {
  return System({{"/proc/self/mountinfo", kV1},
                 {"/proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/\n0::/\n"},
                 {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", quota},
                 {"/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", period}})
      .threads();
}

void a_quota_is_rounded_up() {
  CHECK(v2("200000 100000\n") == 2);
  CHECK(v2("150000 100000\n") == 2);
  CHECK(v2("1000 100000\n") == 1);
  CHECK(v2("300000 200000\n") == 2);
  CHECK(v1("200000\n", "100000\n") == 2);
  CHECK(v1("50000\n", "100000\n") == 1);
  CHECK(v1("250001\n", "100000\n") == 3);
}

void no_quota_is_no_limit() {
  CHECK(v2("max 100000\n") == INT_MAX);
  CHECK(v1("-1\n", "100000\n") == INT_MAX);
  CHECK(System({}).threads() == INT_MAX);
}

void what_no_kernel_writes_is_no_limit() {
  for (const char* text : {"", "\n", "100000", "100000 0\n", "0 100000\n", "nan 1\n", "x y\n", "-5 100000\n"}) CHECK(v2(text) == INT_MAX);
  CHECK(v2("99999999999999999999 1\n") == INT_MAX);
  CHECK(System({{"/proc/self/mountinfo", "- cgroup2\n- - - - - - - - cgroup2\n\n"}, {"/proc/self/cgroup", ":\n::\n"}}).threads() == INT_MAX);
}

void the_least_of_a_group_and_those_above_counts() {
  const auto threads = [](const std::string& top, const std::string& slice, const std::string& own) {
    return System({{"/proc/self/mountinfo", kV2},
                   {"/proc/self/cgroup", "1:name=systemd:/\n0::/user.slice/job.scope\n"},
                   {"/sys/fs/cgroup/cpu.max", top},
                   {"/sys/fs/cgroup/user.slice/cpu.max", slice},
                   {"/sys/fs/cgroup/user.slice/job.scope/cpu.max", own}})
        .threads();
  };
  CHECK(threads("max 100000", "400000 100000", "max 100000") == 4);
  CHECK(threads("max 100000", "400000 100000", "300000 100000") == 3);
  CHECK(threads("200000 100000", "400000 100000", "300000 100000") == 2);
}

// Docker with cgroup v1 mounts the container's group, whose path is the one outside.
void a_group_that_is_mounted_as_the_top() {
  CHECK(System({{"/proc/self/mountinfo", "34 31 0:31 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"},
                {"/proc/self/cgroup", "4:cpu:/docker/abc\n"},
                {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000"},
                {"/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"}})
            .threads() == 3);
}

void this_process_has_a_thread() { CHECK(available_threads() >= 1); }

}  // namespace

int main() {
  a_quota_is_rounded_up();
  no_quota_is_no_limit();
  what_no_kernel_writes_is_no_limit();
  the_least_of_a_group_and_those_above_counts();
  a_group_that_is_mounted_as_the_top();
  this_process_has_a_thread();
  return finish("processors");
}
