// Writes GGUF version 3 (layout at the top of gguf_reader.cc): header with every tensor's place, then the
// tensors.
//
// The header needs nothing that is not known before the first byte, so the file is written front to back, and
// a reader of a half-written file can never take it for a whole one: until finish() it is called
// PATH.partial. Rejected: data first and metadata by seeking back, which leaves a zero header after a kill.
#include <fmt/ranges.h>

#include <unordered_set>

#include "base/checked.h"
#include "base/digest.h"
#include "containers/gguf.h"
#include "containers/gguf_format.h"
#include "containers/gguf_split_writer.h"
#include "containers/partial_file.h"
#include "containers/quote.h"

namespace carat {

namespace {

struct Layout {
  std::string header;
  struct Place {
    uint64_t offset, bytes, end;  // from the start of the file; the end is padded
  };
  std::vector<Place> places;
  uint64_t total = 0;
};

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof(T));
}

void put_text(std::string& out, std::string_view text) {
  put<uint64_t>(out, text.size());
  out += text;
}

/// One value of an integer type; false where it does not fit.
template <class T, class From>
bool put_integer(std::string& out, From value) {
  const T stored = static_cast<T>(value);
  put(out, stored);
  return static_cast<From>(stored) == value;
}

/// One scalar as `type`; false where the value is of another kind or does not fit.
bool put_unsigned(std::string& out, ValueType type, uint64_t v) {
  switch (type) {
    case ValueType::u8:
      return put_integer<uint8_t>(out, v);
    case ValueType::u16:
      return put_integer<uint16_t>(out, v);
    case ValueType::u32:
      return put_integer<uint32_t>(out, v);
    case ValueType::u64:
      return put_integer<uint64_t>(out, v);
    case ValueType::boolean:
      return put_integer<uint8_t>(out, v) && v <= 1;
    default:
      return false;
  }
}
bool put_signed(std::string& out, ValueType type, int64_t v) {
  switch (type) {
    case ValueType::i8:
      return put_integer<int8_t>(out, v);
    case ValueType::i16:
      return put_integer<int16_t>(out, v);
    case ValueType::i32:
      return put_integer<int32_t>(out, v);
    case ValueType::i64:
      return put_integer<int64_t>(out, v);
    default:
      return false;
  }
}
bool put_float(std::string& out, ValueType type, double v) {
  if (type == ValueType::f64) return put(out, v), true;
  return type == ValueType::f32 && (put(out, gguf::narrow(v)), true);
}

bool put_array(std::string& out, const Array& a) {
  put<uint32_t>(out, static_cast<uint32_t>(a.element));
  put<uint64_t>(out, a.size());
  if (a.element == ValueType::string) {
    for (const auto& s : a.strings) put_text(out, s);
    return a.size() == a.strings.size();
  }
  bool ok = a.strings.empty() && gguf::scalar_bytes(a.element) != 0;
  for (const uint64_t v : a.unsigneds) ok = put_unsigned(out, a.element, v) && ok;
  for (const int64_t v : a.signeds) ok = put_signed(out, a.element, v) && ok;
  for (const double v : a.floats) ok = put_float(out, a.element, v) && ok;
  return ok;
}

bool put_value(std::string& out, const Value& value) {
  const ValueType type = value.type;
  if (const auto* u = std::get_if<uint64_t>(&value.data)) return put_unsigned(out, type, *u);
  if (const auto* i = std::get_if<int64_t>(&value.data)) return put_signed(out, type, *i);
  if (const auto* d = std::get_if<double>(&value.data)) return put_float(out, type, *d);
  if (const auto* b = std::get_if<bool>(&value.data)) {
    return type == ValueType::boolean && put_unsigned(out, type, *b ? 1 : 0);
  }
  if (const auto* s = std::get_if<std::string>(&value.data)) {
    put_text(out, *s);
    return type == ValueType::string;
  }
  return type == ValueType::array && put_array(out, std::get<Array>(value.data));
}

Result<uint64_t> chosen_alignment(const Metadata& metadata) {
  const Value* v = metadata.find("general.alignment");
  if (v == nullptr) return gguf::default_alignment;
  const auto* a = std::get_if<uint64_t>(&v->data);
  if (v->type != ValueType::u32 || a == nullptr || !gguf::valid_alignment(*a)) {
    return bad_data("general.alignment must be a u32, a power of two from 8 to {}", gguf::max_alignment);
  }
  return *a;
}

Status put_tensor_info(std::string& out, const PlannedTensor& t, uint64_t offset, uint64_t& bytes) {
  if (t.name.empty() || t.name.size() > gguf::max_name_bytes || t.name.find('\0') != std::string::npos) {
    return bad_data("tensor {} has a name of {} bytes; GGUF readers allow 1 to {}, none of them zero",
                    quote(t.name), t.name.size(), gguf::max_name_bytes);
  }
  if (t.shape.size() > gguf::max_dimensions) {
    return bad_data("tensor {} has {} dimensions; GGUF allows {}", quote(t.name), t.shape.size(),
                    gguf::max_dimensions);
  }
  if (find_ggml_type(t.encoding->ggml_type) != t.encoding) {
    return bad_data("tensor {} is stored as {}, which GGUF has no type for", quote(t.name), t.encoding->name);
  }
  uint64_t rows = 1;
  uint64_t columns = 1;
  for (size_t i = 0; i < t.shape.size(); ++i) {
    const auto n = static_cast<uint64_t>(t.shape[i]);
    const auto product = t.shape[i] > 0 ? checked_mul(rows, i + 1 < t.shape.size() ? n : 1) : std::nullopt;
    if (!product)
      return bad_data("tensor {} has the impossible shape [{}]", quote(t.name), fmt::join(t.shape, ", "));
    rows = *product;
    columns = n;
  }
  const auto size = t.encoding->checked_bytes(rows, columns);
  if (!size) {
    return bad_data("tensor {} of shape [{}] does not fit {}, which stores {} columns at a time",
                    quote(t.name), fmt::join(t.shape, ", "), t.encoding->name, t.encoding->block);
  }
  bytes = *size;
  put_text(out, t.name);
  put<uint32_t>(out, static_cast<uint32_t>(t.shape.size()));
  for (size_t i = t.shape.size(); i-- > 0;) put<int64_t>(out, t.shape[i]);
  put<uint32_t>(out, t.encoding->ggml_type);
  put<uint64_t>(out, offset);
  return {};
}

Result<Layout> lay_out(const Metadata& metadata, const std::vector<PlannedTensor>& plan) {
  CARAT_TRY(const uint64_t alignment, chosen_alignment(metadata));
  Layout layout;
  std::string& out = layout.header;
  put<uint32_t>(out, gguf::magic);
  put<uint32_t>(out, gguf::version);
  put<uint64_t>(out, plan.size());
  put<uint64_t>(out, metadata.entries().size());
  for (const auto& [key, value] : metadata.entries()) {
    if (key.empty() || key.size() > gguf::max_key_bytes) {
      return bad_data("metadata key {} has {} bytes; GGUF allows 1 to {}", quote(key), key.size(),
                      gguf::max_key_bytes);
    }
    put_text(out, key);
    put<uint32_t>(out, static_cast<uint32_t>(value.type));
    if (!put_value(out, value)) {
      return error(Code::internal, "metadata key {}: the value does not fit its type {}", quote(key),
                   value_type_name(value.type));
    }
  }

  uint64_t data_bytes = 0;
  std::unordered_set<std::string_view> names;
  for (const PlannedTensor& t : plan) {
    if (!names.insert(t.name).second) return bad_data("two tensors are named {}", quote(t.name));
    uint64_t bytes = 0;
    CARAT_DO(put_tensor_info(out, t, data_bytes, bytes));
    const auto sum = checked_add(data_bytes, bytes);
    const auto end = sum ? checked_round_up(*sum, alignment) : std::nullopt;
    if (!end || *end > INT64_MAX / 2) return bad_data("the tensors together are larger than any file can be");
    layout.places.push_back({data_bytes, bytes, *end});
    data_bytes = *end;
  }
  out.resize(*checked_round_up(out.size(), alignment), '\0');
  for (auto& p : layout.places) {
    p.offset += out.size();
    p.end += out.size();
  }
  layout.total = out.size() + data_bytes;
  return layout;
}

class GgufWriter final : public CheckpointWriter {
 public:
  GgufWriter(Layout layout, std::vector<PlannedTensor> plan, std::unique_ptr<PartialFile> file)
      : layout_(std::move(layout)), plan_(std::move(plan)), file_(std::move(file)) {
    current_ = file_->records().size();
    records_ = file_->records();
    completed_ = current_;
  }

  uint64_t total_bytes() const override { return layout_.total; }
  size_t completed() const override { return completed_; }
  const std::vector<std::string>& records() const override { return records_; }

  Result<std::vector<uint8_t>> read_back(size_t tensor) const override {
    if (tensor >= current_) return error(Code::internal, "tensor {} is not written yet", tensor);
    return file_->read_back(layout_.places[tensor].offset, layout_.places[tensor].bytes);
  }

  Status write(Bytes rows) override {
    if (current_ == plan_.size())
      return error(Code::internal, "{} bytes written after the last tensor", rows.size());
    const auto& place = layout_.places[current_];
    if (rows.size() > place.offset + place.bytes - file_->position()) {
      return error(Code::internal, "tensor {}: more bytes written than the {} planned",
                   quote(plan_[current_].name), place.bytes);
    }
    return file_->append(rows);
  }

  Status finish_tensor(std::string_view record) override {
    if (current_ == plan_.size()) return error(Code::internal, "a tensor finished after the last one");
    const auto& place = layout_.places[current_];
    if (file_->position() != place.offset + place.bytes) {
      return error(Code::internal, "tensor {}: {} of {} bytes written", quote(plan_[current_].name),
                   file_->position() - place.offset, place.bytes);
    }
    CARAT_DO(file_->append(std::vector<uint8_t>(place.end - file_->position())));
    CARAT_DO(file_->mark(record));
    records_.emplace_back(record);
    ++current_;
    return {};
  }

  Status finish(const Metadata* final) override {
    if (current_ != plan_.size()) {
      return error(Code::internal, "{} of {} tensors written", current_, plan_.size());
    }
    std::string header;
    if (final != nullptr) {
      CARAT_TRY(Layout layout, lay_out(*final, plan_));
      if (layout.header.size() != layout_.header.size()) {
        return error(Code::internal, "the final metadata take {} bytes where {} were planned",
                     layout.header.size(), layout_.header.size());
      }
      header = std::move(layout.header);
    }
    return file_->finish(header);
  }
  void discard() override { file_->discard(); }

 private:
  Layout layout_;
  std::vector<PlannedTensor> plan_;
  std::unique_ptr<PartialFile> file_;
  std::vector<std::string> records_;
  size_t current_ = 0;
  size_t completed_ = 0;
};

}  // namespace

Result<std::unique_ptr<CheckpointWriter>> create_gguf(const std::string& path, const Metadata& metadata,
                                                      const std::vector<PlannedTensor>& plan,
                                                      const GgufWriteOptions& options) {
  if (options.split_bytes > 0) return create_split_gguf(path, metadata, plan, options);
  auto laid_out = lay_out(metadata, plan);
  if (!laid_out) return std::move(laid_out).error().within(path);
  Layout layout = *std::move(laid_out);
  Sha256 identity;
  identity.update(options.fingerprint);
  identity.update(std::string_view("\0", 1));
  identity.update(layout.header);

  PartialFile::Plan job;
  job.path = path;
  job.identity = identity.hex();
  job.header = layout.header;
  for (const auto& p : layout.places) job.ends.push_back(p.end);
  job.total = layout.total;
  job.resume = options.resume;
  job.discard = options.discard_partial;
  CARAT_TRY(std::unique_ptr<PartialFile> file, PartialFile::open(job));
  return std::unique_ptr<CheckpointWriter>(new GgufWriter(std::move(layout), plan, std::move(file)));
}

Status check_gguf_place(const std::string& path, const GgufWriteOptions& options) {
  return PartialFile::check_place(path, options.resume, options.discard_partial);
}

Result<uint64_t> gguf_file_size(const Metadata& metadata, const std::vector<PlannedTensor>& plan) {
  CARAT_TRY(const Layout layout, lay_out(metadata, plan));
  return layout.total;
}

}  // namespace carat
