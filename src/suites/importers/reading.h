// What importers share: lines of JSON, rows of CSV, fields by name.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "suites/import.h"

namespace carat {

/// Each object of a file of JSON lines, with its place. bad_data where a line is none.
Status for_each_object(const std::string& path,
                       const std::function<Status(const std::string& place, json::object&&)>& sink);
/// The same over several files.
Status for_each_object(const std::vector<std::string>& paths,
                       const std::function<Status(const std::string& place, json::object&&)>& sink);

/// Each row of a file of comma-separated values (RFC 4180: quotes, doubled quotes, line ends within them).
Status for_each_row(const std::string& path,
                    const std::function<Status(const std::string& place, std::vector<std::string>&&)>& sink);

// bad_data with place and field where it is missing or of another type.
Result<std::string> text_field(const json::object& object, std::string_view field, const std::string& place);
Result<int64_t> integer_field(const json::object& object, std::string_view field, const std::string& place);
Result<std::vector<std::string>> texts_field(const json::object& object, std::string_view field,
                                             const std::string& place);

/// "anatomy_test" of "data/anatomy_test.csv".
std::string stem_of(const std::string& path);

std::string stripped(std::string_view text);
std::string replaced(std::string_view text, std::string_view what, std::string_view with);
/// The parts between `separator`, stripped, without empty ones.
std::vector<std::string> split_stripped(std::string_view text, std::string_view separator);

}  // namespace carat
