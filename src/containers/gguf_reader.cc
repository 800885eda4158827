// GGUF, versions 2 and 3 (they differ only in that 3 also allows big-endian files). All numbers
// little-endian.
//
//   magic "GGUF", u32 version, u64 tensor count, u64 key count
//   per key:     string key, u32 value type, value
//                string = u64 length, bytes;  array = u32 element type, u64 count, elements;  bool = 1 byte
//   per tensor:  string name, u32 dimensions, u64 ne[dimensions] (columns first), u32 type, u64 offset
//   padding to general.alignment (32 unless given), then the data; offsets count from here
//   each tensor padded to the alignment, one after the other in the order of the list
//
// The file is hostile. Every count is compared with the bytes that remain before it sizes anything, and what
// the parsed form takes in memory is charged to a budget of the file's size plus 48 MB, because a short entry
// of the file can be a long one in memory (an empty string: 8 bytes against 32).
//
// Stricter than the specification where ggml is: no nested arrays, at most 4 dimensions, offsets exactly
// contiguous. That makes "inside the file, aligned, no overlap" one comparison per tensor.
#include <cstring>
#include <optional>

#include "base/checked.h"
#include "containers/gguf.h"
#include "containers/gguf_format.h"
#include "containers/gguf_parts.h"
#include "containers/mapped_tensor.h"
#include "containers/memory_budget.h"
#include "containers/quote.h"

namespace carat {

namespace {

static_assert(std::endian::native == std::endian::little, "values are copied from the file as they lie");

constexpr uint64_t smallest_key = 8 + 1 + 4 + 1;
constexpr uint64_t smallest_tensor = 8 + 1 + 4 + 4 + 8;

/// Name of a type id that GGUF once had (ids 4, 5, 31-33 and 36-38 of ggml.h); some forks reuse these ids.
std::optional<std::string_view> removed_type(uint32_t id) {
  switch (id) {
    case 4:
      return "Q4_2";
    case 5:
      return "Q4_3";
    case 31:
      return "Q4_0_4_4";
    case 32:
      return "Q4_0_4_8";
    case 33:
      return "Q4_0_8_8";
    case 36:
      return "IQ4_NL_4_4";
    case 37:
      return "IQ4_NL_4_8";
    case 38:
      return "IQ4_NL_8_8";
    default:
      return std::nullopt;
  }
}

class Parser {
 public:
  explicit Parser(Bytes file) : file_(file) { budget_.add_file(file.size()); }

  Status parse(Checkpoint& out, const std::shared_ptr<const MappedFile>& mapped);

 private:
  uint64_t remaining() const { return file_.size() - position_; }

  template <class T, class Wide = T>
  Result<Wide> number(std::string_view what) {
    if (remaining() < sizeof(T)) return bad_data("the file ends at byte {}, inside {}", file_.size(), what);
    T value;
    std::memcpy(&value, file_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return static_cast<Wide>(value);
  }

  Result<std::string_view> text(std::string_view what) {
    CARAT_TRY(const uint64_t length, number<uint64_t>(what));
    if (length > remaining()) {
      return bad_data("{} at byte {} claims {} bytes, but {} remain in the file", what, position_ - 8, length,
                      remaining());
    }
    const std::string_view view(reinterpret_cast<const char*>(file_.data()) + position_, length);
    position_ += length;
    return view;
  }

  Result<Value> value(std::string_view key, uint32_t type_id);
  Result<Array> array(std::string_view key);
  Status header();
  Status metadata(Metadata& out);
  Status tensor_info(Tensor& tensor, uint64_t& offset, uint64_t& bytes);

  Bytes file_;
  uint64_t position_ = 0;
  MemoryBudget budget_;
  uint64_t tensor_count_ = 0;
  uint64_t key_count_ = 0;
};

Status Parser::header() {
  if (file_.size() < 4) return bad_data("not a GGUF file: it has {} bytes", file_.size());
  CARAT_TRY(const uint32_t found, number<uint32_t>("the magic number"));
  if (found == 0) {
    return bad_data(
        "not a GGUF file: it starts with zeros, as an interrupted download or conversion leaves it");
  }
  if (found != gguf::magic) {
    return bad_data("not a GGUF file: it starts with {} instead of \"GGUF\"",
                    quote({reinterpret_cast<const char*>(file_.data()), 4}));
  }
  CARAT_TRY(const uint32_t version, number<uint32_t>("the version"));
  if (version != 0 && (version & 0xffffu) == 0) {
    return bad_data(
        "a big-endian GGUF file; carat reads little-endian ones, convert it first (gguf-convert-endian)");
  }
  if (version == 1)
    return bad_data("GGUF version 1 is not read; convert the model again with a current converter");
  if (version == 0 || version > gguf::version) {
    return bad_data(
        "GGUF version {} is not known (2 and 3 are); the file is damaged or newer than this program",
        version);
  }
  CARAT_TRY(tensor_count_, number<uint64_t>("the tensor count"));
  CARAT_TRY(key_count_, number<uint64_t>("the key count"));
  if (key_count_ > remaining() / smallest_key) {
    return bad_data("the header claims {} metadata keys, but only {} bytes remain in the file", key_count_,
                    remaining());
  }
  if (tensor_count_ > remaining() / smallest_tensor) {
    return bad_data("the header claims {} tensors, but only {} bytes remain in the file", tensor_count_,
                    remaining());
  }
  // Both are bounded by the file's size, so the products cannot wrap.
  CARAT_DO(budget_.charge(key_count_ * metadata_cost));
  return budget_.charge(tensor_count_ * tensor_cost);
}

/// Values of an array as they lie at `from`, which holds as many.
template <class T, class To>
void append(const uint8_t* from, uint64_t count, std::vector<To>& to) {
  to.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    T x;
    std::memcpy(&x, from + i * sizeof(T), sizeof(T));
    to.push_back(static_cast<To>(x));
  }
}

Result<Array> Parser::array(std::string_view key) {
  CARAT_TRY(const uint32_t element, number<uint32_t>("an array's element type"));
  CARAT_TRY(const uint64_t count, number<uint64_t>("an array's length"));
  Array a;
  a.element = static_cast<ValueType>(element);
  if (a.element == ValueType::array) {
    return bad_data("metadata key {} is an array of arrays, which is not supported", quote(key));
  }
  const bool is_string = a.element == ValueType::string;
  const uint64_t size = is_string ? 8 : gguf::scalar_bytes(a.element);
  if (size == 0) return bad_data("metadata key {} is an array of unknown type {}", quote(key), element);
  if (count > remaining() / size) {
    return bad_data("metadata key {} claims {} elements of type {}, but {} bytes remain in the file",
                    quote(key), count, value_type_name(a.element), remaining());
  }
  CARAT_DO(budget_.charge(count * (is_string ? sizeof(std::string) : 8)));
  if (is_string) {
    a.strings.reserve(count);
    for (uint64_t i = 0; i < count; ++i) {
      CARAT_TRY(const std::string_view s, text("a string of an array"));
      CARAT_DO(budget_.charge_text(s.size()));
      a.strings.emplace_back(s);
    }
    return a;
  }

  const uint8_t* from = file_.data() + position_;
  switch (a.element) {
    case ValueType::u8:
      append<uint8_t>(from, count, a.unsigneds);
      break;
    case ValueType::u16:
      append<uint16_t>(from, count, a.unsigneds);
      break;
    case ValueType::u32:
      append<uint32_t>(from, count, a.unsigneds);
      break;
    case ValueType::u64:
      append<uint64_t>(from, count, a.unsigneds);
      break;
    case ValueType::i8:
      append<int8_t>(from, count, a.signeds);
      break;
    case ValueType::i16:
      append<int16_t>(from, count, a.signeds);
      break;
    case ValueType::i32:
      append<int32_t>(from, count, a.signeds);
      break;
    case ValueType::i64:
      append<int64_t>(from, count, a.signeds);
      break;
    case ValueType::f64:
      append<double>(from, count, a.floats);
      break;
    case ValueType::f32:
      a.floats.reserve(count);
      for (uint64_t i = 0; i < count; ++i) {
        uint32_t bits;
        std::memcpy(&bits, from + 4 * i, 4);
        a.floats.push_back(gguf::widen(bits));
      }
      break;
    case ValueType::boolean:
      append<uint8_t>(from, count, a.unsigneds);
      for (const uint64_t b : a.unsigneds) {
        if (b > 1) return bad_data("metadata key {} holds a bool with the value {}", quote(key), b);
      }
      break;
    case ValueType::string:
    case ValueType::array:
      break;  // handled above
  }
  position_ += count * size;
  return a;
}

Result<Value> Parser::value(std::string_view key, uint32_t type_id) {
  const auto type = static_cast<ValueType>(type_id);
  const auto unsigned_value = [&](Result<uint64_t> r) -> Result<Value> {
    CARAT_TRY(const uint64_t v, std::move(r));
    return Value{type, v};
  };
  const auto signed_value = [&](Result<int64_t> r) -> Result<Value> {
    CARAT_TRY(const int64_t v, std::move(r));
    return Value{type, v};
  };
  constexpr std::string_view what = "a metadata value";
  switch (type) {
    case ValueType::u8:
      return unsigned_value(number<uint8_t, uint64_t>(what));
    case ValueType::u16:
      return unsigned_value(number<uint16_t, uint64_t>(what));
    case ValueType::u32:
      return unsigned_value(number<uint32_t, uint64_t>(what));
    case ValueType::u64:
      return unsigned_value(number<uint64_t>(what));
    case ValueType::i8:
      return signed_value(number<int8_t, int64_t>(what));
    case ValueType::i16:
      return signed_value(number<int16_t, int64_t>(what));
    case ValueType::i32:
      return signed_value(number<int32_t, int64_t>(what));
    case ValueType::i64:
      return signed_value(number<int64_t>(what));
    case ValueType::f32: {
      CARAT_TRY(const uint32_t bits, number<uint32_t>(what));
      return Value{type, gguf::widen(bits)};
    }
    case ValueType::f64: {
      CARAT_TRY(const double d, number<double>(what));
      return Value{type, d};
    }
    case ValueType::boolean: {
      CARAT_TRY(const uint8_t b, number<uint8_t>(what));
      if (b > 1) return bad_data("metadata key {} is a bool with the value {}", quote(key), b);
      return Value::boolean(b == 1);
    }
    case ValueType::string: {
      CARAT_TRY(const std::string_view s, text("a metadata string"));
      CARAT_DO(budget_.charge_text(s.size()));
      return Value::string(std::string(s));
    }
    case ValueType::array: {
      CARAT_TRY(Array a, array(key));
      return Value{type, std::move(a)};
    }
  }
  return bad_data("metadata key {} has the unknown value type {}", quote(key), type_id);
}

Status Parser::metadata(Metadata& out) {
  out.reserve(key_count_);
  for (uint64_t i = 0; i < key_count_; ++i) {
    CARAT_TRY(const std::string_view key, text("a metadata key"));
    if (key.empty() || key.size() > gguf::max_key_bytes) {
      return bad_data("metadata key {} of {} has a name of {} bytes (1 to {} are allowed)", i, key_count_,
                      key.size(), gguf::max_key_bytes);
    }
    if (out.has(key)) return bad_data("metadata key {} appears twice", quote(key));
    CARAT_DO(budget_.charge(2 * key.size()));
    CARAT_TRY(const uint32_t type, number<uint32_t>("a metadata value's type"));
    CARAT_TRY(Value v, value(key, type));
    out.set(key, std::move(v));
  }
  return {};
}

Status Parser::tensor_info(Tensor& tensor, uint64_t& offset, uint64_t& bytes) {
  CARAT_TRY(const std::string_view name, text("a tensor's name"));
  if (name.empty() || name.find('\0') != std::string_view::npos) {
    return bad_data("a tensor's name at byte {} is empty or holds a zero byte", position_ - name.size());
  }
  CARAT_DO(budget_.charge(2 * name.size()));
  tensor.name = name;
  CARAT_TRY(const uint32_t dimensions, number<uint32_t>("a tensor's number of dimensions"));
  if (dimensions > gguf::max_dimensions) {
    return bad_data("tensor {} claims {} dimensions; at most {} are allowed", quote(name), dimensions,
                    gguf::max_dimensions);
  }
  tensor.shape.resize(dimensions);
  uint64_t columns = 1;
  uint64_t rows = 1;
  for (uint32_t i = 0; i < dimensions; ++i) {
    CARAT_TRY(const uint64_t ne, number<uint64_t>("a tensor's shape"));
    if (ne == 0 || ne > INT64_MAX) {
      return bad_data("tensor {}: dimension {} is {}", quote(name), i, static_cast<int64_t>(ne));
    }
    tensor.shape[dimensions - 1 - i] = static_cast<int64_t>(ne);
    if (i == 0) {
      columns = ne;
      continue;
    }
    const auto product = checked_mul(rows, ne);
    if (!product) return bad_data("tensor {}: its shape overflows", quote(name));
    rows = *product;
  }
  CARAT_TRY(const uint32_t type, number<uint32_t>("a tensor's type"));
  CARAT_TRY(offset, number<uint64_t>("a tensor's offset"));
  tensor.encoding = find_ggml_type(type);
  if (tensor.encoding == nullptr) {
    if (const auto old = removed_type(type)) {
      return bad_data(
          "tensor {} has type {}, which was {} until GGUF removed it (forks reuse the number): quantize "
          "the model again",
          quote(name), type, *old);
    }
    return bad_data("tensor {} has type {}, which this program does not know", quote(name), type);
  }
  const auto size = tensor.encoding->checked_bytes(rows, columns);
  if (!size) {
    return bad_data("tensor {}: {} rows of {} columns do not fit {} (blocks of {}) or overflow", quote(name),
                    rows, columns, tensor.encoding->name, tensor.encoding->block);
  }
  // Also the elements must be countable: bytes alone can be small while elements overflow int64.
  const auto elements = checked_mul(rows, columns);
  if (!elements || *elements > INT64_MAX) return bad_data("tensor {}: its shape overflows", quote(name));
  bytes = *size;
  return {};
}

Status Parser::parse(Checkpoint& out, const std::shared_ptr<const MappedFile>& mapped) {
  CARAT_DO(header());
  CARAT_DO(metadata(out.metadata));
  uint64_t alignment = gguf::default_alignment;
  if (const Value* v = out.metadata.find("general.alignment")) {
    if (v->type != ValueType::u32) return bad_data("metadata key \"general.alignment\" is not a u32");
    alignment = std::get<uint64_t>(v->data);
    if (!gguf::valid_alignment(alignment)) {
      return bad_data("general.alignment is {}; it must be a power of two from 8 to {}", alignment,
                      gguf::max_alignment);
    }
  }
  struct Place {
    uint64_t offset, bytes;
  };
  std::vector<Place> places(tensor_count_);
  out.tensors.resize(tensor_count_);
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    CARAT_DO(tensor_info(out.tensors[i], places[i].offset, places[i].bytes));
  }
  CARAT_DO(out.reindex());

  // position_ <= file size and alignment <= 1 MiB: cannot wrap. The running sum stays below twice the file
  // size.
  const uint64_t start = *checked_round_up(position_, alignment);
  uint64_t expected = 0;
  for (uint64_t i = 0; i < tensor_count_; ++i) {
    Tensor& tensor = out.tensors[i];
    const auto [offset, bytes] = places[i];
    if (offset != expected) {
      return bad_data(
          "tensor {} claims to start at byte {} of the data, but the one before it ends at {}: tensors "
          "must follow one another without gap or overlap",
          quote(tensor.name), offset, expected);
    }
    const uint64_t available = file_.size() > start ? file_.size() - start : 0;
    if (offset > available || bytes > available - offset) {
      return bad_data(
          "tensor {} needs {} bytes from byte {}, but the file ends at {}: it is truncated or damaged",
          quote(tensor.name), bytes, start + offset, file_.size());
    }
    tensor.data = mapped_tensor_data(mapped, start + offset, tensor.rows(), tensor.row_bytes());
    expected = *checked_round_up(offset + bytes, alignment);
  }
  return {};
}

}  // namespace

Result<Checkpoint> read_gguf_file(const std::string& path) {
  CARAT_TRY(const std::shared_ptr<const MappedFile> file, MappedFile::open(path));
  Checkpoint out;
  out.source = path;
  out.container = "gguf";
  out.file_bytes = file->bytes().size();
  out.files = {path};
  if (Status s = Parser(file->bytes()).parse(out, file); !s) return std::move(s).error().within(path);
  return out;
}

}  // namespace carat
