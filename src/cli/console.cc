#include "cli/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "cli/format.h"

namespace carat {
namespace {

/// All of it, or an error; the program's own buffers stay out of the way so that a signal loses nothing.
Status write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      // A reader that has seen enough (`| head`) is not worth a sentence; the status tells.
      if (errno == EPIPE) return Error{Code::io, ""};
      return error(Code::io, "writing to standard output failed: {}", std::strerror(errno));
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

void write_stderr(std::string_view text) { (void)write_all(STDERR_FILENO, text).ok(); }

int64_t terminal_width() {
  winsize size = {};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  const char* columns = std::getenv("COLUMNS");
  const int n = columns ? std::atoi(columns) : 0;
  return n > 0 ? n : 80;
}

/// The same document with every string (names and texts from files, paths) made valid UTF-8.
json::value valid_strings(const json::value& value) {
  if (const auto* s = value.if_string()) return json::value(valid_utf8(*s));
  if (const auto* a = value.if_array()) {
    json::array out;
    for (const auto& element : *a) out.push_back(valid_strings(element));
    return out;
  }
  if (const auto* o = value.if_object()) {
    json::object out;
    for (const auto& [key, member] : *o) out[valid_utf8(key)] = valid_strings(member);
    return out;
  }
  return value;
}

std::string document_text(const json::object& body) {
  json::object out;
  out["schema_version"] = kJsonSchemaVersion;
  for (const auto& [key, value] : body) out[valid_utf8(key)] = valid_strings(value);
  return pretty_json(out) + "\n";
}

}  // namespace

std::string progress_line(std::string_view stage, std::string_view unit, std::string_view item, uint64_t done,
                          uint64_t total, double seconds, int64_t width) {
  const double part = total > 0 ? std::min(1.0, static_cast<double>(done) / static_cast<double>(total)) : 0;
  std::string bar;
  if (width >= 60) {
    const int cells = width >= 100 ? 30 : 16;
    const int full = static_cast<int>(part * cells);
    bar = fmt::format(" [{}{}]", std::string(full, '#'), std::string(cells - full, '-'));
  }
  std::string line = fmt::format("{}{} {:3.0f}%", stage, bar, std::floor(part * 100));
  if (seconds > 0.5 && done > 0) {
    const double rate = static_cast<double>(done) / seconds;
    line += fmt::format("  {} {}/s", human_count(rate), unit);
    if (done < total)
      line += fmt::format("  ETA {}", human_duration(static_cast<double>(total - done) / rate));
  }
  if (!item.empty()) line += fmt::format("  {}", printable(item));
  return width > 0 ? std::string(clipped(line, width)) : line;
}

Console::Console(const CommonOptions& options) : options_(options) {
  const char* term = std::getenv("TERM");
  terminal_ = isatty(STDERR_FILENO) && !(term && std::string_view(term) == "dumb");
  const char* no_color = std::getenv("NO_COLOR");
  color_ = terminal_ && !(no_color && *no_color);
}

Console::~Console() { clear_bar(); }

Status Console::print(std::string_view text) {
  if (options_.json) return {};
  {
    std::lock_guard lock(mutex_);
    clear_bar();
  }
  return write_all(STDOUT_FILENO, text);
}

Status Console::print_json(const json::object& document) {
  if (!options_.json) return {};
  {
    std::lock_guard lock(mutex_);
    clear_bar();
  }
  return write_all(STDOUT_FILENO, document_text(document));
}

void Console::say(std::string_view line) {
  if (options_.quiet) return;
  std::lock_guard lock(mutex_);
  clear_bar();
  write_stderr(printable(line) + "\n");
}

double Console::seconds() const { return std::chrono::duration<double>(Clock::now() - started_).count(); }

void Console::begin(std::string_view stage, std::string_view unit, uint64_t total) {
  std::lock_guard lock(mutex_);
  stage_ = stage;
  unit_ = unit;
  item_.clear();
  total_ = total;
  done_ = 0;
  started_ = shown_ = Clock::now();
  active_ = true;
}

void Console::update(uint64_t done, std::string_view item) {
  if (options_.quiet) return;
  std::lock_guard lock(mutex_);
  if (!active_) return;
  done_ = done;
  item_ = item;
  const auto now = Clock::now();
  if (terminal_) {
    if (!bar_drawn_ || now - shown_ >= std::chrono::milliseconds(100)) draw_bar(now);
  } else if (now - shown_ >= std::chrono::seconds(10)) {
    shown_ = now;
    write_stderr(progress_line(stage_, unit_, item_, done_, total_, seconds(), 0) + "\n");
  }
}

void Console::end() {
  std::lock_guard lock(mutex_);
  if (!active_) return;
  active_ = false;
  clear_bar();
  const double s = seconds();
  // A stage of less than a second is not news.
  if (options_.quiet || s < 1) return;
  write_stderr(fmt::format("{}: {} {} in {:.1f} s ({} {}/s)\n", stage_,
                           human_count(static_cast<double>(total_)), unit_, s,
                           human_count(static_cast<double>(total_) / s), unit_));
}

void Console::note(std::string_view sentence) { say(fmt::format("note: {}", sentence)); }

void Console::draw_bar(Clock::time_point now) {
  shown_ = now;
  bar_drawn_ = true;
  const std::string line =
      progress_line(stage_, unit_, item_, done_, total_, seconds(), terminal_width() - 1);
  write_stderr(color_ ? fmt::format("\r\x1b[36m{}\x1b[0m\x1b[K", line) : fmt::format("\r{}\x1b[K", line));
}

void Console::clear_bar() {
  if (!bar_drawn_) return;
  bar_drawn_ = false;
  write_stderr("\r\x1b[K");
}

void note_invalid_utf8(std::string_view what, std::string_view text, Console& console) {
  const int64_t stray = invalid_utf8_bytes(text);
  if (stray == 0) return;
  console.note(fmt::format("{} is not valid UTF-8: {} of its {} bytes belong{} to no character", what, stray,
                           text.size(), stray == 1 ? "s" : ""));
}

int report_error(const Error& error, std::string_view program, bool json) {
  if (!error.message.empty()) write_stderr(printable(fmt::format("{}: error: {}\n", program, error.message)));
  if (json) {
    json::object body;
    body["error"] = json::object{{"code", static_cast<int>(error.code)}, {"message", error.message}};
    (void)write_all(STDOUT_FILENO, document_text(body)).ok();
  }
  return static_cast<int>(error.code);
}

}  // namespace carat
