#include "cli/machine_notes.h"

#include "base/thread_pool.h"
#include "measure/drive.h"
#include "measure/limits.h"

namespace carat {

void note_thread_count(int threads, Console& console) {
  const int processors = usable_processors();
  if (threads <= processors) return;
  console.note(
      fmt::format("{} threads share the {} processor{} this process may use: that is slower than {} "
                  "thread{}",
                  threads, processors, processors == 1 ? "" : "s", processors, processors == 1 ? "" : "s"));
}

void note_memory(const Checkpoint& checkpoint, Console& console) {
  const uint64_t available = available_memory();
  if (available == 0 || checkpoint.file_bytes <= available || checkpoint.files.empty()) return;
  const double rate = drive_read_rate(checkpoint.files.front());
  if (const auto warning = memory_warning(checkpoint.source, checkpoint.file_bytes, available, rate))
    console.note(*warning);
}

}  // namespace carat
