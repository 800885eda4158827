#include "checks/kinds.h"

namespace carat {

namespace {

constexpr std::string_view kContains[] = {"share", "all", "any"};
constexpr std::string_view kExact[] = {"exact", "f1"};
constexpr std::string_view kInstructions[] = {"prompt_strict", "prompt_loose", "instruction_strict",
                                              "instruction_loose"};
constexpr std::string_view kLetter[] = {"letter", "found"};
constexpr std::string_view kNumeric[] = {"numeric", "marked"};
constexpr std::string_view kPython[] = {"pass", "runs"};
constexpr std::string_view kRegex[] = {"regex", "found"};
constexpr std::string_view kRubric[] = {"rating"};
constexpr std::string_view kSchema[] = {"schema_valid", "json_valid"};
constexpr std::string_view kTools[] = {"ast", "name"};

constexpr CheckKind kKinds[] = {
    {"contains", kContains, make_contains},
    {"exact", kExact, make_exact},
    {"instructions", kInstructions, make_instructions},
    {"letter", kLetter, make_letter},
    {"numeric", kNumeric, make_numeric},
    {"python", kPython, make_python},
    {"regex", kRegex, make_regex},
    {"rubric", kRubric, make_rubric},
    {"schema", kSchema, make_schema},
    {"tools", kTools, make_tools},
};

}  // namespace

std::span<const CheckKind> check_kinds() { return kKinds; }

const CheckKind* find_check_kind(std::string_view name) {
  for (const CheckKind& kind : kKinds) {
    if (kind.name == name) return &kind;
  }
  return nullptr;
}

}  // namespace carat
