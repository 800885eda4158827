// Typed look-ups in the settings of a check and in what an item expects. The first mistake is kept and said
// once, by finish(), with the key it is about.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "containers/json.h"

namespace carat {

class Settings {
 public:
  /// `where` begins the sentences: "check 'exact'".
  Settings(const json::object& object, std::string where) : object_(object), where_(std::move(where)) {}

  bool flag(std::string_view key, bool missing);
  int64_t integer(std::string_view key, int64_t missing, int64_t low, int64_t high);
  double number(std::string_view key, double missing, double low, double high);
  std::string text(std::string_view key, std::string_view missing);
  /// One of `allowed`; the first where the key is missing.
  std::string one_of(std::string_view key, std::initializer_list<std::string_view> allowed);
  /// A string, or an array of strings; empty where the key is missing.
  std::vector<std::string> texts(std::string_view key);
  /// Whatever is there; null where nothing is.
  const json::value* any(std::string_view key) { return take(key); }

  bool has(std::string_view key) const { return object_.contains(key); }
  /// Records a mistake unless there is one already.
  void refuse(std::string_view key, std::string_view what);
  /// The first mistake, or a key that nothing has asked for.
  Status finish() const;
  /// The first mistake; keys that nothing has asked for may be there.
  Status mistakes() const;

 private:
  const json::value* take(std::string_view key);

  const json::object& object_;
  std::string where_;
  std::set<std::string, std::less<>> known_;
  std::optional<Error> mistake_;
};

}  // namespace carat
