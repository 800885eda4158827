#include "checks/sandbox_child.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace carat::sandbox {

namespace {

constexpr const char* kSteps[] = {"mapping users",
                                  "making mounts private",
                                  "opening the system's directories",
                                  "mounting an empty root",
                                  "mounting the system's directories",
                                  "mounting devices",
                                  "mounting the scratch directory",
                                  "changing the root",
                                  "writing the files",
                                  "starting a process",
                                  "setting limits",
                                  "setting the system call filter",
                                  "starting the interpreter"};
enum Step : int32_t {
  map_users,
  private_mounts,
  open_directories,
  empty_root,
  system_directories,
  devices,
  scratch,
  change_root,
  write_files,
  start_process,
  set_limits,
  set_filter,
  start_interpreter
};

[[noreturn]] void fail(const Plan& plan, Step step) {
  const Message message{Message::set_up_failed, errno, step};
  (void)!write(plan.status, &message, sizeof message);
  _exit(1);
}

bool write_all(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    size -= static_cast<size_t>(n);
  }
  return true;
}

bool write_file(const char* path, const std::string& content) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  const bool written = write_all(fd, content.data(), content.size());
  return close(fd) == 0 && written;
}

// struct mount_attr and its numbers (linux/mount.h), which clashes with sys/mount.h in glibc 2.36.
struct MountAttributes {
  uint64_t set, clear, propagation, user_ns;
};
constexpr uint64_t kReadOnly = 1, kNoSuid = 2, kNoDevices = 4;
constexpr unsigned kRecursive = 0x8000;

/// Binds what `fd` is open on to `target`, with everything that is mounted below it, and takes rights away.
bool bind_mount(int fd, const char* target, uint64_t without) {
  // The path of the descriptor, written by hand: the C library's formatting is not for here.
  char source[32] = "/proc/self/fd/";
  size_t end = sizeof "/proc/self/fd/" - 1;
  if (fd >= 100) source[end++] = static_cast<char>('0' + fd / 100 % 10);
  if (fd >= 10) source[end++] = static_cast<char>('0' + fd / 10 % 10);
  source[end++] = static_cast<char>('0' + fd % 10);
  source[end] = '\0';
  if (mount(source, target, nullptr, MS_BIND | MS_REC, nullptr) != 0) return false;
  MountAttributes attributes{without, 0, 0, 0};
  return syscall(SYS_mount_setattr, AT_FDCWD, target, kRecursive, &attributes, sizeof attributes) == 0;
}

// /usr holds the interpreter and its libraries; where the others are links into it, links are made.
struct SystemDirectory {
  const char *path, *target;  // the target is relative to the new root, which is the current directory
};
constexpr SystemDirectory kDirectories[] = {
    {"/usr", "usr"}, {"/lib", "lib"}, {"/lib64", "lib64"}, {"/bin", "bin"}};
constexpr SystemDirectory kDevices[] = {{"/dev/null", "dev/null"},
                                        {"/dev/zero", "dev/zero"},
                                        {"/dev/random", "dev/random"},
                                        {"/dev/urandom", "dev/urandom"}};

/// Puts the process into a root of its own, the current directory being an empty scratch directory.
void make_root(const Plan& plan) {
  const auto must = [&](bool done, Step step) {
    if (!done) fail(plan, step);
  };
  must(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, private_mounts);
  // Opened before anything covers them; a directory the system does not have is left out.
  std::array<int, std::size(kDirectories)> directories{};
  std::array<int, std::size(kDevices)> device_files{};
  for (size_t i = 0; i < directories.size(); ++i) {
    directories[i] = open(kDirectories[i].path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    must(directories[i] >= 0 ? directories[i] < 1000 : errno == ENOENT, open_directories);
  }
  for (size_t i = 0; i < device_files.size(); ++i) {
    device_files[i] = open(kDevices[i].path, O_PATH | O_CLOEXEC);
    must(device_files[i] >= 0 && device_files[i] < 1000, open_directories);
  }
  // /proc must be there to name descriptors, so the root is built below /tmp.
  must(mount("tmpfs", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k,mode=755") == 0, empty_root);
  must(chdir("/tmp") == 0, empty_root);
  for (size_t i = 0; i < directories.size(); ++i) {
    if (directories[i] < 0) continue;
    char link[256];
    const ssize_t length = readlinkat(directories[i], "", link, sizeof link - 1);
    if (length > 0) {
      link[length] = '\0';
      must(symlink(link, kDirectories[i].target) == 0, system_directories);
    } else {
      must(mkdir(kDirectories[i].target, 0755) == 0, system_directories);
      must(bind_mount(directories[i], kDirectories[i].target, kReadOnly | kNoSuid | kNoDevices),
           system_directories);
    }
  }
  must(mkdir("dev", 0755) == 0, devices);
  for (size_t i = 0; i < device_files.size(); ++i) {
    must(write_file(kDevices[i].target, {}), devices);
    must(bind_mount(device_files[i], kDevices[i].target, kReadOnly | kNoSuid), devices);
  }
  must(mkdir("scratch", 0755) == 0, scratch);
  must(mount("tmpfs", "scratch", "tmpfs", MS_NOSUID | MS_NODEV, plan.scratch_options.c_str()) == 0, scratch);
  must(mkdir("tmp", 0755) == 0 && mount("scratch", "tmp", nullptr, MS_BIND, nullptr) == 0, scratch);
  must(syscall(SYS_pivot_root, ".", ".") == 0, change_root);
  must(umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, change_root);
  MountAttributes attributes{kReadOnly, 0, 0, 0};
  must(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes) == 0, change_root);
  must(chdir("/scratch") == 0, change_root);
}

#if defined(__x86_64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#endif

// New processes, sockets beyond pairs, memory that no limit counts (it belongs to no process, or to a file
// that is in no directory), and what parts of the kernel have been attacked through. Name spaces and missing
// privileges already forbid most of it; this is the second lock.
constexpr int kForbidden[] = {
#if defined(__x86_64__)
    SYS_fork,
    SYS_vfork,
#endif
    SYS_socket,
    SYS_memfd_create,
    SYS_shmget,
    SYS_msgget,
    SYS_semget,
    SYS_mq_open,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fspick,
    SYS_mount_setattr,
    SYS_unshare,
    SYS_setns,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_kexec_load,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_open_by_handle_at,
    SYS_name_to_handle_at,
    SYS_swapon,
    SYS_quotactl,
    SYS_reboot,
    SYS_acct,
    SYS_syslog};

bool forbid_system_calls() {
  constexpr uint32_t number = offsetof(seccomp_data, nr), architecture = offsetof(seccomp_data, arch);
  constexpr uint32_t flags = offsetof(seccomp_data, args);
  constexpr uint32_t allow = SECCOMP_RET_ALLOW, kill = SECCOMP_RET_KILL_PROCESS;
  constexpr uint32_t refuse = SECCOMP_RET_ERRNO | EPERM, unknown = SECCOMP_RET_ERRNO | ENOSYS;
  std::array<sock_filter, 16 + 2 * std::size(kForbidden)> code{};
  size_t n = 0;
  const auto statement = [&](uint16_t op, uint32_t k) { code[n++] = BPF_STMT(op, k); };
  const auto jump = [&](uint16_t op, uint32_t k, uint8_t yes, uint8_t no) {
    code[n++] = BPF_JUMP(op, k, yes, no);
  };
  const uint16_t load = BPF_LD | BPF_W | BPF_ABS, equal = BPF_JMP | BPF_JEQ | BPF_K;
  const uint16_t give = BPF_RET | BPF_K;
  statement(load, architecture);
  jump(equal, kArchitecture, 1, 0);
  statement(give, kill);
  statement(load, number);
#if defined(__x86_64__)
  jump(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1);  // the x32 interface
  statement(give, kill);
#endif
  for (const int call : kForbidden) {
    jump(equal, static_cast<uint32_t>(call), 0, 1);
    statement(give, refuse);
  }
  // clone3 keeps its flags in memory, where a filter cannot look; the C library falls back to clone.
  jump(equal, SYS_clone3, 0, 1);
  statement(give, unknown);
  jump(equal, SYS_clone, 0, 3);
  statement(load, flags);
  jump(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
  statement(give, refuse);
  statement(give, allow);
  const sock_fprog program{static_cast<unsigned short>(n), code.data()};
  return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool limit(int resource, uint64_t value) {
  const rlimit both{value, value};
  return setrlimit(static_cast<__rlimit_resource>(resource), &both) == 0;
}

[[noreturn]] void run_interpreter(const Plan& plan) {
  const auto must = [&](bool done, Step step) {
    if (!done) fail(plan, step);
  };
  must(dup2(open("/dev/null", O_RDONLY), 0) == 0, start_interpreter);
  // Descriptor 3 may be any of ours, so all three are moved out of the way first.
  const int output = fcntl(plan.output, F_DUPFD_CLOEXEC, 10),
            report = fcntl(plan.report, F_DUPFD_CLOEXEC, 10);
  const int status = fcntl(plan.status, F_DUPFD_CLOEXEC, 10);
  must(output >= 0 && report >= 0 && status >= 0, start_interpreter);
  Plan moved_status{};  // only what fail() needs
  moved_status.status = status;
  const auto must_now = [&](bool done, Step step) {
    if (!done) fail(moved_status, step);
  };
  must_now(dup2(output, 1) == 1 && dup2(output, 2) == 2 && dup2(report, 3) == 3, start_interpreter);
  // Everything else that the program had open, except the one that tells of failure, closes on exec.
  must_now(syscall(SYS_close_range, 4u, ~0u, 4u /* CLOSE_RANGE_CLOEXEC */) == 0, start_interpreter);
  must_now(limit(RLIMIT_CORE, 0) && limit(RLIMIT_CPU, plan.cpu_seconds) &&
               limit(RLIMIT_AS, plan.memory_bytes) && limit(RLIMIT_FSIZE, plan.scratch_bytes) &&
               limit(RLIMIT_NOFILE, 64) && limit(RLIMIT_NPROC, 64),
           set_limits);
  // Handlers of the program are gone after exec; what it ignored or blocked is not.
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  must_now(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && forbid_system_calls(), set_filter);
  // -I: no environment, no user directory. -S: no site packages, so that a verdict does not depend on them.
  const char* const arguments[] = {"python3", "-I", "-S", "-B", plan.main.c_str(), nullptr};
  const char* const environment[] = {"PATH=/usr/bin:/bin", "HOME=/scratch",    "TMPDIR=/scratch",
                                     "LANG=C.UTF-8",       "PYTHONHASHSEED=0", nullptr};
  execve(plan.interpreter, const_cast<char**>(arguments), const_cast<char**>(environment));
  fail(moved_status, start_interpreter);
}

}  // namespace

const char* step_name(int32_t step) {
  return step >= 0 && step < static_cast<int32_t>(std::size(kSteps)) ? kSteps[step] : "setting up";
}

uint64_t clone_flags() {
  return CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
}

void run_child(const Plan& plan) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A signal to one's process group does not stop at the border of a name space.
  if (setsid() < 0) fail(plan, map_users);
  const bool mapped = write_file("/proc/self/setgroups", "deny") &&
                      write_file("/proc/self/uid_map", plan.uid_map) &&
                      write_file("/proc/self/gid_map", plan.gid_map);
  if (!mapped) fail(plan, map_users);
  make_root(plan);
  for (const auto& [name, content] : plan.files) {
    if (!write_file(name.c_str(), content)) fail(plan, write_files);
  }
  const pid_t child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (child < 0) fail(plan, start_process);
  if (child == 0) run_interpreter(plan);
  close(plan.output);
  close(plan.report);
  int status = 0;
  for (;;) {
    const pid_t ended = waitpid(child, &status, 0);
    if (ended == child) break;
    if (ended < 0 && errno != EINTR) fail(plan, start_process);
  }
  const Message message{Message::ended, status, 0};
  (void)!write(plan.status, &message, sizeof message);
  _exit(0);
}

}  // namespace carat::sandbox
