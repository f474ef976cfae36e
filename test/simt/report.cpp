#include "test/simt/report.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unordered_map>
#include <utility>

#include "test/simt/machine.h"

namespace simt {
namespace {

constexpr size_t kMaxFindings = 20;
std::vector<Finding> findings;
bool end_on_finding = false;

const char* base_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

// "gemm.cu:71 < gemm.cu:120" by the debug information of the library or executable the code lies in.
std::string look_up_line(const void* code) {
  Dl_info info;
  if (!code || !dladdr(code, &info)) return "?";
  const auto offset = reinterpret_cast<uintptr_t>(code) - 1 - reinterpret_cast<uintptr_t>(info.dli_fbase);
  char command[600];
  std::snprintf(command, sizeof command, "addr2line -s -i -e '%s' 0x%zx 2>/dev/null", info.dli_fname, size_t(offset));
  std::string lines;
  if (FILE* pipe = popen(command, "r")) {
    char line[300];
    while (std::fgets(line, sizeof line, pipe)) {
      line[std::strcspn(line, " \n")] = 0;
      if (std::strstr(line, "intrinsics")) continue;  // the kernel's line that called it is what is looked for
      lines += (lines.empty() ? "" : " < ") + std::string(line);
    }
    pclose(pipe);
  }
  return lines.empty() ? "?" : lines;
}

const std::string& line_of(const void* code) {
  static std::unordered_map<const void*, std::string> known;  // addr2line takes its time
  const auto found = known.find(code);
  return found != known.end() ? found->second : known[code] = look_up_line(code);
}

}  // namespace

std::string Place::text() const {
  if (line_ == 0) return line_of(what_);
  return std::string(base_name(static_cast<const char*>(what_))) + ":" + std::to_string(line_);
}

void report(const char* kind, const Place& place, const std::string& text) {
  const std::string full = text + " at " + place.text();
  if (end_on_finding) {
    std::fprintf(stderr, "[%s] %s\n", kind, full.c_str());
    std::abort();
  }
  for (Finding& finding : findings) {
    if (finding.kind == kind && finding.text.substr(finding.text.rfind(" at ")) == full.substr(full.rfind(" at "))) {
      finding.count++;
      return;
    }
  }
  if (findings.size() < kMaxFindings) findings.push_back({kind, full, 1});
}

void report_and_end_block(const char* kind, const Place& place, const std::string& text) {
  report(kind, place, text);
  end_block();
}

void end_process_on_finding() { end_on_finding = true; }

std::vector<Finding> take_findings() { return std::exchange(findings, {}); }

}  // namespace simt
