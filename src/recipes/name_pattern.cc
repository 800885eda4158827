#define PCRE2_CODE_UNIT_WIDTH 8
#include "recipes/name_pattern.h"

#include <pcre2.h>

namespace carat {
namespace {

std::string pcre2_message(int code) {
  PCRE2_UCHAR text[128] = {};
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// Names are a few dozen characters; a pattern that needs more steps than this on one is a mistake.
constexpr uint32_t kMatchLimit = 1'000'000;

}  // namespace

struct NamePattern::Compiled {
  std::string text;
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  Compiled() = default;
  Compiled(const Compiled&) = delete;
  Compiled& operator=(const Compiled&) = delete;
  ~Compiled() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }
};

Result<NamePattern> NamePattern::compile(std::string_view pattern) {
  auto code = std::make_shared<Compiled>();
  code->text = pattern;
  int reason = 0;
  PCRE2_SIZE offset = 0;
  code->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), 0, &reason,
                             &offset, nullptr);
  if (!code->code)
    return usage_error("the pattern '{}' is not a regular expression: {} at character {}", pattern,
                       pcre2_message(reason), offset + 1);
  code->context = pcre2_match_context_create(nullptr);
  if (!code->context) return error(Code::internal, "out of memory");
  pcre2_set_match_limit(code->context, kMatchLimit);
  NamePattern p;
  p.code_ = std::move(code);
  return p;
}

Result<bool> NamePattern::found_in(std::string_view name) const {
  pcre2_match_data* match = pcre2_match_data_create(1, nullptr);
  if (!match) return error(Code::internal, "out of memory");
  const int found = pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(name.data()), name.size(), 0, 0,
                                match, code_->context);
  pcre2_match_data_free(match);
  if (found == PCRE2_ERROR_NOMATCH) return false;
  if (found < 0)
    return usage_error("the pattern '{}' cannot be searched for in '{}': {}", code_->text, name,
                       pcre2_message(found));
  return true;
}

}  // namespace carat
