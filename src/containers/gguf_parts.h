// Names and bookkeeping of GGUF models that are split into several files, as llama.cpp splits them:
//
//   NAME-00001-of-00003.gguf ...   part numbers from 1 in names, from 0 in split.no
//   split.no u16, split.count u16, split.tensors.count i32 (of all parts)
//
// All other metadata are the first part's. Parts that carat writes carry carat.split.model besides: the same
// 64 hex digits in each, by which a part of another model is told. Internal to containers/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "containers/checkpoint.h"

namespace carat {

inline constexpr std::string_view kSplitModelKey = "carat.split.model";
inline constexpr uint64_t kMostParts = 65535;  ///< split.count is a u16

struct PartName {
  std::string prefix;  ///< what stands before "-00001-of-00003.gguf"
  uint64_t number = 0, count = 0;
};
/// Nothing where a path is not named like a part.
std::optional<PartName> parse_part_name(std::string_view path);
/// `number` from 0 on.
std::string part_path(std::string_view prefix, uint64_t number, uint64_t count);

/// One file as it stands, split keys included.
Result<Checkpoint> read_gguf_file(const std::string& path);

/// The keys of part `number`, set in `metadata`.
void set_split_keys(Metadata& metadata, uint64_t number, uint64_t count, uint64_t tensors,
                    std::string_view model);
/// Takes them out again.
void erase_split_keys(Metadata& metadata);

}  // namespace carat
