// Values of the template language. Those of Python as far as templates see them; strings know of each byte
// whether the program or template wrote it (trusted) or it came with a message.
//
// Inside this folder errors are exceptions (Failure), which ChatTemplate turns into values: nearly every
// operation of an interpreter can fail, and the language itself has raise_exception().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace carat::jinja {

struct Failure {
  std::string message;
  bool located = false;  ///< says already where it happened
};
[[noreturn]] void fail(std::string message);

/// What one rendering may use. Every text, list and dict counts itself while it lives.
struct Budget {
  uint64_t bytes_left = 0;
  uint64_t steps_left = 0;

  void take_bytes(uint64_t n) {
    if (n > bytes_left) fail("the template needs too much memory");
    bytes_left -= n;
  }
  void take_steps(uint64_t n = 1) {
    if (n > steps_left) fail("the template takes too many steps");
    steps_left -= n;
  }
};

/// Holds `bytes` of a budget as long as it lives; a literal of the template has none.
class Share {
 public:
  Share() = default;
  Share(Budget* budget, uint64_t bytes) : budget_(budget), bytes_(bytes) {
    if (budget_) budget_->take_bytes(bytes);
  }
  Share(Share&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)), bytes_(other.bytes_) {}
  Share& operator=(Share&&) = delete;
  ~Share() {
    if (budget_) budget_->bytes_left += bytes_;
  }

 private:
  Budget* budget_ = nullptr;
  uint64_t bytes_ = 0;
};

/// UTF-8 bytes, and for each whether it is trusted ('t') or not ('u').
struct Text {
  std::string bytes;
  std::string trust;
  Share share;
  bool markup = false;  ///< from the filters safe and escape: adding to it escapes
  size_t size() const { return bytes.size(); }
};

class Value;
struct List;
struct Dict;
struct Namespace;
struct Loop;
struct Function;

struct Undefined {
  const std::string* name = nullptr;  ///< of the template's source, for messages
};
struct None {};

class Value {
 public:
  using Data =
      std::variant<Undefined, None, bool, int64_t, double, std::shared_ptr<const Text>,
                   std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<Namespace>,
                   std::shared_ptr<Loop>, std::shared_ptr<const Function>>;
  Value() = default;
  template <class T>
  requires(!std::is_same_v<std::remove_cvref_t<T>, Value> && std::is_constructible_v<Data, T>) Value(T&& data)
      : data_(std::forward<T>(data)) {}
  Value(int n) : data_(int64_t{n}) {}
  Value(size_t n) : data_(static_cast<int64_t>(n)) {}

  template <class T>
  const T* get() const {
    return std::get_if<T>(&data_);
  }
  bool is_undefined() const { return get<Undefined>() != nullptr; }
  bool is_none() const { return get<None>() != nullptr; }
  bool is_number() const { return get<bool>() || get<int64_t>() || get<double>(); }
  const Text* text() const { return pointer<const Text>(); }
  const List* list() const { return pointer<const List>(); }
  const Dict* dict() const { return pointer<const Dict>(); }
  Namespace* space() const { return pointer<Namespace>(); }
  Loop* loop() const { return pointer<Loop>(); }
  const Function* function() const { return pointer<const Function>(); }

 private:
  template <class T>
  T* pointer() const {
    const auto* p = std::get_if<std::shared_ptr<T>>(&data_);
    return p ? p->get() : nullptr;
  }
  Data data_;
};

/// Python's sequences differ in what they print as and whether they have a length; a generator is always
/// true.
struct List {
  enum Kind { list, tuple, generator, view } kind = list;
  std::vector<Value> items;
  int depth = 1;        ///< of nesting; limited, because values are destroyed and printed by recursion
  uint64_t weight = 1;  ///< values inside, counted once for every path to them; limited for the same reason
  Share share;
};

/// Insertion-ordered, as Python's.
struct Dict {
  std::vector<std::pair<Value, Value>> items;
  std::unordered_map<std::string, size_t> index;  ///< by key_of
  int depth = 1;
  uint64_t weight = 1;
  Share share;
  const Value* find(const Value& key) const;
};

/// namespace(): the one mutable value. The interpreter keeps all of a rendering and empties them at its end,
/// because they can form cycles.
struct Namespace {
  std::vector<std::pair<std::string, Value>> items;
  Value* find(std::string_view name);
  void set(std::string_view name, Value value);
};

/// `loop` inside for.
struct Loop {
  std::vector<Value> items;
  size_t index = 0;
  std::string changed;  ///< what the arguments of the last loop.changed() print as
};

struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
  /// By position or name; nullptr if not given.
  const Value* find(size_t position, std::string_view name) const;
};

class Interpreter;
struct Macro;

/// Something to call: a macro, a global function or a method bound to its object.
struct Function {
  std::string name;
  Value self;                    ///< of a method
  const Macro* macro = nullptr;  ///< with its defining scope
  void* scope = nullptr;
  Value (*call)(Interpreter&, const Function&, const Arguments&) = nullptr;
  std::shared_ptr<int64_t> state;  ///< of joiner and cycler
};

std::string_view type_name(const Value& v);
/// About how many bytes and values comparing v touches.
uint64_t weight_of(const Value& v);
bool is_true(const Value& v);
/// Python's ==; never fails.
bool equal(const Value& a, const Value& b);
/// Python's <; fails between kinds that have no order.
bool less(const Value& a, const Value& b);
/// How a dict finds a key: numbers of equal value are one key. Fails for what cannot be hashed.
std::string key_of(const Value& v);
double to_double(const Value& v);
/// Of a number, else fails.
int64_t to_int(const Value& v, std::string_view what);
std::string format_double(double d);

/// Byte offsets of the characters of a text and its end; an invalid byte is a character.
std::vector<uint32_t> character_offsets(std::string_view text);
size_t character_count(std::string_view text);
/// Python's str.isspace() for one character.
bool is_space(uint32_t c);
/// Python's str.isalpha() and str.isnumeric() for one character, by Unicode's general category.
bool is_letter(uint32_t c);
bool is_number(uint32_t c);

/// Collects text with its trust, counted against a budget as it grows.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(&budget) {}
  void append(std::string_view s, bool trusted) {
    reserve(s.size());
    bytes_.append(s);
    trust_.append(s.size(), trusted ? 't' : 'u');
  }
  void append(const Text& t) { append(t, 0, t.size()); }
  void append(const Text& t, size_t begin, size_t end) {
    reserve(end - begin);
    bytes_.append(t.bytes, begin, end - begin);
    trust_.append(t.trust, begin, end - begin);
  }
  /// What str() gives.
  void append(const Value& v);
  void append_repr(const Value& v, int depth = 0);
  size_t size() const { return bytes_.size(); }
  Value finish(bool markup = false);
  std::string& bytes() { return bytes_; }
  std::string& trust() { return trust_; }

 private:
  void reserve(size_t n) {
    if (2 * (bytes_.size() + n) > budget_->bytes_left) fail("the template makes too much text");
    budget_->take_steps(n / 64);
  }
  void append_text_repr(const Text& t);
  Budget* budget_;
  std::string bytes_, trust_;
};

Value make_text(Budget& budget, std::string_view s, bool trusted);
/// A literal or name of the template: trusted, and free.
Value make_literal(std::string s);
Value slice_text(Budget& budget, const Text& t, size_t begin, size_t end, bool markup = false);
Value make_list(Budget& budget, std::vector<Value> items, List::Kind kind = List::list);
Value make_dict(Budget& budget, std::vector<std::pair<Value, Value>> items);
/// JSON as Python's json.dumps(ensure_ascii=False) writes it.
struct JsonStyle {
  int indent = -1;  ///< none
  std::string item_separator = ", ", key_separator = ": ";
  bool sort_keys = false, ensure_ascii = false;
};
void append_json(TextBuilder& out, const Value& v, const JsonStyle& style, int depth = 0);

}  // namespace carat::jinja
