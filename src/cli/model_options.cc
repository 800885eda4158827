#include "cli/model_options.h"

#include <array>

#include "base/error.h"

namespace carat {

namespace {

constexpr std::array kSchemes = {ActivationScheme::int8_block, ActivationScheme::int8_32,
                                 ActivationScheme::float32};

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
         "32 columns, a smaller error) or float32 (not at all; slow)")
      ->check(check_scheme)
      ->type_name("SCHEME");
}

}  // namespace carat
