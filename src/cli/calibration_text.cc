#include "cli/calibration_text.h"

#include <algorithm>

#include "cli/checks.h"
#include "containers/mapped_file.h"

namespace carat {
namespace {

constexpr uint64_t kTextLimit = 1'000'000'000;

Result<CalibrationText> cut_conversations(const CalibrationTextArguments& arguments,
                                          const Checkpoint& checkpoint, const Tokenizer& tokenizer,
                                          const std::vector<NamedText>& texts) {
  CARAT_TRY(const std::string source, checkpoint.metadata.string_or("tokenizer.chat_template", ""));
  if (source.empty())
    return bad_data("{}: has no chat template; calibrate on plain text, without --chat", checkpoint.source);
  auto format = ChatTemplate::parse(source);
  if (!format) return std::move(format).error().within(checkpoint.source);
  std::vector<NamedTokens> tokens;
  for (const NamedText& text : texts) {
    CARAT_TRY(NamedTokens rendered, tokenize_conversations(tokenizer, **format, text));
    tokens.push_back(std::move(rendered));
  }
  return cut_calibration_tokens(tokenizer, tokens, arguments.cut);
}

}  // namespace

void add_calibration_text(CLI::App& app, CalibrationTextArguments& arguments, const std::string& use) {
  app.add_option("--text", arguments.texts, use + "; may be repeated")
      ->type_name("FILE")
      ->allow_extra_args(false)
      ->take_all();
  app.add_flag("--chat", arguments.chat,
               "The texts are conversations, one JSON object {\"messages\": [{\"role\":\n"
               "..., \"content\": ...}]} per line, and go through the model's chat template");
  app.add_option("--ctx", arguments.cut.context, "Tokens of a sequence of text")
      ->capture_default_str()
      ->check(whole_number(2, 1 << 20))
      ->type_name("N");
  app.add_option("--chunks", arguments.cut.sequences,
                 "At most so many sequences, evenly from all texts (default: all)")
      ->check(whole_number(1, 1 << 30))
      ->type_name("N");
  static constexpr ActivationScheme schemes[] = {ActivationScheme::bfloat16, ActivationScheme::float32};
  app.add_option_function<std::string>(
         "--activations",
         [&arguments](const std::string& name) {
           arguments.activations = *std::ranges::find(schemes, name, activation_scheme_name);
         },
         "How the model computes while text goes through it: bfloat16 (the default) or float32\n"
         "(slower)")
      ->check([](const std::string& name) {
        return std::ranges::count(schemes, name, activation_scheme_name) > 0
                   ? std::string()
                   : fmt::format("unknown arithmetic '{}'; there are bfloat16, float32", name);
      })
      ->type_name("SCHEME");
}

Result<CalibrationText> read_calibration_text(const CalibrationTextArguments& arguments,
                                              const Checkpoint& checkpoint) {
  auto tokenizer = Tokenizer::from_metadata(checkpoint.metadata);
  if (!tokenizer) return std::move(tokenizer).error().within(checkpoint.source);
  std::vector<NamedText> texts;
  for (const std::string& path : arguments.texts) {
    CARAT_TRY(std::string text, read_small_file(path, kTextLimit));
    texts.push_back({path, std::move(text)});
  }
  if (arguments.chat) return cut_conversations(arguments, checkpoint, **tokenizer, texts);
  return cut_calibration_text(**tokenizer, texts, arguments.cut);
}

}  // namespace carat
