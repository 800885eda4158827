// Errors are values. No function of the library prints, aborts or exits on input: it returns a Result whose
// Error holds a sentence naming file, place and cause, and a code that the program maps to its exit status.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <utility>
#include <variant>

namespace carat {

enum class Code {
  usage = 64,        ///< the caller asked for something that makes no sense
  bad_data = 65,     ///< a file or a text breaks its own rules
  no_input = 66,     ///< a file that should be there is not, or cannot be read
  internal = 70,     ///< our own bug
  io = 74,           ///< writing failed: disk full, permission, ...
  interrupted = 130  ///< cancelled by the user
};

struct Error {
  Code code = Code::internal;
  std::string message;

  /// Puts "where: " before the sentence: the file, the tensor, the key being read.
  Error within(std::string_view where) && {
    message = fmt::format("{}: {}", where, message);
    return std::move(*this);
  }
};

template <class... A>
Error error(Code code, fmt::format_string<A...> text, A&&... args) {
  return Error{code, fmt::format(text, std::forward<A>(args)...)};
}
template <class... A>
Error bad_data(fmt::format_string<A...> text, A&&... args) {
  return error(Code::bad_data, text, std::forward<A>(args)...);
}
template <class... A>
Error usage_error(fmt::format_string<A...> text, A&&... args) {
  return error(Code::usage, text, std::forward<A>(args)...);
}

/// A value or an Error. `if (!r) return r.error();` or the CARAT_TRY macros below.
template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error e) : state_(std::in_place_index<1>, std::move(e)) {}
  template <class U>
  requires(std::is_convertible_v<U&&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
           !std::is_same_v<std::remove_cvref_t<U>, Error> && !std::is_same_v<std::remove_cvref_t<U>, Result>)
      Result(U&& u)
      : state_(std::in_place_index<0>, std::forward<U>(u)) {}

  explicit operator bool() const { return state_.index() == 0; }
  bool ok() const { return state_.index() == 0; }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const Error& error() const& { return std::get<1>(state_); }
  Error&& error() && { return std::get<1>(std::move(state_)); }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error e) : error_(std::move(e)) {}
  explicit operator bool() const { return !error_; }
  bool ok() const { return !error_; }
  const Error& error() const& { return *error_; }
  Error&& error() && { return std::move(*error_); }

 private:
  std::optional<Error> error_;
};
using Status = Result<void>;

#define CARAT_CONCAT_(a, b) a##b
#define CARAT_CONCAT(a, b) CARAT_CONCAT_(a, b)
/// CARAT_TRY(auto x, f()): x is f()'s value, or the enclosing function returns f()'s error.
#define CARAT_TRY(declaration, expression) \
  CARAT_TRY_(declaration, expression, CARAT_CONCAT(carat_result_, __LINE__))
#define CARAT_TRY_(declaration, expression, name) \
  auto name = (expression);                       \
  if (!name.ok()) return std::move(name).error(); \
  declaration = *std::move(name)
/// CARAT_DO(f()): returns f()'s error from the enclosing function, if there is one.
#define CARAT_DO(expression)                                        \
  do {                                                              \
    auto carat_status = (expression);                               \
    if (!carat_status.ok()) return std::move(carat_status).error(); \
  } while (0)

}  // namespace carat
