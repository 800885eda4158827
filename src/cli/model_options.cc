#include "cli/model_options.h"

#include <map>

namespace carat {

void add_activations_option(CLI::App& app, ActivationScheme& scheme) {
  std::map<std::string, ActivationScheme> names;
  for (auto s : {ActivationScheme::int8_block, ActivationScheme::int8_32, ActivationScheme::float32})
    names.emplace(activation_scheme_name(s), s);
  app.add_option("--activations", scheme,
                 "How activations are rounded where weights are quantized: int8_block (one\n"
                 "scale per block of the weights, as llama.cpp; the default), int8_32 (one per\n"
                 "32 columns, a smaller error) or float32 (not at all; slow)")
      ->transform(CLI::CheckedTransformer(names).description(""))
      ->type_name("SCHEME");
}

}  // namespace carat
