#include "stats/calibration_text.h"

#include <algorithm>

#include "base/digest.h"
#include "text/utf8.h"

namespace carat {
namespace {

Status check_text(const NamedText& text) {
  if (text.text.empty()) return bad_data("{}: is empty; calibration needs text", text.name);
  for (size_t at = 0; at < text.text.size();) {
    const size_t n = utf8_length(text.text, at);
    if (n == 0) return bad_data("{}: is not UTF-8 at byte {}; convert it first", text.name, at);
    at += n;
  }
  return {};
}

}  // namespace

Result<CalibrationText> cut_calibration_text(const Tokenizer& tokenizer, const std::vector<NamedText>& texts,
                                             const CalibrationTextOptions& options) {
  std::vector<NamedTokens> tokens;
  for (const NamedText& text : texts) {
    CARAT_DO(check_text(text));
    CARAT_TRY(std::vector<TokenId> encoded, tokenizer.encode(text.text, false, false));
    tokens.push_back({text.name, std::move(encoded)});
  }
  return cut_calibration_tokens(tokenizer, tokens, options);
}

Result<CalibrationText> cut_calibration_tokens(const Tokenizer& tokenizer,
                                               const std::vector<NamedTokens>& texts,
                                               const CalibrationTextOptions& options) {
  const int64_t context = options.context;
  if (context < 2) return usage_error("sequences of {} tokens tell nothing; take at least 2", context);
  const int64_t prefix = tokenizer.adds_bos() && tokenizer.bos() >= 0 ? 1 : 0;
  CalibrationText out;
  out.context = context;
  std::vector<std::vector<TokenId>> all;
  for (const auto& [name, tokens] : texts) {
    const int64_t step = context - prefix, count = static_cast<int64_t>(tokens.size()) / step;
    if (count == 0)
      return bad_data(
          "{}: holds {} tokens, fewer than the {} of one sequence; give more text or a smaller --ctx", name,
          tokens.size(), step);
    for (int64_t i = 0; i < count; ++i) {
      std::vector<TokenId> sequence(static_cast<size_t>(context), tokenizer.bos());
      std::copy_n(tokens.begin() + i * step, step, sequence.begin() + prefix);
      all.push_back(std::move(sequence));
    }
    out.names.push_back(name);
  }
  const auto have = static_cast<int64_t>(all.size());
  const int64_t take = options.sequences < 0 ? have : std::min(have, options.sequences);
  Sha256 digest;
  for (int64_t i = 0; i < take; ++i) {
    out.sequences.push_back(std::move(all[static_cast<size_t>(i * have / take)]));
    const std::vector<TokenId>& s = out.sequences.back();
    digest.update(Bytes(reinterpret_cast<const uint8_t*>(s.data()), s.size() * sizeof(TokenId)));
    add_to_sketch(std::span(s).subspan(static_cast<size_t>(prefix)), out.sketch);
  }
  out.digest = digest.hex();
  return out;
}

}  // namespace carat
