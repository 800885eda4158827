#include "cards/settings.h"

#include <map>

#include "base/file_name.h"

namespace carat {
namespace {

using Leaves = std::map<std::string, std::string>;

/// Depth is bounded by what parse_json takes.
void collect(const json::value& value, const std::string& path, Leaves& leaves) {
  const auto* object = value.if_object();
  if (object && (!object->empty() || path.empty())) {
    for (const auto& [key, item] : *object)
      collect(item, path.empty() ? std::string(key) : path + "." + std::string(key), leaves);
  } else if (const auto* text = value.if_string()) {
    leaves[path] = std::string(*text);
  } else {
    leaves[path] = json::serialize(value);
  }
}

}  // namespace

std::vector<SettingDifference> differing_settings(const Variant& first, const Variant& second) {
  std::vector<SettingDifference> out;
  if (first.model_digest != second.model_digest)
    out.push_back({"model", file_name(first.model), file_name(second.model)});
  Leaves a, b;
  collect(first.settings, "", a);
  collect(second.settings, "", b);
  for (const auto& [path, value] : a) {
    const auto other = b.find(path);
    if (other == b.end())
      out.push_back({path, value, "-"});
    else if (other->second != value)
      out.push_back({path, value, other->second});
  }
  for (const auto& [path, value] : b)
    if (!a.contains(path)) out.push_back({path, "-", value});
  return out;
}

}  // namespace carat
