// --split-size, and how the files that come of it are told.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace carat {

void add_split_size(CLI::App& app, uint64_t& bytes);

/// "small.gguf", or "small-00001-of-00003.gguf and 2 more parts".
std::string written_files(const std::string& out, const std::vector<std::string>& files);

}  // namespace carat
