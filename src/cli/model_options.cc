#include "cli/model_options.h"

#include <array>

#include "base/error.h"

namespace carat {

namespace {

constexpr std::array kSchemes = {ActivationScheme::int8_block, ActivationScheme::int8_32,
                                 ActivationScheme::int8_token, ActivationScheme::int8_token_outliers,
                                 ActivationScheme::bfloat16,   ActivationScheme::float32};

/// Null where there is none of that name.
const ActivationScheme* find_scheme(std::string_view name) {
  for (const ActivationScheme& scheme : kSchemes)
    if (activation_scheme_name(scheme) == name) return &scheme;
  return nullptr;
}

std::string check_scheme(const std::string& name) {
  if (find_scheme(name) != nullptr) return {};
  std::vector<std::string_view> names;
  for (const ActivationScheme scheme : kSchemes) names.push_back(activation_scheme_name(scheme));
  return fmt::format("unknown activation scheme '{}'; there are {}", name, fmt::join(names, ", "));
}

}  // namespace

void add_activations_option(CLI::App& app, ActivationScheme& scheme) {
  app.add_option_function<std::string>(
         "--activations", [&scheme](const std::string& name) { scheme = *find_scheme(name); },
         "How activations are rounded where weights are quantized: int8_block (one\n"
         "scale per block of the weights, as llama.cpp; the default), int8_32 (one per\n"
         "32 columns, a smaller error), int8_token (one per token: W8A8),\n"
         "int8_token_outliers (the same without values of magnitude 6 and more, which\n"
         "are multiplied as they are: LLM.int8()), bfloat16 (weights, too) or float32\n"
         "(not at all; slow)")
      ->check(check_scheme)
      ->type_name("SCHEME");
}

void add_kv_option(CLI::App& app, KvEncoding& encoding) {
  app.add_option_function<std::string>(
         "--kv",
         [&encoding](const std::string& name) {
           encoding = name == "f16" ? KvEncoding::f16 : KvEncoding::q8_0;
         },
         "How the keys and values of the context are kept: f16 (the default) or q8_0\n"
         "(about half the memory, a small error)")
      ->check([](const std::string& name) {
        return name == "f16" || name == "q8_0"
                   ? std::string()
                   : fmt::format("unknown encoding of keys and values '{}'; there are f16, q8_0", name);
      })
      ->type_name("ENCODING");
}

}  // namespace carat
