#include "encodings/grouped.h"

#include <array>
#include <charconv>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "encodings/all.h"
#include "encodings/names.h"

namespace carat {
namespace {

constexpr uint32_t kTypePrefix = 0xCA000000;
constexpr uint32_t kTensorNumber = 1;  // in place of a group's columns

/// What a group number in a type, or a name's ending, stands for.
struct Groups {
  int64_t group = 0, shared_rows = 1;
};

struct Kind {
  std::string_view name;
  uint32_t number;
  Grouping grouping;
  int fixed_group;
  int code_bytes;  ///< of 32 columns
  Encoding (*make)(Groups groups);
  void (*read_parameters)(const uint8_t* row, int64_t groups, int64_t first, int64_t n, float* scale,
                          float* zero);
};

template <class E>
void decode_part(const Encoding& e, const uint8_t* row, int64_t columns, int64_t first, int64_t n,
                 float* dst) {
  decode_grouped<E>(group_shape(e, columns), row, first, n, dst);
}

template <class E>
void read_parameters(const uint8_t* row, int64_t groups, int64_t first, int64_t n, float* scale,
                     float* zero) {
  E::read_parameters(row, groups, first, n, scale, zero);
}

template <class E>
concept IntegerKind = requires {
  E::kBits;
};

template <class E>
Encoding make(Groups groups) {
  const bool whole = groups.group == kWhole;
  const int columns = whole ? 32 : static_cast<int>(groups.group);
  Encoding e{
      .name = {},
      .kind = kind_of<E>(),
      .ggml_type = 0,
      .atom = E::kAtom,
      .leaf = columns,
      .block = columns,
      .block_bytes = static_cast<uint32_t>(columns / 32 * static_cast<int>(sizeof(typename E::Block))) +
                     (whole ? 0 : E::kGroupBytes),
      .is_float = false,
      .has_integers = IntegerKind<E>,
      .group = groups.group,
      .shared_rows = groups.shared_rows,
      .span = whole ? kWhole : 0,
      .span_bytes = whole ? E::kGroupBytes : 0,
      .decode_part = decode_part<E>};
  if constexpr (E::kSpanBytes > 0) e.span = E::kSpanGroups * E::kFixedGroup, e.span_bytes = E::kSpanBytes;
  return e;
}

template <class E>
constexpr int fixed_group() {
  if constexpr (E::kGrouping == Grouping::fixed)
    return E::kFixedGroup;
  else
    return 0;
}

template <class... E>
constexpr std::array<Kind, sizeof...(E)> kinds(EncodingList<E...>) {
  return {Kind{E::kName, E::kNumber, E::kGrouping, fixed_group<E>(), int{sizeof(typename E::Block)}, make<E>,
               read_parameters<E>}...};
}
constexpr auto kAllKinds = kinds(GroupedKinds{});

/// The columns of a group, or one of the numbers that stand for wholes; nothing where the kind has none such.
std::optional<Groups> groups_from(const Kind& kind, uint32_t number) {
  if (kind.grouping == Grouping::fixed)
    return number == static_cast<uint32_t>(kind.fixed_group) ? std::optional(Groups{kind.fixed_group, 1})
                                                             : std::nullopt;
  if (number == 0) return Groups{kWhole, 1};
  if (number == kTensorNumber) return Groups{kWhole, kWhole};
  if (kind.grouping == Grouping::tiles) return number == 128 ? std::optional(Groups{128, 128}) : std::nullopt;
  return number % 32 == 0 && number <= 0xffff ? std::optional(Groups{number, 1}) : std::nullopt;
}

std::string name_of(const Kind& kind, uint32_t number) {
  std::string name(kind.name);
  if (kind.grouping == Grouping::fixed) return name;
  if (number == 0) return name + "_CHANNEL";
  if (number == kTensorNumber) return name + "_TENSOR";
  return name + (kind.grouping == Grouping::tiles ? "_BLOCK" : "_G") + std::to_string(number);
}

/// Those that somebody has asked for. At most some 20,000 are possible, of 200 bytes.
const Encoding* intern(const Kind& kind, uint32_t number) {
  struct Named {
    std::string name;
    Encoding encoding;
  };
  static std::mutex mutex;
  static std::map<uint32_t, std::unique_ptr<Named>> all;
  const auto groups = groups_from(kind, number);
  if (!groups) return nullptr;
  const uint32_t id = kTypePrefix | kind.number << 16 | number;
  const std::lock_guard lock(mutex);
  std::unique_ptr<Named>& slot = all[id];
  if (!slot) {
    slot = std::make_unique<Named>(Named{name_of(kind, number), kind.make(*groups)});
    slot->encoding.name = slot->name;
    slot->encoding.ggml_type = id;
  }
  return &slot->encoding;
}

/// The number that a name's ending stands for.
std::optional<uint32_t> number_from(const Kind& kind, std::string_view ending) {
  if (kind.grouping == Grouping::fixed)
    return ending.empty() ? std::optional(static_cast<uint32_t>(kind.fixed_group)) : std::nullopt;
  if (same_ignoring_case(ending, "_CHANNEL")) return 0;
  if (same_ignoring_case(ending, "_TENSOR")) return kTensorNumber;
  const std::string_view before = kind.grouping == Grouping::tiles ? "_BLOCK" : "_G";
  if (!same_ignoring_case(ending.substr(0, before.size()), before)) return std::nullopt;
  ending.remove_prefix(before.size());
  uint32_t number = 0;
  const auto [end, failure] = std::from_chars(ending.data(), ending.data() + ending.size(), number);
  if (failure != std::errc{} || end != ending.data() + ending.size() || ending.front() == '0' || number < 32)
    return std::nullopt;
  return number;
}

}  // namespace

GroupShape group_shape(const Encoding& e, int64_t columns) {
  const Kind& kind = kAllKinds[e.kind - AllEncodings::kCount];
  const bool whole = e.group == kWhole;
  return {.groups = whole ? 1 : columns / e.group,
          .width = whole ? columns : e.group,
          .codes_at = static_cast<int64_t>(e.row_bytes(columns)) - columns / 32 * kind.code_bytes};
}

void read_group_parameters(const Encoding& e, const uint8_t* row, int64_t columns, float* scale,
                           float* zero) {
  const int64_t groups = group_shape(e, columns).groups;
  kAllKinds[e.kind - AllEncodings::kCount].read_parameters(row, groups, 0, groups, scale, zero);
}

const Encoding* find_grouped(std::string_view name) {
  for (const Kind& kind : kAllKinds) {
    if (!same_ignoring_case(name.substr(0, kind.name.size()), kind.name)) continue;
    if (const auto number = number_from(kind, name.substr(kind.name.size()))) return intern(kind, *number);
  }
  return nullptr;
}

const Encoding* find_grouped_type(uint32_t id) {
  if ((id & 0xff000000) != kTypePrefix) return nullptr;
  for (const Kind& kind : kAllKinds)
    if (kind.number == (id >> 16 & 0xff)) return intern(kind, id & 0xffff);
  return nullptr;
}

std::span<const Encoding* const> grouped_encodings() {
  static const auto usual = [] {
    std::array<const Encoding*, kAllKinds.size()> list{};
    for (size_t i = 0; i < list.size(); ++i) {
      const Kind& kind = kAllKinds[i];
      list[i] =
          intern(kind, kind.grouping == Grouping::fixed ? static_cast<uint32_t>(kind.fixed_group) : 128);
    }
    return list;
  }();
  return usual;
}

std::string_view grouped_names() {
  return "INT2 INT3 INT4 INT8 INT2_ASYM INT3_ASYM INT4_ASYM INT8_ASYM followed by _CHANNEL, _TENSOR or "
         "_Gn (n columns, a multiple of 32; INT4_G128); FP8_CHANNEL FP8_TENSOR FP8_BLOCK128; NF4";
}

}  // namespace carat
