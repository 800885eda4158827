// Exams over long contexts, made from a seed: what is to be found is hidden in filler of any length, so that
// no data set is needed and nobody has been trained on the answers. After RULER (Hsieh et al. 2024,
// arXiv:2404.06654), whose task families these are; texts, words and numbers are our own.
//
// Lengths are nominal tokens of four bytes, because an exam may not depend on the tokenizer of who sits it. A
// prompt takes at most seven eighths of its length, which leaves room for a chat template, the answer and
// tokenizers that spend one token on every digit.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "suites/suite.h"

namespace carat {

struct LongContext {
  enum class Kind {
    needle,       ///< one number hidden in prose
    multi_key,    ///< one number asked for, others hidden under other keys
    multi_value,  ///< several numbers under one key, all asked for
    variables,    ///< which variables hold a value, through a chain of assignments
    common_words  ///< which words are in a list most often
  };
  Kind kind = Kind::needle;
  std::vector<int64_t> lengths{1024, 2048, 4096};  ///< nominal tokens of a prompt, each 256 to 131072
  int64_t count = 10;                              ///< items per length
  uint64_t seed = 1;

  static constexpr int64_t kBytesPerToken = 4;
};

/// "needle", "multi_key", ...; nothing for another name.
const LongContext::Kind* find_long_context(std::string_view name);
std::string long_context_names();

/// The items in order: every length in turn, depths spread evenly. Slices are length=N and, where something
/// lies at one place, depth=P (percent). Items hold a prompt and expect {"needed": [...]}, as the check
/// "contains" takes them.
Status make_long_context(const LongContext& settings, const std::function<Status(Item&&)>& sink);

}  // namespace carat
