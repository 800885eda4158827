#include "checks/python_code.h"

#include <algorithm>
#include <vector>

#include "checks/fences.h"

namespace carat {

namespace {

std::string_view left_trimmed(std::string_view line) {
  return line.substr(std::min(line.find_first_not_of(" \t"), line.size()));
}
bool blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }
bool indented(std::string_view line) { return !line.empty() && (line[0] == ' ' || line[0] == '\t'); }

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

/// Whether a line is `def name(` at the left edge.
bool defines(std::string_view line, std::string_view name) {
  if (name.empty()) return false;
  if (line.starts_with("async ")) line = left_trimmed(line.substr(6));
  if (!line.starts_with("def ")) return false;
  line = left_trimmed(line.substr(4));
  if (!line.starts_with(name)) return false;
  const std::string_view rest = left_trimmed(line.substr(name.size()));
  return !rest.empty() && (rest[0] == '(' || rest[0] == '[');
}
bool any_defines(const std::vector<std::string_view>& lines, std::string_view name) {
  return std::any_of(lines.begin(), lines.end(), [&](std::string_view l) { return defines(l, name); });
}

std::string_view code_of(std::string_view reply, std::string_view entry_point) {
  const std::vector<FencedBlock> blocks = fenced_blocks(reply);
  if (blocks.empty()) return reply;
  for (const FencedBlock& b : blocks) {
    if (any_defines(lines_of(b.text), entry_point)) return b.text;
  }
  for (const FencedBlock& b : blocks) {
    if (b.tag.starts_with("py") || b.tag.starts_with("Py")) return b.text;
  }
  return blocks[0].text;
}

bool looks_like_code(std::string_view line) {
  constexpr std::string_view beginnings[] = {"def ", "async def ", "import ", "from ", "class ", "@", "#"};
  return std::any_of(std::begin(beginnings), std::end(beginnings),
                     [&](std::string_view b) { return line.starts_with(b); });
}

/// From the first line that looks like code: sentences before it are not.
std::string without_preface(const std::vector<std::string_view>& lines) {
  std::string out;
  bool begun = false;
  for (const std::string_view line : lines) {
    begun = begun || looks_like_code(line);
    if (begun) out.append(line).push_back('\n');
  }
  return out;
}

std::string body_of(const std::vector<std::string_view>& lines) {
  // How many of the first two lines with content stand at the left edge says what was lost: of one, the
  // spaces at the beginning of the reply; of both, the indentation of the whole.
  size_t seen = 0, left = 0;
  for (const std::string_view line : lines) {
    if (blank(line) || seen == 2) continue;
    if (!indented(line) && left == seen) ++left;
    ++seen;
  }
  const bool indent_all = left == 2 || (left == 1 && seen == 1);
  std::string out;
  bool first = true;
  for (const std::string_view line : lines) {
    const bool edge = !blank(line) && !indented(line);
    // A bracket or a quote at the left edge closes what the body opened.
    const bool leaves = edge && std::string_view(")]}\"'").find(line[0]) == std::string_view::npos;
    if (!indent_all && leaves && !first) break;
    if (!blank(line) && (indent_all || (leaves && first))) out += "    ";
    out.append(line).push_back('\n');
    if (!blank(line)) first = false;
  }
  return out;
}

}  // namespace

std::string program_of(std::string_view reply, std::string_view prompt, std::string_view entry_point) {
  const std::string_view code = code_of(reply, entry_point);
  const std::vector<std::string_view> lines = lines_of(code);
  const bool fenced = code.data() != reply.data() || code.size() != reply.size();
  const bool whole = prompt.empty() || any_defines(lines, entry_point);
  if (!whole) return std::string(prompt) + body_of(lines);
  std::string program(prompt);
  if (!prompt.empty()) program += "\n\n";
  program += fenced || !any_defines(lines, entry_point) ? std::string(code) : without_preface(lines);
  return program;
}

}  // namespace carat
