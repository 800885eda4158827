#include "text/hf_pre_tokenizer.h"

#include <algorithm>

#include "containers/quote.h"
#include "text/pre_tokenizer.h"

namespace carat {
namespace {

/// Line ends and tabs may be written as themselves or as escapes.
std::string canonical_regex(std::string_view regex) {
  std::string out;
  for (const char c : regex) {
    if (c == '\r') {
      out += "\\r";
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

struct FoundStep {
  SplitStep::Kind kind;
  std::string regex;
};

Status collect_steps(const json::value& node, int depth, std::vector<FoundStep>& steps) {
  const std::string type = text_of(json_find(node, "type")).value_or("");
  if (depth > 4) return unknown_pre_tokenizer("sequences within sequences");
  if (type == "Sequence") {
    const json::array* parts = json_array(json_find(node, "pretokenizers"));
    if (!parts) return bad_data("tokenizer.json: a pre_tokenizer of type Sequence has no pretokenizers");
    for (const json::value& part : *parts) CARAT_DO(collect_steps(part, depth + 1, steps));
    return {};
  }
  if (type == "ByteLevel") {
    if (flag_of(node, "add_prefix_space", false))
      return unknown_pre_tokenizer("ByteLevel with add_prefix_space");
    if (flag_of(node, "use_regex", true)) steps.push_back({SplitStep::gpt2_words, {}});
    return {};
  }
  if (type == "Digits" && flag_of(node, "individual_digits", false)) {
    steps.push_back({SplitStep::digits, {}});
    return {};
  }
  const std::string behavior = text_of(json_find(node, "behavior")).value_or("");
  if (type == "Punctuation" && behavior == "Contiguous") {
    steps.push_back({SplitStep::punctuation, {}});
    return {};
  }
  if (type == "Split") {
    const json::value* pattern = json_find(node, "pattern");
    const auto regex = pattern ? text_of(json_find(*pattern, "Regex")) : std::nullopt;
    const bool invert = flag_of(node, "invert", false);
    // Removing what does not match the words keeps the words, as isolating them does.
    const bool isolates = (behavior == "Isolated" && !invert) || (behavior == "Removed" && invert);
    if (!regex || !isolates)
      return unknown_pre_tokenizer(fmt::format("Split {}", quote(json::serialize(node))));
    if (canonical_regex(*regex) == gpt2_word_expression()) {
      steps.push_back({SplitStep::gpt2_words, {}});
    } else {
      steps.push_back({SplitStep::split, canonical_regex(*regex)});
    }
    return {};
  }
  return unknown_pre_tokenizer(quote(json::serialize(node)));
}

bool same_steps(const std::vector<FoundStep>& found, const std::vector<SplitStep>& known) {
  return std::ranges::equal(found, known, [](const FoundStep& a, const SplitStep& b) {
    return a.kind == b.kind && (a.kind != SplitStep::split || a.regex == canonical_regex(b.regex));
  });
}

}  // namespace

Error unknown_pre_tokenizer(std::string_view what) {
  return bad_data(
      "tokenizer.json: carat does not know the way this model cuts text into words: {}. If it cuts like a "
      "known "
      "model, give its tokenizer.json that model's pre_tokenizer, or convert to GGUF with another program "
      "and set "
      "tokenizer.ggml.pre to that model's name",
      what);
}

Status collect_normalizers(const json::value* node, int depth, std::vector<const json::value*>& out) {
  if (!node || node->is_null()) return {};
  if (depth > 4) return bad_data("tokenizer.json: normalizers nest too deeply");
  if (text_of(json_find(*node, "type")) == "Sequence") {
    if (const json::array* parts = json_array(json_find(*node, "normalizers"))) {
      for (const json::value& part : *parts) CARAT_DO(collect_normalizers(&part, depth + 1, out));
    }
    return {};
  }
  out.push_back(node);
  return {};
}

Result<std::string> recognise_pre_tokenizer(const json::value& tokenizer, bool ignore_merges) {
  std::vector<FoundStep> steps;
  const json::value* node = json_find(tokenizer, "pre_tokenizer");
  if (!node || node->is_null()) return unknown_pre_tokenizer("it has no pre_tokenizer");
  CARAT_DO(collect_steps(*node, 0, steps));
  std::vector<const json::value*> normalizers;
  CARAT_DO(collect_normalizers(json_find(tokenizer, "normalizer"), 0, normalizers));
  bool nfc = false;
  for (const json::value* n : normalizers) {
    if (text_of(json_find(*n, "type")) != "NFC") {
      return bad_data("tokenizer.json: carat does not know the normalizer {} before byte-level BPE",
                      quote(json::serialize(*n)));
    }
    nfc = true;
  }
  const PreTokenizerKind* best = nullptr;
  for (const PreTokenizerKind& kind : pre_tokenizer_kinds()) {
    if (!same_steps(steps, kind.steps) || kind.nfc != nfc) continue;
    if (!best || (kind.ignore_merges == ignore_merges && best->ignore_merges != ignore_merges)) best = &kind;
  }
  if (best) return std::string(best->names[0]);
  std::string description = nfc ? "NFC" : "";
  for (const FoundStep& step : steps) {
    description += (description.empty() ? "" : ", then ");
    description += step.kind == SplitStep::split         ? "the expression " + step.regex
                   : step.kind == SplitStep::digits      ? "single digits"
                   : step.kind == SplitStep::punctuation ? "punctuation"
                                                         : "GPT-2's words";
  }
  return unknown_pre_tokenizer(description.empty() ? "as a whole" : description);
}

}  // namespace carat
