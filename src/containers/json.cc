#include "containers/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/src.hpp>
#include <charconv>
#include <memory>
#include <new>

namespace carat {

namespace {

/// What a tree may take: tokenizer.json of real models take up to 2.8 times their size where they are large,
/// and 7 times where they are small; "[]," repeated would take 20 times its own.
constexpr size_t kTreeBytes = 32 << 20, kTreeBytesPerByte = 2;
constexpr size_t kBytesPerAllocation = 16;  // the allocator's own

/// What of the limit is left; lifted for the tree's later life, when the program and no longer the text
/// decides what it takes.
struct Limit {
  size_t left = 0;
  bool lifted = false;
};

/// Heap memory up to a limit, which is shared because Boost.JSON hides the resource it makes.
class Bounded final : public json::memory_resource {
 public:
  explicit Bounded(std::shared_ptr<Limit> limit) : limit_(std::move(limit)) {}

 private:
  void* do_allocate(size_t bytes, size_t /*at most that of new*/) override {
    const size_t cost = bytes + kBytesPerAllocation;
    const bool fits = bytes <= limit_->left && cost <= limit_->left;
    if (!fits && !limit_->lifted) throw std::bad_alloc();
    void* const p = ::operator new(bytes);
    if (!limit_->lifted) limit_->left -= cost;
    return p;
  }
  void do_deallocate(void* p, size_t bytes, size_t) override {
    ::operator delete(p);
    if (!limit_->lifted) limit_->left += bytes + kBytesPerAllocation;
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::shared_ptr<Limit> limit_;
};

/// Builds the tree. Boost.JSON's own handler computes fractions in a way that is wrong in the last bit for
/// every tenth of them; a scorecard that was written and read again would no longer be the same.
struct TreeBuilder {
  using error_code = boost::json::error_code;
  using string_view = boost::json::string_view;
  static constexpr size_t max_object_size = SIZE_MAX;
  static constexpr size_t max_array_size = SIZE_MAX;
  static constexpr size_t max_key_size = SIZE_MAX;
  static constexpr size_t max_string_size = SIZE_MAX;

  json::value_stack stack;

  explicit TreeBuilder(const json::storage_ptr& memory) : stack(memory) { stack.reset(memory); }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) { return true; }
  bool on_object_end(size_t n, error_code&) { return stack.push_object(n), true; }
  bool on_array_begin(error_code&) { return true; }
  bool on_array_end(size_t n, error_code&) { return stack.push_array(n), true; }
  bool on_key_part(string_view s, size_t, error_code&) { return stack.push_chars(s), true; }
  bool on_key(string_view s, size_t, error_code&) { return stack.push_key(s), true; }
  bool on_string_part(string_view s, size_t, error_code&) { return stack.push_chars(s), true; }
  bool on_string(string_view s, size_t, error_code&) { return stack.push_string(s), true; }
  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(int64_t i, string_view, error_code&) { return stack.push_int64(i), true; }
  bool on_uint64(uint64_t u, string_view, error_code&) { return stack.push_uint64(u), true; }
  /// `s` is the whole number, because the parser sees the whole text. What no double holds keeps Boost's
  /// answer: infinity, or 0.
  bool on_double(double d, string_view s, error_code&) {
    std::from_chars(s.data(), s.data() + s.size(), d);
    return stack.push_double(d), true;
  }
  bool on_bool(bool b, error_code&) { return stack.push_bool(b), true; }
  bool on_null(error_code&) { return stack.push_null(), true; }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }
};

}  // namespace

Result<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = 200;
  const size_t limit = kTreeBytes + kTreeBytesPerByte * text.size();
  const auto left = std::make_shared<Limit>(Limit{limit, false});
  const json::storage_ptr memory = json::make_shared_resource<Bounded>(left);
  try {
    json::basic_parser<TreeBuilder> parser(options, memory);
    boost::system::error_code ec;
    const size_t used = parser.write_some(false, text.data(), text.size(), ec);
    if (ec) return bad_data("not valid JSON at byte {}: {}", used, ec.message());
    if (text.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
      return bad_data("not valid JSON: something follows the value at byte {}", used);
    json::value tree = parser.handler().stack.release();
    left->lifted = true;
    return tree;
  } catch (const std::bad_alloc&) {
    return bad_data("JSON of {} bytes that would take more than {} MB in memory: it holds too many values",
                    text.size(), limit >> 20);
  }
}

namespace {

void print(const json::value& v, int indent, std::string& out) {
  const std::string pad(static_cast<size_t>(indent + 2), ' ');
  const std::string end(static_cast<size_t>(indent), ' ');
  if (const auto* o = v.if_object(); o && !o->empty()) {
    out += "{\n";
    const char* separator = "";
    for (const auto& [key, item] : *o) {
      out += separator;
      out += pad + json::serialize(json::string(key)) + ": ";
      print(item, indent + 2, out);
      separator = ",\n";
    }
    out += "\n" + end + "}";
  } else if (const auto* a = v.if_array(); a && !a->empty()) {
    out += "[\n";
    const char* separator = "";
    for (const auto& item : *a) {
      out += separator;
      out += pad;
      print(item, indent + 2, out);
      separator = ",\n";
    }
    out += "\n" + end + "]";
  } else {
    out += json::serialize(v);
  }
}

}  // namespace

std::string pretty_json(const json::value& value) {
  std::string out;
  print(value, 0, out);
  out += "\n";
  return out;
}

const json::value* json_find(const json::value& object, std::string_view key) {
  const auto* o = object.if_object();
  return o ? o->if_contains(key) : nullptr;
}
const json::object* json_object(const json::value* value) { return value ? value->if_object() : nullptr; }
const json::array* json_array(const json::value* value) { return value ? value->if_array() : nullptr; }
const json::string* json_string(const json::value* value) { return value ? value->if_string() : nullptr; }

}  // namespace carat
