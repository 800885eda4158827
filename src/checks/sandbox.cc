#include "checks/sandbox.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>

#include "checks/sandbox_child.h"

namespace carat {

namespace {

constexpr const char* kInterpreters[] = {"/usr/bin/python3", "/usr/local/bin/python3"};
constexpr size_t kReportBytes = 4096;

class Pipe {
 public:
  Pipe() {
    if (pipe2(ends_.data(), O_CLOEXEC) != 0) ends_ = {-1, -1};
  }
  ~Pipe() {
    close_write();
    if (ends_[0] >= 0) close(ends_[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  bool ok() const { return ends_[0] >= 0; }
  int read_end() const { return ends_[0]; }
  int write_end() const { return ends_[1]; }
  void close_write() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

/// Kills process 1 of the name space, and with it everything in there, unless it has been waited for.
class Child {
 public:
  explicit Child(pid_t pid) : pid_(pid) {}
  ~Child() { end(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  void end() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

 private:
  pid_t pid_;
};

struct Stream {
  int fd;
  size_t kept;
  std::string text;
  bool open = true;

  void read_some() {
    char buffer[16384];
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    if (n <= 0) {
      open = false;
    } else if (text.size() < kept) {
      text.append(buffer, std::min(static_cast<size_t>(n), kept - text.size()));
    }
  }
};

using Clock = std::chrono::steady_clock;

/// Reads until all streams are closed. False when the deadline comes first.
Result<bool> read_all(const Context& context, std::array<Stream, 3>& streams, Clock::time_point deadline) {
  constexpr int kPollMilliseconds = 50;  // between looks at the cancellation
  for (;;) {
    std::array<pollfd, 3> polled{};
    bool any = false;
    for (size_t i = 0; i < streams.size(); ++i) {
      polled[i] = {streams[i].open ? streams[i].fd : -1, POLLIN, 0};
      any = any || streams[i].open;
    }
    if (!any) return true;
    CARAT_DO(context.check());
    if (Clock::now() >= deadline) return false;
    poll(polled.data(), polled.size(), kPollMilliseconds);
    for (size_t i = 0; i < streams.size(); ++i) {
      if (streams[i].open && polled[i].revents != 0) streams[i].read_some();
    }
  }
}

SandboxRun unavailable(std::string why) {
  SandboxRun run;
  run.reason = "Code is only run in a sandbox, and there is none here: " + std::move(why) + ".";
  return run;
}

}  // namespace

Result<SandboxRun> run_python_in_sandbox(const Context& context,
                                         const std::vector<std::pair<std::string, std::string>>& files,
                                         const std::string& main, const SandboxLimits& limits) {
  sandbox::Plan plan;
  for (const char* path : kInterpreters) {
    if (plan.interpreter == nullptr && access(path, X_OK) == 0) plan.interpreter = path;
  }
  if (plan.interpreter == nullptr) return unavailable("/usr/bin/python3 is not there");
  plan.files = files;
  plan.main = main;
  plan.uid_map = fmt::format("1000 {} 1", geteuid());
  plan.gid_map = fmt::format("1000 {} 1", getegid());
  plan.scratch_options = fmt::format("size={},nr_inodes=1000,mode=700", limits.scratch_bytes);
  plan.cpu_seconds = static_cast<uint64_t>(std::ceil(limits.seconds));
  plan.memory_bytes = static_cast<uint64_t>(limits.memory_bytes);
  plan.scratch_bytes = static_cast<uint64_t>(limits.scratch_bytes);

  Pipe output, report, status;
  if (!output.ok() || !report.ok() || !status.ok()) {
    return error(Code::internal, "a pipe to the sandbox cannot be made: {}", std::strerror(errno));
  }
  plan.output = output.write_end();
  plan.report = report.write_end();
  plan.status = status.write_end();
  const auto deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                           std::chrono::duration<double>(limits.seconds));
  const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, sandbox::clone_flags() | SIGCHLD, 0, 0, 0, 0));
  if (pid == 0) sandbox::run_child(plan);
  if (pid < 0) return unavailable(fmt::format("name spaces cannot be made ({})", std::strerror(errno)));
  Child child(pid);
  output.close_write();
  report.close_write();
  status.close_write();

  std::array<Stream, 3> streams{Stream{output.read_end(), limits.output_bytes, {}},
                                Stream{report.read_end(), kReportBytes, {}},
                                Stream{status.read_end(), 10 * sizeof(sandbox::Message), {}}};
  CARAT_TRY(const bool finished, read_all(context, streams, deadline));
  child.end();
  SandboxRun run;
  run.output = std::move(streams[0].text);
  run.report = std::move(streams[1].text);
  if (!finished) {
    run.end = SandboxRun::End::out_of_time;
    return run;
  }
  sandbox::Message message{};
  if (streams[2].text.size() < sizeof message) return unavailable("its first process ended without a word");
  std::memcpy(&message, streams[2].text.data(), sizeof message);
  if (message.kind == sandbox::Message::set_up_failed) {
    return unavailable(
        fmt::format("{} failed ({})", sandbox::step_name(message.step), std::strerror(message.value)));
  }
  const bool signalled = WIFSIGNALED(message.value);
  run.end = signalled ? SandboxRun::End::killed : SandboxRun::End::exited;
  run.status = signalled ? WTERMSIG(message.value) : WEXITSTATUS(message.value);
  return run;
}

}  // namespace carat
