#include "text/pre_tokenizer.h"

#include <algorithm>

#include "containers/quote.h"

namespace carat {
namespace {

// The expressions are facts of the models' tokenizer.json; names, ignore_merges and add_bos are llama.cpp's.

constexpr std::string_view gpt2_words =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view punctuation = R"([\p{P}$+<=>^`|~]+)";

constexpr std::string_view llama3_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2_words =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view tekken_words =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view gpt4o_words =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view deepseek_v3_words =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// DeepSeek's CJK range goes from U+0800 through U+9FA5 and on with Hangul.
constexpr std::string_view deepseek_cjk = "[一-龥ࠀ-一가-퟿]+";
constexpr std::string_view deepseek_llm_letters =
    R"(\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽ)"
    R"(ᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-)"
    R"(Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-)"
    R"(ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+)";
constexpr std::string_view deepseek_llm_punctuation = R"(\s?[!-/:-~！-／：-～‘-‟　-。]+)";

const std::vector<PreTokenizerKind>& kinds() {
  using S = SplitStep;
  static const std::vector<PreTokenizerKind> all = {
      {.names = {"gpt-2",      "gpt2",       "phi-2",      "jina-es",      "jina-de",
                 "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "roberta-bpe",
                 "gigachat",   "a.x-4.0",    "mellum",     "modern-bert",  "exaone4",
                 "mpt",        "olmo",       "jais",       "trillion",     "granite-docling"},
       .steps = {{S::gpt2_words, {}}}},
      {.names = {"smollm", "starcoder", "refact", "codeshell", "exaone", "minerva-7b"},
       .steps = {{S::digits, {}}, {S::gpt2_words, {}}}},
      {.names = {"command-r"}, .steps = {{S::digits, {}}, {S::gpt2_words, {}}}, .nfc = true},
      {.names = {"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                 "jina-v5-nano"},
       .steps = {{S::split, llama3_words}},
       .ignore_merges = true,
       .add_bos = true},
      {.names = {"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, .steps = {{S::split, llama3_words}}},
      {.names = {"qwen2"}, .steps = {{S::split, qwen2_words}}, .nfc = true},
      {.names = {"deepseek-r1-qwen", "stablelm2", "megrez", "kormo", "f2llmv2", "hunyuan", "grok-2",
                 "solar-open"},
       .steps = {{S::split, qwen2_words}}},
      {.names = {"tekken"}, .steps = {{S::split, tekken_words}}, .ignore_merges = true, .add_bos = true},
      {.names = {"gpt-4o", "llama4", "kanana2", "minimax-m2"}, .steps = {{S::split, gpt4o_words}}},
      {.names = {"deepseek-llm"},
       .steps = {{S::split, "[\\r\\n]"},
                 {S::split, deepseek_llm_letters},
                 {S::split, deepseek_llm_punctuation},
                 {S::split, R"(\s+$)"},
                 {S::split, deepseek_cjk},
                 {S::digits, {}}}},
      {.names = {"deepseek-coder"},
       .steps = {{S::split, "[\\r\\n]"},
                 {S::split, R"(\s?\p{L}+)"},
                 {S::split, R"(\s?\p{P}+)"},
                 {S::split, deepseek_cjk},
                 {S::digits, {}}}},
      {.names = {"deepseek-v3", "hunyuan-dense", "joyai-llm"},
       .steps = {{S::split, R"(\p{N}{1,3})"},
                 {S::split, "[一-龥぀-ゟ゠-ヿ]+"},
                 {S::split, deepseek_v3_words}}},
      {.names = {"falcon"},
       .steps = {{S::punctuation, {}}, {S::gpt2_words, {}}, {S::split, "[0-9][0-9][0-9]"}}},
      {.names = {"default"},
       .steps = {{S::split, R"([\p{P}$+<=>^~|]+)"},
                 {S::gpt2_words, {}},
                 {S::split, R"(\p{N}+)"},
                 {S::split, "[0-9][0-9][0-9]"}}},
  };
  return all;
}

std::string_view expression(const SplitStep& step) {
  switch (step.kind) {
    case SplitStep::digits:
      return R"(\p{N})";
    case SplitStep::punctuation:
      return punctuation;
    case SplitStep::gpt2_words:
      return gpt2_words;
    case SplitStep::split:
      break;
  }
  // Searched as written, a run of spaces in mid-text is tried from each of its positions, in quadratic time.
  if (step.regex == R"(\s+$)") return R"((?<!\s)\s++\z)";
  return step.regex;
}

}  // namespace

std::span<const PreTokenizerKind> pre_tokenizer_kinds() { return kinds(); }

std::string_view gpt2_word_expression() { return gpt2_words; }

Result<const PreTokenizerKind*> find_pre_tokenizer(std::string_view name) {
  std::string known;
  for (const PreTokenizerKind& kind : kinds()) {
    if (std::ranges::find(kind.names, name) != kind.names.end()) return &kind;
    for (const std::string_view n : kind.names) known.append(known.empty() ? "" : ", ").append(n);
  }
  return bad_data(
      "tokenizer.ggml.pre: the pre-tokenizer {} is unknown. Known are: {}. If the model splits text like one "
      "of "
      "these, set tokenizer.ggml.pre to its name",
      quote(name), known);
}

Result<const PreTokenizerKind*> pre_tokenizer_of(const Metadata& metadata) {
  CARAT_TRY(const std::string name, metadata.string_or("tokenizer.ggml.pre", "default"));
  return find_pre_tokenizer(name);
}

Result<PreTokenizer> PreTokenizer::make(const PreTokenizerKind& kind) {
  PreTokenizer pre;
  pre.kind_ = &kind;
  for (const SplitStep& step : kind.steps) {
    CARAT_TRY(auto regex, Regex::compile(expression(step)));
    pre.regexes_.push_back(std::move(regex));
  }
  return pre;
}

PreTokenizer::Cutter::Cutter(const PreTokenizer& pre) {
  for (const Regex& regex : pre.regexes_) searchers_.emplace_back(regex);
}

}  // namespace carat
