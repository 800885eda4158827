#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <string>

namespace carat {

struct Regex::Code {
  pcre2_code* code = nullptr;
  ~Code() { pcre2_code_free(code); }
};

namespace {

// PCRE2's \s takes U+180E, which is no white space since Unicode 6.3. Z and the controls are exactly
// White_Space.
std::string with_unicode_space(std::string_view pattern) {
  constexpr std::string_view space = "\\t-\\r\\x{85}\\p{Z}";
  std::string out;
  bool in_class = false;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\' && i + 1 < pattern.size()) {
      const char escaped = pattern[++i];
      if (escaped == 's') {
        in_class ? out.append(space) : out.append("[").append(space).append("]");
      } else if (escaped == 'S' && !in_class) {
        out.append("[^").append(space).append("]");
      } else {
        out.push_back('\\');
        out.push_back(escaped);
      }
      continue;
    }
    if (c == '[') in_class = true;
    if (c == ']') in_class = false;
    out.push_back(c);
  }
  return out;
}

std::string pcre2_message(int code) {
  char text[256];
  if (pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text) < 0) return "unknown";
  return text;
}

}  // namespace

Result<Regex> Regex::compile(std::string_view pattern, Dialect dialect) {
  const std::string adapted = with_unicode_space(pattern);
  const uint32_t options = dialect == Dialect::unicode
                               ? PCRE2_UCP
                               : PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | PCRE2_MATCH_UNSET_BACKREF;
  int code = 0;
  PCRE2_SIZE offset = 0;
  auto compiled = std::make_shared<Code>();
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(adapted.data()), adapted.size(),
                                 PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C | options, &code, &offset, nullptr);
  if (compiled->code == nullptr) {
    return bad_data("regular expression '{}': {} at {}", pattern, pcre2_message(code), offset);
  }
  // Where the system forbids JIT the interpreter serves; the result is ignored for that reason.
  pcre2_jit_compile(compiled->code, PCRE2_JIT_COMPLETE);
  Regex regex;
  regex.code_ = std::move(compiled);
  return regex;
}

size_t Regex::groups() const {
  uint32_t count = 0;
  pcre2_pattern_info(code_->code, PCRE2_INFO_CAPTURECOUNT, &count);
  return count;
}

struct Regex::Searcher::Impl {
  std::shared_ptr<const Code> code;
  pcre2_match_data* data = nullptr;
  pcre2_match_context* context = nullptr;
  pcre2_jit_stack* stack = nullptr;
  ~Impl() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
};

Regex::Searcher::Searcher(const Regex& regex) : impl_(std::make_shared<Impl>()) {
  impl_->code = regex.code_;
  impl_->data = pcre2_match_data_create_from_pattern(regex.code_->code, nullptr);
  impl_->context = pcre2_match_context_create(nullptr);
  impl_->stack = pcre2_jit_stack_create(32 << 10, 16 << 20, nullptr);
  pcre2_jit_stack_assign(impl_->context, nullptr, impl_->stack);
  // Backing out of one long run costs a step per character, so the default of 10 million steps is a limit on
  // text length; the patterns are ours and linear.
  pcre2_set_match_limit(impl_->context, 0xffffffffu);
}

Result<std::optional<Regex::Span>> Regex::Searcher::next(std::string_view subject, size_t from) {
  const auto match = [&](uint32_t options) {
    return pcre2_match(impl_->code->code, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), from,
                       PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY | options, impl_->data, impl_->context);
  };
  int rc = match(0);
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = match(PCRE2_NO_JIT);
  if (rc == PCRE2_ERROR_NOMATCH) return std::optional<Span>{};
  if (rc < 0) return bad_data("splitting text into words failed at byte {}: {}", from, pcre2_message(rc));
  const PCRE2_SIZE* vector = pcre2_get_ovector_pointer(impl_->data);
  return std::optional<Span>{Span{vector[0], vector[1]}};
}

void Regex::Searcher::limit_steps(uint32_t steps) { pcre2_set_match_limit(impl_->context, steps); }

Result<std::optional<std::vector<Regex::Span>>> Regex::Searcher::find(std::string_view subject, size_t from) {
  const int rc = pcre2_match(impl_->code->code, reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(),
                             from, PCRE2_NO_UTF_CHECK, impl_->data, impl_->context);
  if (rc == PCRE2_ERROR_NOMATCH) return std::optional<std::vector<Span>>{};
  if (rc < 0) return bad_data("the search for a regular expression ended early: {}", pcre2_message(rc));
  static_assert(PCRE2_UNSET == static_cast<PCRE2_SIZE>(std::string_view::npos));
  const PCRE2_SIZE* vector = pcre2_get_ovector_pointer(impl_->data);
  std::vector<Span> spans(pcre2_get_ovector_count(impl_->data));
  for (size_t i = 0; i < spans.size(); ++i) spans[i] = {vector[2 * i], vector[2 * i + 1]};
  return std::optional<std::vector<Span>>{std::move(spans)};
}

}  // namespace carat
