// A file that is written front to back in marked pieces, survives being killed, and appears under its name
// only when whole. Internal to containers/.
//
//   PATH.partial   the bytes so far (and reserved space after them)
//   PATH.journal   text, one line each, every line starting with the XXH3 of its rest (16 hex digits, a
//   space):
//                    carat journal 1 IDENTITY
//                    INDEX END DIGEST RECORD      one per finished piece; DIGEST is the XXH3 of its bytes,
//                                                 RECORD the caller's text with \n and \ escaped
//
// A line is written only after the bytes it speaks of were synced, so the journal never promises what the
// disk may not hold. Syncs are batched (64 MB or 2 seconds) and run beside the writing, one at a time, which
// keeps them off the critical path; a kill costs at most what came after the last one began. The first line
// that does not check out, such as a torn one, ends the journal, and so does the first whose bytes are not
// there as it says; a resume goes on before it. Rejected: a database (one more format to
// trust), and journaling inside the file (readers would see it).
#pragma once

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/checked.h"
#include "base/digest.h"
#include "base/error.h"

namespace carat {

class PartialFile {
 public:
  struct Plan {
    std::string path;
    std::string identity;        ///< 64 hex digits over everything that decides the bytes
    std::string header;          ///< written first
    std::vector<uint64_t> ends;  ///< end of each piece, ascending
    uint64_t total = 0;          ///< size of the whole file
    bool resume = false;
    bool discard = false;            ///< what is there; with `resume`, only if it is of another identity
    uint64_t sync_bytes = 64 << 20;  ///< syncs when that many have come since the last one
  };
  /// The usage errors that open() would give for the place alone: for whoever has long work to do before.
  static Status check_place(const std::string& path, bool resume, bool discard);
  /// io: not enough space, or no permission. usage: a partial file is in the way, belongs to another job
  /// (resume) or is being written by another process and stays so for kLockPatience (base/lock_wait.h).
  static Result<std::unique_ptr<PartialFile>> open(const Plan& plan);
  /// Without finish(): syncs what is there, so that a resume finds it.
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  uint64_t position() const { return position_; }
  /// Records of the pieces that a resume found complete.
  const std::vector<std::string>& records() const { return records_; }
  Status append(Bytes bytes);
  /// What was appended at [offset, offset + size), which lies before position().
  Result<std::vector<uint8_t>> read_back(uint64_t offset, uint64_t size) const;
  /// The piece up to position() is complete.
  Status mark(std::string_view record);
  /// Replaces the header if `header` is not empty, syncs, renames, removes the journal.
  Status finish(std::string_view header);
  /// Removes the partial file and its journal: what was to be written has no future. Nothing may follow.
  void discard();

 private:
  PartialFile() = default;
  Status acquire();
  Status begin(const Plan& plan, bool exists);
  Status recover(const Plan& plan);
  Status start_journal(const Plan& plan);
  /// Hands the pending lines to a sync of their own, unless one is still running.
  Status start_sync();
  /// Everything marked is synced and journaled when this returns.
  Status sync();
  /// The file's bytes, then `lines` in the journal.
  Status sync_lines(std::string_view lines) const;
  Error failed(std::string_view what) const;
  std::string partial() const { return path_ + ".partial"; }
  std::string journal() const { return path_ + ".journal"; }

  std::string path_;
  int file_ = -1;
  int journal_ = -1;
  uint64_t position_ = 0;
  std::vector<std::string> records_;
  size_t marked_ = 0;
  std::string pending_;  ///< journal lines whose data are not synced yet
  uint64_t sync_bytes_ = 0;
  uint64_t synced_ = 0;  ///< position where the last sync began
  std::chrono::steady_clock::time_point synced_at_;
  std::future<Status> syncing_;
  Xxh3 digest_;  ///< of the current piece
};

}  // namespace carat
