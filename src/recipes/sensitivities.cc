#include "recipes/sensitivities.h"

#include <algorithm>
#include <cmath>

#include "base/digest.h"
#include "containers/json.h"

namespace carat {
namespace {

constexpr std::string_view kVersionKey = "carat_sensitivities";
constexpr int kVersion = 2;

constexpr std::string_view kDigestKey = ",\"xxh3\":\"";

/// What a line ends with, from the comma on; `line` is the object without it, closed.
std::string line_end(std::string_view line) {
  const Bytes bytes(reinterpret_cast<const uint8_t*>(line.data()), line.size());
  return fmt::format("{}{:016x}\"}}", kDigestKey, xxh3(bytes));
}

/// Whether a line's digest is of what comes before it.
bool is_unaltered(std::string_view line) {
  const size_t at = line.rfind(kDigestKey);
  return at != std::string_view::npos && line.substr(at) == line_end(std::string(line.substr(0, at)) + "}");
}

/// A finite number that is not negative.
std::optional<double> amount(const json::value* value) {
  if (!value || !value->is_number()) return std::nullopt;
  const double x = value->is_double() ? value->get_double() : value->to_number<double>();
  return std::isfinite(x) && x >= 0 ? std::optional(x) : std::nullopt;
}

std::string text_at(const json::value& object, std::string_view key) {
  const json::string* s = json_string(json_find(object, key));
  return s ? std::string(*s) : std::string();
}

/// Of those that can be computed with.
const Encoding* encoding_named(std::string_view name) {
  const Encoding* e = find_encoding(name);
  return e && e->can_decode() ? e : nullptr;
}

Status check_origin(const json::value& line, const std::string& file, const SensitivityOrigin& origin) {
  const auto version = amount(json_find(line, kVersionKey));
  if (!version) return bad_data("{}: is not a file of sensitivities", file);
  if (*version != kVersion)
    return bad_data(
        "{}: is of version {}, and this program reads {}; delete it, and what it holds is measured again, or "
        "name another with --sensitivities FILE",
        file, *version, kVersion);
  const auto differs = [&](std::string_view what) {
    return usage_error(
        "{}: these sensitivities were measured {}; measure anew into another --sensitivities FILE", file,
        what);
  };
  if (text_at(line, "model") != origin.model) return differs("on another model");
  if (text_at(line, "text") != origin.text) return differs("on other calibration text");
  if (const std::string method = text_at(line, "method"); method != origin.method)
    return differs(fmt::format("with {} and not with {}", method, origin.method));
  if (text_at(line, "importance") != origin.importance) return differs("with other statistics");
  return {};
}

Result<TensorSensitivity> read_tensor(const json::value& line) {
  TensorSensitivity t;
  t.tensor = text_at(line, "tensor");
  t.probe = encoding_named(text_at(line, "probe"));
  const auto kl = amount(json_find(line, "kl"));
  const json::object* errors = json_object(json_find(line, "errors"));
  if (t.tensor.empty() || !t.probe || !kl || !errors)
    return bad_data("needs tensor, probe (an encoding), kl and errors");
  t.kl = *kl;
  for (const auto& [name, value] : *errors) {
    const Encoding* e = encoding_named(name);
    if (!e) return bad_data("carat has no encoding '{}'", std::string_view(name));
    const auto error = amount(&value);
    if (!error) return bad_data("the error of {} is not a number", e->name);
    t.errors.push_back({e, *error});
  }
  return t;
}

}  // namespace

std::optional<double> TensorSensitivity::predicted_kl(const Encoding& encoding) const {
  const auto error_of = [&](const Encoding& e) -> std::optional<double> {
    const auto at = std::ranges::find(errors, &e, &EncodingError::encoding);
    return at == errors.end() ? std::nullopt : std::optional(at->error);
  };
  const auto error = error_of(encoding), probed = error_of(*probe);
  if (!error || !probed) return std::nullopt;
  return *probed > 0 ? kl * *error / *probed : 0;
}

std::string format_origin(const SensitivityOrigin& origin) {
  return json::serialize(json::object{{kVersionKey, kVersion},
                                      {"model", origin.model},
                                      {"text", origin.text},
                                      {"method", origin.method},
                                      {"importance", origin.importance}}) +
         "\n";
}

std::string format_sensitivity(const TensorSensitivity& tensor) {
  json::object errors;
  for (const EncodingError& e : tensor.errors) errors[e.encoding->name] = e.error;
  std::string line = json::serialize(json::object{{"tensor", tensor.tensor},
                                                  {"probe", tensor.probe->name},
                                                  {"kl", tensor.kl},
                                                  {"errors", std::move(errors)}});
  const std::string end = line_end(line);
  line.pop_back();
  return line + end + "\n";
}

Result<SensitivityText> parse_sensitivities(std::string_view text, const std::string& file,
                                            const SensitivityOrigin& origin) {
  SensitivityText out;
  int64_t number = 0;
  for (size_t end; (end = text.find('\n', out.whole_bytes)) != std::string_view::npos;
       out.whole_bytes = end + 1) {
    const std::string where = fmt::format("{}:{}", file, ++number);
    const std::string_view written = text.substr(out.whole_bytes, end - out.whole_bytes);
    auto line = parse_json(written);
    if (!line) return std::move(line).error().within(where);
    if (number == 1) {
      CARAT_DO(check_origin(*line, file, origin));
      continue;
    }
    auto tensor = read_tensor(*line);
    if (!tensor) return std::move(tensor).error().within(where);
    if (!is_unaltered(written))
      return bad_data("{}: is not as it was written; delete the line, and its tensor is measured again",
                      where);
    const std::string name = tensor->tensor;
    out.tensors.insert_or_assign(name, *std::move(tensor));
  }
  if (number == 0 && !text.empty()) return bad_data("{}: is not a file of sensitivities", file);
  return out;
}

}  // namespace carat
