// Where the program's words go: results to stdout, everything for human eyes (progress, notes, errors) to
// stderr.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <string_view>

#include "base/context.h"
#include "containers/json.h"

namespace carat {

/// Options every verb has.
struct CommonOptions {
  int threads = 0;     ///< 0 = as many as this process may use
  bool json = false;   ///< exactly one JSON document on stdout
  bool quiet = false;  ///< no progress and no notes; errors are still said
};

/// Version of the JSON documents; raised when a key changes its meaning or goes away.
inline constexpr int kJsonSchemaVersion = 1;

/// stdout, and a Progress on stderr: a bar with rate and time left on a terminal (NO_COLOR and the width are
/// respected), otherwise a plain line every ten seconds. Not for use from several threads, except Progress.
class Console final : public Progress {
 public:
  explicit Console(const CommonOptions& options);
  ~Console() override;

  bool json() const { return options_.json; }
  bool quiet() const { return options_.quiet; }
  int threads() const { return options_.threads; }

  /// Text of the result, as it comes. Silent in JSON mode. An error is a closed or full stdout.
  Status print(std::string_view text);
  /// The one document of JSON mode, with schema_version put first; silent otherwise.
  Status print_json(const json::object& document);
  /// A line for human eyes on stderr; silent with --quiet.
  void say(std::string_view line);

  void begin(std::string_view stage, std::string_view unit, uint64_t total) override;
  void update(uint64_t done, std::string_view item) override;
  void end() override;
  void note(std::string_view sentence) override;

 private:
  using Clock = std::chrono::steady_clock;
  void draw_bar(Clock::time_point now);
  void clear_bar();
  double seconds() const;

  CommonOptions options_;
  bool terminal_ = false, color_ = false;
  std::mutex mutex_;
  // The stage under way.
  bool active_ = false, bar_drawn_ = false;
  std::string stage_, unit_, item_;
  uint64_t total_ = 0, done_ = 0;
  Clock::time_point started_, shown_;
};

/// A note where `text` is not valid UTF-8: it is used as it is, byte for byte. `what` names it.
void note_invalid_utf8(std::string_view what, std::string_view text, Console& console);

/// Says an error: a sentence on stderr, or in JSON mode a document {schema_version, error: {code, message}}
/// on stdout besides. Returns the exit status.
int report_error(const Error& error, std::string_view program, bool json);

/// "stage [####----]  43%  12.3 M weights/s  ETA 0:41  item", cut to `width` columns; width 0: not cut, and
/// no bar.
std::string progress_line(std::string_view stage, std::string_view unit, std::string_view item, uint64_t done,
                          uint64_t total, double seconds, int64_t width);

}  // namespace carat
