#include "arch/hf_keys.h"

namespace carat {
namespace {

json::value as_json(const HfKey& key, double value) {
  if (key.kind == HfKey::Kind::flag) return json::value(value != 0);
  if (key.kind == HfKey::Kind::count) return json::value(static_cast<int64_t>(value));
  return json::value(value);
}

Status check_empty_list(const HfReader& read, const HfKey& key) {
  const json::value* list = read.find(key.hf);
  if (!list || (list->is_array() && list->get_array().empty())) return {};
  return bad_data("{} is {}; carat knows no layers that differ by such a list", key.hf,
                  HfReader::short_text(*list));
}

Result<std::optional<double>> read_value(const HfReader& read, const HfKey& key) {
  std::optional<double> out;
  if (key.kind == HfKey::Kind::flag) {
    CARAT_TRY(const auto flag, read.boolean(key.hf));
    if (flag) out = *flag ? 1 : 0;
  } else if (key.kind == HfKey::Kind::count) {
    CARAT_TRY(const auto count, read.count(key.hf, 0));
    if (count) out = static_cast<double>(*count);
  } else {
    CARAT_TRY(out, read.number(key.hf, -1e9, 1e9));
  }
  return out;
}

}  // namespace

Status read_hf_keys(const HfReader& read, std::string_view architecture, std::span<const HfKey> keys,
                    Metadata& out) {
  for (const HfKey& key : keys) {
    if (key.kind == HfKey::Kind::empty_list) {
      CARAT_DO(check_empty_list(read, key));
      continue;
    }
    CARAT_TRY(std::optional<double> value, read_value(read, key));
    if (!value) value = key.fallback;
    if (!value) return bad_data("{} is missing", key.hf);
    if (key.gguf.empty()) {
      const double required = key.required.value_or(key.fallback.value_or(0));
      if (*value == required) continue;
      return bad_data("{} is {}; carat runs {} with {} only", key.hf, json::serialize(as_json(key, *value)),
                      architecture, json::serialize(as_json(key, required)));
    }
    const std::string name = fmt::format("{}.{}", architecture, key.gguf);
    if (key.kind == HfKey::Kind::flag)
      out.set(name, Value::boolean(*value != 0));
    else if (key.kind == HfKey::Kind::count)
      out.set(name, Value::u32(static_cast<uint32_t>(*value)));
    else
      out.set(name, Value::f32(static_cast<float>(*value)));
  }
  return {};
}

Status write_hf_keys(const Metadata& metadata, std::string_view architecture, std::span<const HfKey> keys,
                     json::object& out) {
  for (const HfKey& key : keys) {
    const std::string name = fmt::format("{}.{}", architecture, key.gguf);
    if (key.kind == HfKey::Kind::empty_list) {
      out[key.hf] = json::array();
    } else if (key.gguf.empty()) {
      out[key.hf] = as_json(key, key.required.value_or(key.fallback.value_or(0)));
    } else if (!metadata.has(name)) {
      continue;
    } else if (key.kind == HfKey::Kind::flag) {
      CARAT_TRY(const bool flag, metadata.bool_at(name));
      out[key.hf] = flag;
    } else if (key.kind == HfKey::Kind::count) {
      CARAT_TRY(const int64_t count, metadata.signed_at(name));
      out[key.hf] = count;
    } else {
      CARAT_TRY(const double number, metadata.number_at(name));
      out[key.hf] = short_decimal(number);
    }
  }
  return {};
}

}  // namespace carat
