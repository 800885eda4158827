#include "containers/gguf_parts.h"

#include <charconv>

namespace carat {
namespace {

constexpr size_t kDigits = 5;

std::optional<uint64_t> number_of(std::string_view digits) {
  uint64_t n = 0;
  const auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), n);
  if (ec != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return n;
}

}  // namespace

std::optional<PartName> parse_part_name(std::string_view path) {
  constexpr std::string_view kPattern = "-00001-of-00003.gguf";
  if (path.size() <= kPattern.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kPattern.size());
  const auto number = number_of(tail.substr(1, kDigits)), count = number_of(tail.substr(10, kDigits));
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf" || !number || !count ||
      *number < 1 || *number > *count)
    return std::nullopt;
  return PartName{std::string(path.substr(0, path.size() - kPattern.size())), *number - 1, *count};
}

std::string part_path(std::string_view prefix, uint64_t number, uint64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, number + 1, count);
}

void set_split_keys(Metadata& metadata, uint64_t number, uint64_t count, uint64_t tensors,
                    std::string_view model) {
  metadata.set("split.no", Value{ValueType::u16, number});
  metadata.set("split.count", Value{ValueType::u16, count});
  metadata.set("split.tensors.count", Value::i32(static_cast<int32_t>(tensors)));
  metadata.set(kSplitModelKey, Value::string(std::string(model)));
}

void erase_split_keys(Metadata& metadata) {
  for (const std::string_view key : {std::string_view("split.no"), std::string_view("split.count"),
                                     std::string_view("split.tensors.count"), kSplitModelKey})
    metadata.erase(key);
}

}  // namespace carat
