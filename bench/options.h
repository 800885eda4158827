// What the programs of this folder share: command lines of the form `--name VALUE ...`, whose values are
// often lists.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu.h"
#include "base/error.h"
#include "encodings/encoding.h"

namespace carat::bench {

inline std::vector<std::string> split(std::string_view list, char separator = ',') {
  std::vector<std::string> out(1);
  for (const char c : list) {
    if (c == separator)
      out.emplace_back();
    else
      out.back() += c;
  }
  return out;
}

/// Takes an option's value; false where it is not understood.
using Take = std::function<bool(const std::string& value)>;

/// A list of what `read` makes of its words; read returns false where it cannot.
template <class T>
Take list_of(std::vector<T>& out, std::function<bool(const std::string& word, T& item)> read) {
  return [&out, read = std::move(read)](const std::string& value) {
    out.clear();
    for (const std::string& word : split(value))
      if (!read(word, out.emplace_back())) return false;
    return true;
  };
}

template <class Integer>
bool read_positive(const std::string& word, Integer& out) {
  out = static_cast<Integer>(std::atoll(word.c_str()));
  return out > 0;
}
template <class Integer>
Take positive(Integer& out) {
  return [&out](const std::string& value) { return read_positive(value, out); };
}
template <class Integer>
Take positives(std::vector<Integer>& out) {
  return list_of<Integer>(out, read_positive<Integer>);
}

/// One of `choices` by its name.
template <class T>
Take one_of(T& out, std::string_view (*name)(T), std::vector<T> choices) {
  return [&out, name, choices = std::move(choices)](const std::string& value) {
    const auto found = std::ranges::find(choices, value, name);
    if (found != choices.end()) out = *found;
    return found != choices.end();
  };
}

/// Instruction sets of this processor.
inline Take isas(std::vector<Isa>& out) {
  return list_of<Isa>(out, [](const std::string& word, Isa& isa) {
    const auto all = available_isas();
    const auto found = std::ranges::find(all, word, isa_name);
    if (found != all.end()) isa = *found;
    return found != all.end();
  });
}

/// Encodings that `suitable` accepts.
inline Take encodings(std::vector<const Encoding*>& out, std::function<bool(const Encoding&)> suitable) {
  return list_of<const Encoding*>(
      out, [suitable = std::move(suitable)](const std::string& word, const Encoding*& encoding) {
        encoding = find_encoding(word);
        return encoding != nullptr && suitable(*encoding);
      });
}

/// Of weights.
struct Shape {
  int64_t rows = 0, columns = 0;
};
/// 2048x5632 and so on.
inline Take shapes(std::vector<Shape>& out) {
  return list_of<Shape>(out, [](const std::string& word, Shape& shape) {
    const auto sides = split(word, 'x');
    return sides.size() == 2 && read_positive(sides[0], shape.rows) && read_positive(sides[1], shape.columns);
  });
}

/// The body of main(): reads the options, does the work. `program` names the source file, whose head
/// describes the options.
inline int run_program(int argc, char** argv, std::string_view program,
                       const std::map<std::string_view, Take>& options, const std::function<Status()>& work) {
  bool understood = argc % 2 == 1;
  for (int i = 1; i + 1 < argc && understood; i += 2) {
    const auto option = options.find(argv[i]);
    understood = option != options.end() && option->second(argv[i + 1]);
  }
  if (!understood) {
    fmt::print(stderr, "{}: an option is unknown, or its value is; the head of {}.cc lists them\n", program,
               program);
    return 64;
  }
  const Status status = work();
  if (!status) fmt::print(stderr, "{}: {}\n", program, status.error().message);
  return status ? 0 : 1;
}

}  // namespace carat::bench
