// Which PTX belongs to a kernel of the host's code: both compilers mangle its name alike but for the anonymous namespace.
#include <dlfcn.h>
#include <glob.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "test/simt/ptx.h"

namespace simt::ptx {
namespace {

// "..cuda12_GLOBAL__N_111gemm_kernel.." -> "..cuda11gemm_kernel..": the number says how long the namespace's name is.
std::string without_anonymous_namespace(const std::string& mangled) {
  const size_t name = mangled.find("_GLOBAL__N_");
  if (name == std::string::npos) return mangled;
  size_t digits = name;
  while (digits > 0 && std::isdigit(mangled[digits - 1])) digits--;
  const size_t length = size_t(std::atoi(mangled.c_str() + digits));
  return mangled.substr(0, digits) + mangled.substr(name + length);
}

std::string name_of(const void* function) {
  Dl_info info;
  if (!dladdr(function, &info)) return "";
  const size_t offset = uintptr_t(function) - uintptr_t(info.dli_fbase);
  char command[600], line[2000] = "";
  std::snprintf(command, sizeof command, "addr2line -f -e '%s' 0x%zx", info.dli_fname, offset);
  if (FILE* pipe = popen(command, "r")) {
    if (!std::fgets(line, sizeof line, pipe)) line[0] = 0;
    pclose(pipe);
  }
  line[std::strcspn(line, "\n")] = 0;
  return line;
}

std::map<std::string, Program> read_all(const char* folder) {
  std::map<std::string, Program> programs;
  glob_t files;
  glob((std::string(folder) + "/*.ptx").c_str(), 0, nullptr, &files);
  for (size_t f = 0; f < files.gl_pathc; f++) {
    for (Program& program : parse(files.gl_pathv[f])) {
      const std::string name = without_anonymous_namespace(program.name);
      programs[name] = std::move(program);
    }
  }
  globfree(&files);
  return programs;
}

}  // namespace

const Program* program_of(const void* kernel) {
  static const char* folder = std::getenv("SKRR_PTX");
  if (!folder) return nullptr;
  static const std::map<std::string, Program> programs = read_all(folder);
  static std::map<const void*, const Program*> known;
  const Program*& program = known[kernel];
  if (!program) {
    const std::string name = without_anonymous_namespace(name_of(kernel));
    const auto found = programs.find(name);
    if (found == programs.end()) {
      std::fprintf(stderr, "ptx: no kernel %s in %s\n", name.c_str(), folder);
      std::exit(2);
    }
    program = &found->second;
  }
  return program;
}

}  // namespace simt::ptx
