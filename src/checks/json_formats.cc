#include "checks/json_formats.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "checks/plain_text.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace carat {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); }
bool is_letter(char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }

/// Reads a text from the left; once something is missing, everything is.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  /// Exactly `digits` digits, as a number.
  int number(size_t digits) {
    int value = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (i >= rest_.size() || !is_digit(rest_[i])) {
        failed_ = true;
        return -1;
      }
      value = value * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }
  /// One or more digits.
  bool digits() {
    const size_t n = std::min(rest_.find_first_not_of("0123456789"), rest_.size());
    rest_.remove_prefix(n);
    return n > 0;
  }
  bool take(std::string_view one_of) {
    if (rest_.empty() || one_of.find(rest_[0]) == std::string_view::npos) return false;
    taken_ = rest_[0];
    rest_.remove_prefix(1);
    return true;
  }
  void must(bool holds) { failed_ = failed_ || !holds; }
  char taken() const { return taken_; }
  bool at_end() const { return rest_.empty(); }
  bool whole() const { return !failed_ && rest_.empty(); }

 private:
  std::string_view rest_;
  char taken_ = 0;
  bool failed_ = false;
};

// RFC 3339, section 5.6
void read_date(Reader& r) {
  const int year = r.number(4);
  r.must(r.take("-"));
  const int month = r.number(2);
  r.must(r.take("-"));
  const int day = r.number(2);
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  constexpr int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  r.must(month >= 1 && month <= 12 && day >= 1);
  if (month >= 1 && month <= 12) r.must(day <= days[month - 1] + (month == 2 && leap));
}
void read_time(Reader& r) {
  const int hour = r.number(2);
  r.must(r.take(":"));
  const int minute = r.number(2);
  r.must(r.take(":"));
  const int second = r.number(2);
  if (r.take(".")) r.must(r.digits());
  int offset = 0;
  if (!r.take("zZ")) {
    r.must(r.take("+-"));
    const int sign = r.taken() == '-' ? -1 : 1, hours = r.number(2);
    r.must(r.take(":"));
    const int minutes = r.number(2);
    r.must(hours <= 23 && minutes <= 59);
    offset = sign * (hours * 60 + minutes);
  }
  // A leap second is the last of a day of UTC.
  const int utc = ((hour * 60 + minute - offset) % 1440 + 1440) % 1440;
  r.must(hour <= 23 && minute <= 59 && (second <= 59 || (second == 60 && utc == 1439)));
}

bool is_date(std::string_view text) {
  Reader r(text);
  read_date(r);
  return r.whole();
}
bool is_time(std::string_view text) {
  Reader r(text);
  read_time(r);
  return r.whole();
}
bool is_date_time(std::string_view text) {
  Reader r(text);
  read_date(r);
  r.must(r.take("tT"));
  read_time(r);
  return r.whole();
}

// RFC 3339, appendix A: units in falling order without gaps.
bool is_duration(std::string_view text) {
  Reader r(text);
  r.must(r.take("P"));
  const auto run_of = [&r](std::string_view units) {
    size_t last = std::string_view::npos;
    while (!r.at_end() && r.digits()) {
      r.must(r.take(units));
      const size_t unit = units.find(r.taken());
      r.must(last == std::string_view::npos || unit == last + 1);
      last = unit;
    }
    return last != std::string_view::npos;
  };
  if (text.ends_with("W")) {
    r.must(r.digits() && r.take("W"));
    return r.whole();
  }
  const bool date = run_of("YMD");
  if (r.take("T")) {
    r.must(run_of("HMS"));
  } else {
    r.must(date);
  }
  return r.whole();
}

bool is_ipv4(std::string_view text) {
  int parts = 0;
  for (size_t at = 0; at <= text.size(); ++parts) {
    const size_t end = std::min(text.find('.', at), text.size());
    const std::string_view part = text.substr(at, end - at);
    const bool digits = !part.empty() && part.size() <= 3 && std::all_of(part.begin(), part.end(), is_digit);
    if (!digits || (part.size() > 1 && part[0] == '0') || std::stoi(std::string(part)) > 255) return false;
    at = end + 1;
  }
  return parts == 4;
}

// RFC 4291, section 2.2
bool is_ipv6(std::string_view text) {
  if (text.size() > 45) return false;
  const size_t gap = text.find("::");
  const auto groups = [](std::string_view part, bool last) {  // -1 where it is none
    int count = 0;
    for (size_t at = 0; !part.empty() && at <= part.size();) {
      const size_t end = std::min(part.find(':', at), part.size());
      const std::string_view group = part.substr(at, end - at);
      if (last && end == part.size() && group.find('.') != std::string_view::npos) {
        return is_ipv4(group) ? count + 2 : -1;
      }
      if (group.empty() || group.size() > 4 || !std::all_of(group.begin(), group.end(), is_hex)) return -1;
      ++count;
      at = end + 1;
    }
    return count;
  };
  if (gap == std::string_view::npos) return groups(text, true) == 8;
  const int before = groups(text.substr(0, gap), false), after = groups(text.substr(gap + 2), true);
  return before >= 0 && after >= 0 && before + after <= 7;
}

// RFC 1123, section 2.1
bool is_hostname(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('.', at), text.size());
    const std::string_view label = text.substr(at, end - at);
    const bool fine = !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
                      std::all_of(label.begin(), label.end(),
                                  [](char c) { return is_digit(c) || is_letter(c) || c == '-'; });
    if (!fine) return false;
    at = end + 1;
  }
  return true;
}

// RFC 5321, section 4.1.2
bool is_email(std::string_view text) {
  const size_t at = text.rfind('@');
  if (at == std::string_view::npos || at == 0 || at > 64) return false;
  const std::string_view local = text.substr(0, at), domain = text.substr(at + 1);
  if (local.front() == '"') {
    if (local.size() < 2 || local.back() != '"') return false;
  } else {
    const bool dots =
        local.front() != '.' && local.back() != '.' && local.find("..") == std::string_view::npos;
    const bool atoms = std::all_of(local.begin(), local.end(), [](char c) {
      return is_digit(c) || is_letter(c) ||
             std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
    });
    if (!dots || !atoms) return false;
  }
  if (domain.size() > 2 && domain.front() == '[' && domain.back() == ']') {
    const std::string_view address = domain.substr(1, domain.size() - 2);
    return address.starts_with("IPv6:") ? is_ipv6(address.substr(5)) : is_ipv4(address);
  }
  return is_hostname(domain);
}

bool is_uuid(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !is_hex(text[i])) return false;
  }
  return true;
}

// RFC 3986: the characters and where brackets, colons and hashes may stand.
bool is_uri_reference(std::string_view text, bool needs_scheme) {
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])) return false;
    } else if (!is_digit(c) && !is_letter(c) &&
               std::string_view("-._~:/?#[]@!$&'()*+,;=").find(c) == std::string_view::npos) {
      return false;
    }
  }
  const size_t hash = std::min(text.find('#'), text.size());
  if (hash < text.size() && text.find('#', hash + 1) != std::string_view::npos) return false;
  const size_t colon = text.find(':');
  const bool scheme =
      colon != std::string_view::npos && colon > 0 && is_letter(text[0]) &&
      std::all_of(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(colon),
                  [](char c) { return is_digit(c) || is_letter(c) || c == '+' || c == '-' || c == '.'; });
  if (!scheme && (needs_scheme || colon < text.find_first_of("/?#"))) return false;
  std::string_view rest = scheme ? text.substr(colon + 1) : text;
  if (rest.starts_with("//")) {
    rest.remove_prefix(2);
    std::string_view authority = rest.substr(0, rest.find_first_of("/?#"));
    rest.remove_prefix(authority.size());
    if (const size_t user = authority.rfind('@'); user != std::string_view::npos) {
      if (authority.substr(0, user).find_first_of("[]@") != std::string_view::npos) return false;
      authority.remove_prefix(user + 1);
    }
    const size_t closing = authority.find(']');
    if (authority.starts_with("[")) {
      if (closing == std::string_view::npos) return false;
      const std::string_view address = authority.substr(1, closing - 1);
      if (!is_ipv6(address) && !address.starts_with("v")) return false;
      authority.remove_prefix(closing + 1);
    } else {
      authority.remove_prefix(std::min(authority.find(':'), authority.size()));
    }
    if (!authority.empty() &&
        (authority[0] != ':' || authority.find_first_not_of("0123456789", 1) != std::string_view::npos)) {
      return false;
    }
  }
  return rest.find_first_of("[]") == std::string_view::npos;
}

// RFC 6901
bool is_json_pointer(std::string_view text) {
  if (!text.empty() && text[0] != '/') return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '~' && (i + 1 >= text.size() || (text[i + 1] != '0' && text[i + 1] != '1'))) return false;
  }
  return true;
}
bool is_relative_json_pointer(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits == 0 || (digits > 1 && text[0] == '0')) return false;
  const std::string_view rest = text.substr(digits);
  return rest == "#" || is_json_pointer(rest);
}

struct Format {
  std::string_view name;
  bool (*holds)(std::string_view);
};
constexpr Format kFormats[] = {
    {"date-time", is_date_time},
    {"date", is_date},
    {"time", is_time},
    {"duration", is_duration},
    {"email", is_email},
    {"hostname", is_hostname},
    {"ipv4", is_ipv4},
    {"ipv6", is_ipv6},
    {"uuid", is_uuid},
    {"uri", [](std::string_view t) { return is_uri_reference(t, true); }},
    {"uri-reference", [](std::string_view t) { return is_uri_reference(t, false); }},
    {"json-pointer", is_json_pointer},
    {"relative-json-pointer", is_relative_json_pointer},
    {"regex", [](std::string_view t) { return Regex::compile(t, Regex::Dialect::ecmascript).ok(); }},
};
constexpr std::string_view kUnsupported[] = {"idn-email", "idn-hostname", "iri", "iri-reference",
                                             "uri-template"};

}  // namespace

FormatKind format_kind(std::string_view format) {
  for (const Format& f : kFormats) {
    if (f.name == format) return FormatKind::asserted;
  }
  const bool known =
      std::find(std::begin(kUnsupported), std::end(kUnsupported), format) != std::end(kUnsupported);
  return known ? FormatKind::unsupported : FormatKind::annotation;
}

bool has_format(std::string_view format, std::string_view text) {
  for (const Format& f : kFormats) {
    if (f.name == format) return f.holds(text);
  }
  return true;
}

}  // namespace carat
