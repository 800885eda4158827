// Reads models that are split into several GGUF files: names and keys at the top of gguf_parts.h.
#include <cerrno>

#include "containers/gguf.h"
#include "containers/gguf_parts.h"
#include "containers/quote.h"

namespace carat {
namespace {

/// What a part says of its place.
struct PartKeys {
  uint64_t number = 0, count = 1;
  std::optional<uint64_t> tensors;
  std::string model;  ///< empty where it does not say
};

Result<PartKeys> part_keys(const Checkpoint& part) {
  const Metadata& m = part.metadata;
  PartKeys keys;
  const auto read = [&]() -> Status {
    CARAT_TRY(keys.count, m.unsigned_or("split.count", 1));
    CARAT_TRY(keys.number, m.unsigned_or("split.no", 0));
    CARAT_TRY(keys.model, m.string_or(kSplitModelKey, ""));
    if (!m.has("split.tensors.count")) return {};
    CARAT_TRY(keys.tensors, m.unsigned_at("split.tensors.count"));
    return {};
  };
  if (Status s = read(); !s) return std::move(s).error().within(part.source);
  return keys;
}

Result<Checkpoint> join(const std::string& path, const PartKeys& given) {
  const auto name = parse_part_name(path);
  if (!name || name->count != given.count)
    return bad_data(
        "{}: this is part {} of {} of a split model, whose parts are found by name: it should end in {}",
        path, given.number + 1, given.count, part_path("", given.number, given.count));
  Checkpoint out;
  uint64_t tensors = 0;
  PartKeys first;
  for (uint64_t i = 0; i < given.count; ++i) {
    const std::string file = part_path(name->prefix, i, given.count);
    auto part = read_gguf_file(file);
    if (!part) {
      Error e = std::move(part).error();
      if (e.code == Code::no_input)
        e.message +=
            fmt::format("; it is part {} of {} of the model that {} belongs to", i + 1, given.count, path);
      return e;
    }
    CARAT_TRY(PartKeys keys, part_keys(*part));
    if (keys.number != i || keys.count != given.count)
      return bad_data("{}: by its name this is part {} of {}, but it says that it is part {} of {}", file,
                      i + 1, given.count, keys.number + 1, keys.count);
    if (i == 0) {
      first = keys;
      out.metadata = part->metadata;
    } else if (keys.model != first.model || keys.tensors != first.tensors) {
      return bad_data("{}: this part belongs to another model than {}, or to another way of splitting it",
                      file, part_path(name->prefix, 0, given.count));
    }
    out.file_bytes += part->file_bytes;
    out.files.push_back(file);
    tensors += part->tensors.size();
    for (Tensor& t : part->tensors) out.tensors.push_back(std::move(t));
  }
  if (first.tensors && *first.tensors != tensors)
    return bad_data("{}: the parts hold {} tensors together, but say that the model has {}", path, tensors,
                    *first.tensors);
  out.source = path;
  out.container = "gguf";
  erase_split_keys(out.metadata);
  if (Status s = out.reindex(); !s) return std::move(s).error().within(path);
  return out;
}

}  // namespace

Result<Checkpoint> read_gguf(const std::string& path) {
  CARAT_TRY(Checkpoint file, read_gguf_file(path));
  CARAT_TRY(const PartKeys keys, part_keys(file));
  if (keys.count > kMostParts || (keys.count > 1 && keys.number >= keys.count))
    return bad_data("{}: it says that it is part {} of {}", path, keys.number + 1, keys.count);
  if (keys.count > 1) return join(path, keys);
  erase_split_keys(file.metadata);
  return file;
}

}  // namespace carat
