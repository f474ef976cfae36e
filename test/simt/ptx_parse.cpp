#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "test/simt/ptx.h"

namespace simt::ptx {
namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "ptx: %s\n", what.c_str());
  std::exit(2);
}

std::string trimmed(const std::string& s) {
  const size_t first = s.find_first_not_of(" \t\n"), last = s.find_last_not_of(" \t\n");
  return first == std::string::npos ? "" : s.substr(first, last - first + 1);
}

// Commas outside of brackets.
std::vector<std::string> split(const std::string& s) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (char c : s) {
    if (std::strchr("[{", c)) depth++;
    if (std::strchr("]}", c)) depth--;
    if (c == ',' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  for (std::string& part : parts) part = trimmed(part);
  if (parts.back().empty()) parts.pop_back();
  return parts;
}

// All but stores, asynchronous copies and what only waits or fences begin with their result.
bool begins_with_result(const std::string& opcode) {
  for (const char* none : {"st.", "cp.", "bar.", "barrier.", "fence.", "mbarrier.init", "setmaxnreg.", "wgmma.wait_group"}) {
    if (opcode.rfind(none, 0) == 0) return false;
  }
  return true;
}

class Parser {
 public:
  Parser(Program& program, std::string shared_symbol) : program_(program), shared_symbol_(std::move(shared_symbol)) {}

  void declare_registers(const std::string& list) {  // "%r<12>" or "%p1"
    for (const std::string& item : split(list)) {
      const size_t angle = item.find('<');
      if (angle == std::string::npos) {
        slots_[item] = fresh(0);
        continue;
      }
      const int count = std::atoi(item.c_str() + angle + 1);
      for (int i = 0; i < count; i++) slots_[item.substr(0, angle) + std::to_string(i)] = fresh(0);
    }
  }

  void label(const std::string& name) { labels_[name] = int(program_.code.size()); }

  void instruction(const std::string& statement, int line) {
    Instruction i;
    i.text = statement, i.line = line;
    std::string rest = statement;
    if (rest[0] == '@') {
      const size_t space = rest.find_first_of(" \t");
      i.negated = rest[1] == '!';
      i.predicate = operand(rest.substr(i.negated ? 2 : 1, space - (i.negated ? 2 : 1)), statement);
      rest = trimmed(rest.substr(space));
    }
    const size_t space = rest.find_first_of(" \t");
    const std::string opcode = rest.substr(0, space);
    i.execute = find_opcode(opcode);
    if (!i.execute) fail("line " + std::to_string(line) + ": no such instruction here: " + statement);
    std::vector<std::string> operands = space == std::string::npos ? std::vector<std::string>() : split(rest.substr(space));
    if (opcode.rfind("bra", 0) == 0) {
      branches_.push_back({program_.code.size(), operands.at(0)});
    } else {
      const bool has_result = begins_with_result(opcode);
      for (size_t k = 0; k < operands.size(); k++) {
        add_operand(i, has_result && k == 0 ? i.out : i.in, operands[k]);
      }
    }
    program_.code.push_back(i);
  }

  void resolve_branches() {
    for (const auto& [at, name] : branches_) {
      if (!labels_.count(name)) fail("no label " + name);
      program_.code[at].target = labels_[name];
    }
  }

  int special(const std::string& name) {
    const auto [found, is_new] = program_.specials.try_emplace(name, 0);
    if (is_new) found->second = fresh(0);
    return found->second;
  }

 private:
  int fresh(uint64_t value) {
    program_.initial.push_back(value);
    return int(program_.initial.size()) - 1;
  }

  void add_operand(Instruction& i, std::vector<int>& to, const std::string& text) {
    if (text[0] == '{') {
      for (const std::string& part : split(text.substr(1, text.size() - 2))) to.push_back(operand(part, i.text));
    } else if (text[0] == '[') {  // [base+offset], or of the copy engine [map, {coordinates}]
      const std::vector<std::string> parts = split(text.substr(1, text.size() - 2));
      std::string base = parts[0];
      const size_t plus = base.find('+');
      if (plus != std::string::npos) i.offset = std::atoll(base.c_str() + plus + 1), base = base.substr(0, plus);
      i.in.push_back(operand(base, i.text));
      if (parts.size() > 1) add_operand(i, i.in, parts[1]);
    } else {
      to.push_back(operand(text.substr(0, text.find('|')), i.text));
    }
  }

  int operand(const std::string& text, const std::string& statement) {
    if (const auto known = slots_.find(text); known != slots_.end()) return known->second;
    if (const auto parameter = program_.parameters.find(text); parameter != program_.parameters.end()) {
      return fresh(parameter->second);
    }
    if (text == shared_symbol_ || text == "_") return fresh(0);
    if (text.rfind("%tid.", 0) == 0 || text.rfind("%ctaid.", 0) == 0 || text.rfind("%nctaid.", 0) == 0 ||
        text == "%cluster_ctarank") {
      return special(text);
    }
    if (text.rfind("0f", 0) == 0 || text.rfind("0d", 0) == 0) return fresh(std::strtoull(text.c_str() + 2, nullptr, 16));
    if (text[0] == '-' || std::isdigit(text[0])) return fresh(uint64_t(std::strtoll(text.c_str(), nullptr, 0)));
    fail("operand " + text + " of " + statement);
  }

  Program& program_;
  const std::string shared_symbol_;
  std::map<std::string, int> slots_, labels_;
  std::vector<std::pair<size_t, std::string>> branches_;
};

// ".param .align 8 .b8 name[104]" or ".param .u64 name"
void add_parameter(Program& program, const std::string& text) {
  std::istringstream words(text);
  std::string word, name;
  size_t bytes = 0, alignment = 0;
  while (words >> word) {
    if (word == ".align") {
      words >> alignment;
    } else if (word[0] == '.' && std::isdigit(word.back())) {
      bytes = size_t(std::atoi(word.c_str() + 2)) / 8;
    } else if (word[0] != '.') {
      name = word;
    }
  }
  const size_t bracket = name.find('[');
  if (bracket != std::string::npos) bytes = size_t(std::atoi(name.c_str() + bracket + 1)), name = name.substr(0, bracket);
  if (alignment == 0) alignment = bytes;
  size_t& end = program.parameter_bytes;
  end = (end + alignment - 1) / alignment * alignment;
  program.parameters[name] = end;
  end += bytes;
}

std::string without_comments(std::istream& in) {
  std::string text, line;
  while (std::getline(in, line)) text += line.substr(0, line.find("//")) + "\n";
  return text;
}

}  // namespace

std::vector<Program> parse(const std::string& path) {
  std::ifstream file(path);
  if (!file) fail("cannot read " + path);
  const std::string text = without_comments(file);
  std::string shared_symbol;
  if (const size_t at = text.find(".extern .shared"); at != std::string::npos) {
    const size_t end = text.find('[', at), begin = text.rfind(' ', end) + 1;
    shared_symbol = text.substr(begin, end - begin);
  }
  std::vector<Program> programs;
  for (size_t at = text.find(".entry "); at != std::string::npos; at = text.find(".entry ", at + 1)) {
    Program& program = programs.emplace_back();
    const size_t open = text.find('(', at), close = text.find(')', open), body = text.find('{', close);
    program.name = trimmed(text.substr(at + 7, open - at - 7));
    for (const std::string& parameter : split(text.substr(open + 1, close - open - 1))) add_parameter(program, parameter);

    Parser parser(program, shared_symbol);
    int line = int(std::count(text.begin(), text.begin() + long(body), '\n')) + 1, depth = 0;
    std::string statement;
    for (size_t i = body;; i++) {
      const char c = text[i];
      if (c == '\n') line++;
      const bool begins = trimmed(statement).empty();
      if (begins && (c == '{' || c == '}')) {
        depth += c == '{' ? 1 : -1;
        if (depth == 0) break;
      } else if (c == ':' && trimmed(statement).find_first_of(" \t.") == std::string::npos) {
        parser.label(trimmed(statement));
        statement.clear();
      } else if (c == ';') {
        const std::string whole = trimmed(statement);
        statement.clear();
        if (whole.rfind(".reg", 0) == 0) {
          parser.declare_registers(whole.substr(whole.find_first_of(" \t", 5)));
        } else if (whole[0] != '.') {
          parser.instruction(whole, line);
        }
      } else {
        statement += c;
      }
    }
    parser.resolve_branches();
  }
  return programs;
}

}  // namespace simt::ptx
