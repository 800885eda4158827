#include "checks/settings.h"

#include <algorithm>

namespace carat {

const json::value* Settings::take(std::string_view key) {
  known_.emplace(key);
  return object_.if_contains(key);
}

void Settings::refuse(std::string_view key, std::string_view what) {
  if (!mistake_) mistake_ = bad_data("{}: '{}' {}", where_, key, what);
}

bool Settings::flag(std::string_view key, bool missing) {
  const json::value* v = take(key);
  if (v == nullptr) return missing;
  if (!v->is_bool()) refuse(key, "must be true or false");
  return v->is_bool() ? v->get_bool() : missing;
}

int64_t Settings::integer(std::string_view key, int64_t missing, int64_t low, int64_t high) {
  const json::value* v = take(key);
  if (v == nullptr) return missing;
  if (v->is_int64() && v->get_int64() >= low && v->get_int64() <= high) return v->get_int64();
  refuse(key, fmt::format("must be an integer from {} to {}", low, high));
  return missing;
}

double Settings::number(std::string_view key, double missing, double low, double high) {
  const json::value* v = take(key);
  if (v == nullptr) return missing;
  if (v->is_number()) {
    const double x = v->to_number<double>();
    if (x >= low && x <= high) return x;
  }
  refuse(key, fmt::format("must be a number from {} to {}", low, high));
  return missing;
}

std::string Settings::text(std::string_view key, std::string_view missing) {
  const json::value* v = take(key);
  if (v == nullptr) return std::string(missing);
  if (!v->is_string()) refuse(key, "must be a string");
  return v->is_string() ? std::string(v->get_string()) : std::string(missing);
}

std::string Settings::one_of(std::string_view key, std::initializer_list<std::string_view> allowed) {
  const std::string chosen = text(key, *allowed.begin());
  if (std::find(allowed.begin(), allowed.end(), chosen) == allowed.end()) {
    refuse(key, fmt::format("is '{}'; it must be one of: {}", chosen, fmt::join(allowed, ", ")));
  }
  return chosen;
}

std::vector<std::string> Settings::texts(std::string_view key) {
  const json::value* v = take(key);
  if (v == nullptr) return {};
  if (v->is_string()) return {std::string(v->get_string())};
  const json::array* list = v->if_array();
  if (list == nullptr) {
    refuse(key, "must be a string or an array of strings");
    return {};
  }
  std::vector<std::string> out;
  for (const json::value& item : *list) {
    if (!item.is_string()) {
      refuse(key, "must hold strings only");
      return {};
    }
    out.emplace_back(item.get_string());
  }
  return out;
}

Status Settings::mistakes() const {
  if (mistake_) return *mistake_;
  return {};
}

Status Settings::finish() const {
  CARAT_DO(mistakes());
  for (const auto& [key, value] : object_) {
    if (!known_.contains(key)) {
      return bad_data("{}: '{}' is not known here; known are: {}", where_, std::string_view(key),
                      fmt::join(known_, ", "));
    }
  }
  return {};
}

}  // namespace carat
