// Options that every verb which runs a model has.
#pragma once

#include <CLI/CLI.hpp>

#include "kernels/kernels.h"

namespace carat {

/// --activations int8_block | int8_32 | bfloat16 | float32
void add_activations_option(CLI::App& app, ActivationScheme& scheme);

/// --kv f16 | q8_0
void add_kv_option(CLI::App& app, KvEncoding& encoding);

}  // namespace carat
