#include "containers/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "base/lock_wait.h"
#include "containers/durable.h"
#include "containers/mapped_file.h"

namespace carat {

namespace {

constexpr auto sync_interval = std::chrono::seconds(2);
constexpr uint64_t max_journal_bytes = 1 << 30;

Bytes as_bytes(std::string_view text) { return {reinterpret_cast<const uint8_t*>(text.data()), text.size()}; }

std::string checked_line(std::string_view rest) {
  return fmt::format("{:016x} {}\n", xxh3(as_bytes(rest)), rest);
}

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      out += text[i] == 'n' ? '\n' : text[i];
    } else {
      out += text[i];
    }
  }
  return out;
}

/// Takes the line up to '\n' off the front of `text`, without checksum; nothing where it is torn or altered.
std::optional<std::string_view> take_line(std::string_view& text) {
  const size_t end = text.find('\n');
  if (end == std::string_view::npos || end < 17) return std::nullopt;
  const std::string_view rest = text.substr(17, end - 17);
  if (text.substr(0, end + 1) != checked_line(rest)) return std::nullopt;
  text.remove_prefix(end + 1);
  return rest;
}

struct Piece {
  uint64_t index, end, digest;
  std::string record;
};

std::optional<Piece> parse_piece(std::string_view line) {
  Piece p{};
  const char* at = line.data();
  const char* const stop = line.data() + line.size();
  for (auto [field, base] : {std::pair{&p.index, 10}, {&p.end, 10}, {&p.digest, 16}}) {
    const auto [next, ec] = std::from_chars(at, stop, *field, base);
    if (ec != std::errc() || next == stop || *next != ' ') return std::nullopt;
    at = next + 1;
  }
  p.record = unescape({at, static_cast<size_t>(stop - at)});
  return p;
}

}  // namespace

Error PartialFile::failed(std::string_view what) const {
  return error(Code::io, "{}: {}: {}", partial(), what, std::strerror(errno));
}

Status PartialFile::check_place(const std::string& path, bool resume, bool discard) {
  struct stat st;
  // The rename at the end would replace a device such as /dev/null by a regular file.
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode))
    return usage_error("{} exists and is not a regular file; choose another output", path);
  if (!resume && !discard && ::lstat((path + ".partial").c_str(), &st) == 0)
    return usage_error(
        "{}.partial is left from an unfinished run: resume that run (--resume), or throw it away (--force)",
        path);
  return {};
}

Result<std::unique_ptr<PartialFile>> PartialFile::open(const Plan& plan) {
  CARAT_DO(check_place(plan.path, plan.resume, plan.discard));
  std::unique_ptr<PartialFile> out(new PartialFile);
  out->path_ = plan.path;
  out->sync_bytes_ = plan.sync_bytes;
  struct stat st;
  const bool exists = ::lstat(out->partial().c_str(), &st) == 0;
  // What the old partial file occupies is ours already.
  const uint64_t held = exists ? static_cast<uint64_t>(st.st_blocks) * 512 : 0;
  CARAT_DO(check_free_space(plan.path, plan.total > held ? plan.total - held : 0));
  CARAT_DO(out->acquire());
  if (Status begun = out->begin(plan, exists); !begun) {
    if (!exists) {  // nothing is lost, and the next try should not find remains
      ::unlink(out->partial().c_str());
      ::unlink(out->journal().c_str());
    }
    return std::move(begun).error();
  }
  return out;
}

Status PartialFile::acquire() {
  file_ = ::open(partial().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (file_ < 0) return failed("cannot create");
  struct stat st;
  if (::fstat(file_, &st) != 0 || !S_ISREG(st.st_mode))
    return usage_error("{} is not a regular file", partial());
  // The lock may come just after its holder renamed the file: then our descriptor is that of the finished
  // one.
  struct stat named;
  int refused = 0;
  wait_for_lock([&] {
    refused = ::flock(file_, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    return refused != EWOULDBLOCK;
  });
  if (refused != 0 && refused != EWOULDBLOCK) {
    errno = refused;
    return failed("cannot be locked");
  }
  if (refused != 0 || ::stat(partial().c_str(), &named) != 0 || named.st_ino != st.st_ino ||
      named.st_dev != st.st_dev) {
    ::close(std::exchange(file_, -1));
    return usage_error("{} is being written by another process", partial());
  }
  return {};
}

Status PartialFile::begin(const Plan& plan, bool exists) {
  journal_ = ::open(journal().c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
  if (journal_ < 0) return failed("cannot create the journal beside it");
  // A refusal must leave what could be resumed alone, hence recover() before anything is cut.
  if (exists && plan.resume) CARAT_DO(recover(plan));
  if (position_ == 0) {
    if (::ftruncate(journal_, 0) != 0 || ::ftruncate(file_, 0) != 0) return failed("cannot empty");
    position_ = plan.header.size();
    CARAT_DO(start_journal(plan));
  }
  if (::ftruncate(file_, static_cast<off_t>(position_)) != 0) return failed("cannot truncate");
  CARAT_DO(write_at(file_, 0, as_bytes(plan.header), partial()));
  // Reserves the space where the file system can do it at no cost; elsewhere the check in open() must do.
  if (plan.total > position_ && ::fallocate(file_, 0, 0, static_cast<off_t>(plan.total)) != 0 &&
      errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS) {
    return failed("cannot reserve its space");
  }
  synced_ = position_;
  synced_at_ = std::chrono::steady_clock::now();
  return {};
}

Status PartialFile::start_journal(const Plan& plan) {
  const std::string line = checked_line("carat journal 1 " + plan.identity);
  if (::pwrite(journal_, line.data(), line.size(), 0) != static_cast<ssize_t>(line.size()) ||
      ::fdatasync(journal_) != 0) {
    return failed("cannot write the journal beside it");
  }
  if (::lseek(journal_, 0, SEEK_END) < 0) return failed("cannot seek in the journal beside it");
  return sync_directory_of(path_);
}

/// Sets position_ and records_ to what the journal proves; position_ stays 0 where it proves nothing.
Status PartialFile::recover(const Plan& plan) {
  CARAT_TRY(const std::string text, read_small_file(journal(), max_journal_bytes));
  std::string_view rest = text;
  const auto first = take_line(rest);
  if (!first) return {};
  if (*first != "carat journal 1 " + plan.identity) {
    if (plan.discard) return {};
    return usage_error(
        "{} was begun from another input, with other options or by another version: finish it with "
        "those, or throw it away (--force)",
        partial());
  }
  CARAT_TRY(const std::shared_ptr<const MappedFile> mapped, MappedFile::open(partial()));
  const Bytes bytes = mapped->bytes();
  std::vector<Piece> pieces;
  std::vector<size_t> line_ends;
  const size_t after_first = text.size() - rest.size();
  uint64_t begin = plan.header.size();
  while (pieces.size() < plan.ends.size()) {
    const auto line = take_line(rest);
    if (!line) break;
    auto piece = parse_piece(*line);
    if (!piece || piece->index != pieces.size() || piece->end != plan.ends[pieces.size()] ||
        piece->end > bytes.size()) {
      break;
    }
    // A crash of the whole machine harms the last pieces, a bad disk any of them.
    if (xxh3(bytes.subspan(begin, piece->end - begin)) != piece->digest) break;
    mapped->release(begin, piece->end - begin);
    begin = piece->end;
    pieces.push_back(*std::move(piece));
    line_ends.push_back(text.size() - rest.size());
  }
  const size_t keep = pieces.empty() ? after_first : line_ends[pieces.size() - 1];
  if (::ftruncate(journal_, static_cast<off_t>(keep)) != 0 || ::lseek(journal_, 0, SEEK_END) < 0) {
    return failed("cannot shorten the journal beside it");
  }
  position_ = pieces.empty() ? plan.header.size() : pieces.back().end;
  for (Piece& p : pieces) records_.push_back(std::move(p.record));
  marked_ = records_.size();
  return {};
}

PartialFile::~PartialFile() {
  if (file_ >= 0) {
    if (journal_ >= 0)
      (void)sync().ok();  // nobody is left to tell of a failure; a resume then starts earlier
    ::close(file_);
  }
  if (journal_ >= 0) ::close(journal_);
}

Status PartialFile::append(Bytes bytes) {
  CARAT_DO(write_at(file_, position_, bytes, partial()));
  digest_.update(bytes);
  position_ += bytes.size();
  return {};
}

Result<std::vector<uint8_t>> PartialFile::read_back(uint64_t offset, uint64_t size) const {
  std::vector<uint8_t> bytes(size);
  for (uint64_t done = 0; done < size;) {
    const ssize_t n = ::pread(file_, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return failed("read");
    if (n == 0) return error(Code::io, "{}: ends before what was written to it", partial());
    done += static_cast<uint64_t>(n);
  }
  return bytes;
}

Status PartialFile::mark(std::string_view record) {
  pending_ +=
      checked_line(fmt::format("{} {} {:016x} {}", marked_++, position_, digest_.value(), escape(record)));
  digest_ = Xxh3();
  const bool due =
      position_ - synced_ >= sync_bytes_ || std::chrono::steady_clock::now() - synced_at_ >= sync_interval;
  return due ? start_sync() : Status{};
}

// A failed sync takes its lines with it; the gap ends the journal, whatever is written after it.
Status PartialFile::start_sync() {
  if (syncing_.valid()) {
    if (syncing_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return {};
    CARAT_DO(syncing_.get());
  }
  synced_ = position_;
  synced_at_ = std::chrono::steady_clock::now();
  syncing_ = std::async(std::launch::async,
                        [this, lines = std::exchange(pending_, {})] { return sync_lines(lines); });
  return {};
}

Status PartialFile::sync() {
  if (syncing_.valid()) CARAT_DO(syncing_.get());
  if (pending_.empty()) return {};
  return sync_lines(std::exchange(pending_, {}));
}

Status PartialFile::sync_lines(std::string_view lines) const {
  if (::fdatasync(file_) != 0) return failed("cannot sync");
  while (!lines.empty()) {
    const ssize_t n = ::write(journal_, lines.data(), lines.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failed("cannot write the journal beside it");
    lines.remove_prefix(static_cast<size_t>(n));
  }
  if (::fdatasync(journal_) != 0) return failed("cannot sync the journal beside it");
  return {};
}

Status PartialFile::finish(std::string_view header) {
  CARAT_DO(sync());
  if (!header.empty()) CARAT_DO(write_at(file_, 0, as_bytes(header), partial()));
  if (::ftruncate(file_, static_cast<off_t>(position_)) != 0 || ::fsync(file_) != 0)
    return failed("cannot sync");
  if (::rename(partial().c_str(), path_.c_str()) != 0) return failed("cannot rename to its final name");
  CARAT_DO(sync_directory_of(path_));
  if (::unlink(journal().c_str()) != 0) return failed("cannot remove the journal beside it");
  return {};
}

void PartialFile::discard() {
  if (syncing_.valid()) syncing_.wait();
  ::unlink(partial().c_str());
  ::unlink(journal().c_str());
  ::close(std::exchange(file_, -1));
  ::close(std::exchange(journal_, -1));
}

}  // namespace carat
