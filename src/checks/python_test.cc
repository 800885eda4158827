// The tests that need a sandbox are skipped where the system grants none; what is then left is that nothing
// runs.
#include <sys/stat.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "checks/check_testing.h"
#include "checks/python_code.h"
#include "checks/sandbox.h"

namespace carat {
namespace {

constexpr const char* kPrompt = "import math\n\ndef f(x):\n    \"\"\"Twice x.\"\"\"\n";

TEST(ProgramOf, CompletesTheBody) {
  EXPECT_EQ(program_of("    return 2 * x\n", kPrompt, "f"), std::string(kPrompt) + "    return 2 * x\n\n");
  const std::string cut = program_of("    return 2 * x\n\ndef g():\n    pass\n", kPrompt, "f");
  EXPECT_EQ(cut.find("def g"), std::string::npos);
  const std::string trimmed = program_of("y = x\n    return 2 * y", kPrompt, "f");
  EXPECT_NE(trimmed.find("\n    y = x\n    return 2 * y"), std::string::npos) << trimmed;
  const std::string flat = program_of("y = x\nif y:\n    y = 2 * y\nreturn y", kPrompt, "f");
  EXPECT_NE(flat.find("\n    y = x\n    if y:\n        y = 2 * y\n    return y"), std::string::npos) << flat;
  const std::string brackets = program_of("    return g(\n        x\n)\nprint(1)", kPrompt, "f");
  EXPECT_NE(brackets.find("\n)\n"), std::string::npos);
  EXPECT_EQ(brackets.find("print"), std::string::npos);
}

TEST(ProgramOf, FindsTheBlockThatMatters) {
  const std::string reply =
      "First:\n```bash\npip install x\n```\nThen\n```python\ndef g(): pass\n```\n```py\ndef f(x):\n    "
      "return 2 * "
      "x\n```\nDone.";
  EXPECT_EQ(program_of(reply, "", "f"), "def f(x):\n    return 2 * x\n");
  EXPECT_EQ(program_of(reply, "", ""), "def g(): pass\n");
  EXPECT_EQ(program_of("```\nx\n```", "", ""), "x\n");
  EXPECT_EQ(program_of("```python\nx = 1", "", ""), "x = 1");
  EXPECT_EQ(program_of("```", "", ""), "");
  EXPECT_EQ(program_of("", "", ""), "");
  const std::string whole =
      program_of("Sure, here it is:\nimport re\ndef f(x):\n    return 2 * x", kPrompt, "f");
  EXPECT_TRUE(whole.starts_with(kPrompt));
  EXPECT_EQ(whole.find("Sure"), std::string::npos);
  EXPECT_NE(whole.find("import re\ndef f(x):"), std::string::npos);
  // ff is not f.
  EXPECT_EQ(program_of("    def ff(y): return y\n    return ff(2 * x)", kPrompt, "f").find("\n\n    def"),
            std::string::npos);
}

/// Runs `code` with short limits; nothing where there is no sandbox.
std::optional<SandboxRun> run(const std::string& code, SandboxLimits limits = {}) {
  TestContext test;
  auto result = run_python_in_sandbox(test.context, {{"main.py", code}}, "main.py", limits);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  if (!result.ok() || result->end == SandboxRun::End::unavailable) return std::nullopt;
  return *std::move(result);
}

class Sandbox : public testing::Test {
 protected:
  void SetUp() override {
    TestContext test;
    const auto probe = run_python_in_sandbox(test.context, {{"main.py", "pass"}}, "main.py", {});
    ASSERT_TRUE(probe.ok());
    if (probe->end == SandboxRun::End::unavailable) GTEST_SKIP() << probe->reason;
  }
};

TEST_F(Sandbox, RunsAProgramAndReturnsWhatItSays) {
  const auto r = run("import os, sys\nprint('out')\nos.write(3, b'word')\nsys.exit(7)");
  EXPECT_EQ(r->end, SandboxRun::End::exited);
  EXPECT_EQ(r->status, 7);
  EXPECT_EQ(r->output, "out\n");
  EXPECT_EQ(r->report, "word");
  const auto killed = run("import os\nos.abort()");
  EXPECT_EQ(killed->end, SandboxRun::End::killed);
  EXPECT_EQ(killed->status, SIGABRT);
}

TEST_F(Sandbox, EndsWhatDoesNotEnd) {
  SandboxLimits limits;
  limits.seconds = 0.5;
  EXPECT_EQ(run("while True: pass", limits)->end, SandboxRun::End::out_of_time);
  EXPECT_EQ(run("import time\ntime.sleep(1000)", limits)->end, SandboxRun::End::out_of_time);
  EXPECT_EQ(run("import signal, time\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n"
                "  except (OSError, ValueError): pass\ntime.sleep(1000)",
                limits)
                ->end,
            SandboxRun::End::out_of_time);
  // Closing its descriptors does not hide that it still runs.
  EXPECT_EQ(run("import os, time\nos.closerange(0, 60)\ntime.sleep(1000)", limits)->end,
            SandboxRun::End::out_of_time);
}

TEST_F(Sandbox, StartsNoProcesses) {
  const auto r = run(
      "import os\nfor i in range(100):\n  try:\n    os.fork()\n    os.write(3, b'forked ')\n"
      "  except OSError as e: os.write(3, b'.')\n"
      "try:\n  os.posix_spawn('/bin/sh', ['sh'], {})\n  os.write(3, b'spawned')\nexcept OSError: pass\n"
      "import threading\nt = threading.Thread(target=lambda: os.write(3, b'thread'))\nt.start(); t.join()");
  EXPECT_EQ(r->report, std::string(100, '.') + "thread");
}

TEST_F(Sandbox, BoundsMemoryAndFiles) {
  SandboxLimits limits;
  limits.memory_bytes = 200 << 20;
  const auto memory =
      run("import os\ntry:\n  x = bytearray(1 << 30)\n  os.write(3, b'got it')\n"
          "except MemoryError: os.write(3, b'refused')",
          limits);
  EXPECT_EQ(memory->report, "refused");
  limits.scratch_bytes = 1 << 20;
  const auto files =
      run("import os\nn = 0\ntry:\n  for i in range(100):\n    with open('f%d' % i, 'wb') as f: "
          "f.write(bytes(100000)); n += 1\n"
          "except OSError: pass\nos.write(3, str(n).encode())",
          limits);
  EXPECT_LT(std::stoi(files->report), 11);
  EXPECT_GT(std::stoi(files->report), 5);
}

TEST_F(Sandbox, KeepsALittleOfAFloodOfOutput) {
  SandboxLimits limits;
  limits.output_bytes = 1000;
  const auto r = run("import sys\nfor i in range(2000): sys.stdout.write('x' * 10000)\nsys.exit(5)", limits);
  EXPECT_EQ(r->status, 5);
  EXPECT_EQ(r->output, std::string(1000, 'x'));
}

TEST_F(Sandbox, SeesNothingOfTheSystem) {
  const std::string home = std::getenv("HOME") ? std::getenv("HOME") : "/root";
  const std::string here = CARAT_SOURCE_DIR;
  const auto r = run("import os\nfor p in ['/etc/shadow', '/etc/passwd', '" + home + "', '" + here +
                     "', '/proc/1/environ', '/sys', '/var', '/dev/mem', '/dev/vda', '/root', '/home']:\n"
                     "  try:\n    os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read(1)\n    "
                     "os.write(3, p.encode() + b' ')\n"
                     "  except OSError: pass\nos.write(3, ' '.join(sorted(os.listdir('/'))).encode())\n"
                     "os.write(3, b' ' + ' '.join(sorted(os.environ)).encode())");
  EXPECT_EQ(r->report, "bin dev lib lib64 scratch tmp usr HOME LANG PATH PYTHONHASHSEED TMPDIR");
}

TEST_F(Sandbox, WritesNowhereElse) {
  const std::string mark = "carat_sandbox_was_here";
  const std::string here = std::string(CARAT_SOURCE_DIR) + "/" + mark;
  const auto r = run(
      "import os\nfor p in ['/', '/usr/', '/usr/bin/', '/lib/', '/etc/', '/dev/', '/dev/shm/', '/root/', '" +
      std::string(CARAT_SOURCE_DIR) + "/']:\n  try:\n    open(p + '" + mark +
      "', 'w').close()\n    os.write(3, p.encode())\n  except OSError: pass\n"
      "for call in [lambda: os.chmod('/usr/bin/python3', 0o777), lambda: os.remove('/usr/bin/env'),\n"
      "             lambda: os.rename('/usr', '/x'), lambda: os.chroot('/usr')]:\n"
      "  try:\n    call()\n    os.write(3, b'done')\n  except OSError: pass\n"
      "open('/tmp/" +
      mark + "', 'w').close()\nopen('" + mark + "', 'w').close()\nos.write(3, b'end')");
  EXPECT_EQ(r->report, "end");
  struct stat found;
  for (const std::string& path : {here, "/usr/" + mark, "/tmp/" + mark, "/dev/shm/" + mark, mark}) {
    EXPECT_NE(stat(path.c_str(), &found), 0) << path;
  }
}

TEST_F(Sandbox, HasNoNetworkAndNoPrivileges) {
  const auto r =
      run("import os, socket, ctypes\n"
          "for family in [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 40, socket.AF_NETLINK]:\n"
          "  try:\n    socket.socket(family, socket.SOCK_STREAM)\n    os.write(3, b'socket %d ' % family)\n"
          "  except OSError: pass\n"
          "try:\n  import urllib.request\n  urllib.request.urlopen('http://1.1.1.1', timeout=1)\n  "
          "os.write(3, b'web')\n"
          "except OSError: pass\n"
          "c = ctypes.CDLL(None, use_errno=True)\n"
          "for flags in [0x10000000, 0x20000, 0x40000000]:\n"
          "  if c.unshare(flags) == 0: os.write(3, b'unshare ')\n"
          "if c.mount(b'tmpfs', b'/scratch', b'tmpfs', 0, None) == 0: os.write(3, b'mount ')\n"
          "if c.ptrace(16, 1, 0, 0) == 0: os.write(3, b'ptrace ')\n"
          "try:\n  os.setuid(0)\n  os.write(3, b'root ')\nexcept OSError: pass\n"
          "try:\n  os.kill(1, 9)\nexcept OSError: os.write(3, b'init stays ')\n"
          "os.write(3, b'%d %d' % (os.getuid(), os.getpid()))");
  EXPECT_TRUE(r->report == "1000 2" || r->report == "init stays 1000 2") << r->report;
}

// Were it in the process group of the program that judges, the signal would end that one too.
TEST_F(Sandbox, SignalsNobodyOutside) {
  const auto r = run("import os\nif os.getpgrp() == 0: os.write(3, b'with others')\nelse: os.kill(0, 9)");
  EXPECT_EQ(r->report, "");
  EXPECT_EQ(r->end, SandboxRun::End::killed);
}

TEST_F(Sandbox, HasNoMemoryThatIsNotCounted) {
  const auto r =
      run("import os, ctypes\nc = ctypes.CDLL(None)\n"
          "try:\n  os.memfd_create('x')\n  os.write(3, b'file ')\nexcept OSError: pass\n"
          "for call in [lambda: c.shmget(0, ctypes.c_size_t(1 << 20), 0o1600), lambda: c.msgget(0, 0o1600),\n"
          "             lambda: c.semget(0, 1, 0o1600)]:\n  os.write(3, b'%d ' % call())");
  EXPECT_EQ(r->report, "-1 -1 -1 ");
}

TEST_F(Sandbox, LeavesNoProcessAndHearsOfCancellation) {
  TestContext test;
  test.cancellation.request();
  const auto r = run_python_in_sandbox(test.context, {{"main.py", "while True: pass"}}, "main.py", {});
  ASSERT_FALSE(r.ok());
  EXPECT_EQ(r.error().code, Code::interrupted);
}

TEST(PythonCheck, IsUnscoredWithoutASandboxAndNeverRunsOutside) {
  // A system without the interpreter or name spaces cannot be had in a test; but what is judged must be one
  // or the other, with a reason.
  const auto c = check_of("python");
  TestContext test;
  const auto v = c->judge(test.context, Answer{{"def f(x):\n  return 2 * x"}, {}, false},
                          object_of(R"({"entry_point": "f", "tests": "assert f(2) == 4"})"));
  ASSERT_TRUE(v.ok());
  if (v->kind == Verdict::Kind::unscored) {
    EXPECT_NE(v->reason.find("sandbox"), std::string::npos);
    EXPECT_TRUE(v->metrics.empty());
  } else {
    EXPECT_EQ(metric(*v, "pass"), 1);
  }
}

TEST_F(Sandbox, JudgesHowFarAProgramCame) {
  const auto c = check_of("python", R"({"seconds": 2})");
  const char* expected = R"({"entry_point": "f", "tests": ["assert f(2) == 4", "assert f(3) == 6"]})";
  EXPECT_EQ(metric(judge(*c, "def f(x):\n  return 2 * x", expected), "pass"), 1);
  const Verdict wrong = judge(*c, "def f(x):\n  return 4", expected);
  EXPECT_EQ(metric(wrong, "pass"), 0);
  EXPECT_EQ(metric(wrong, "runs"), 1);
  EXPECT_EQ(wrong.reason, "tests: AssertionError");
  const Verdict broken = judge(*c, "def f(x) return 4", expected);
  EXPECT_EQ(metric(broken, "runs"), 0);
  EXPECT_NE(broken.reason.find("program: SyntaxError"), std::string::npos) << broken.reason;
  for (const char* ends : {"import os\nos._exit(0)", "import sys\nsys.exit(0)", "raise SystemExit",
                           "def f(x):\n  import os\n  os._exit(0)", "def f(x):\n  raise KeyboardInterrupt"}) {
    EXPECT_EQ(metric(judge(*c, ends, expected), "pass"), 0) << ends;
  }
  EXPECT_EQ(judge(*c, "while True: pass", expected).reason, "It did not end within 2 s.");
  EXPECT_FALSE(c->accepts(object_of(R"({"tests": []})")).ok());
  EXPECT_FALSE(c->accepts(object_of(R"({"tests": "def check(c): pass"})")).ok());
}

json::object humaneval_expected(const json::object& item) {
  return {{"prompt", item.at("prompt")}, {"entry_point", item.at("entry_point")}, {"tests", item.at("test")}};
}

TEST_F(Sandbox, EveryCanonicalSolutionOfHumanEvalPassesAndBrokenOnesFail) {
  const auto items = shared_lines("humaneval/HumanEval.jsonl");
  if (items.empty()) GTEST_SKIP() << "shared/data/humaneval is not here";
  const auto c = check_of("python", R"({"seconds": 30})");
  size_t broken = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    const json::object& item = items[i];
    const std::string name(item.at("task_id").as_string()),
        solution(item.at("canonical_solution").as_string());
    const std::string prompt(item.at("prompt").as_string());
    const json::object expected = humaneval_expected(item);
    const auto passes = [&](const std::string& reply) {
      const Verdict v = judge(*c, Answer{{reply}, {}, false}, expected);
      return metric(v, "pass") == 1 ? std::string() : v.reason + "\n" + v.extracted;
    };
    EXPECT_EQ(passes(solution), "") << name;
    if (i % 2 == 0) {
      EXPECT_EQ(passes("Here you are:\n```python\n" + prompt + solution + "```\n"), "") << name;
    }
    if (broken < 60) {  // a function that returns nothing, or another type, never passes
      ++broken;
      EXPECT_NE(passes(i % 2 == 0 ? "    return None\n" : "    return object()\n"), "") << name;
    }
  }
  EXPECT_EQ(broken, 60u);
}

TEST_F(Sandbox, SolutionsOfMbppPass) {
  const auto items = shared_lines("mbpp/mbpp.jsonl");
  if (items.empty()) GTEST_SKIP() << "shared/data/mbpp is not here";
  const auto c = check_of("python", R"({"seconds": 30})");
  for (size_t i = 0; i < items.size(); i += 5) {
    const json::object expected = {{"setup", items[i].at("test_setup_code")},
                                   {"tests", items[i].at("test_list")}};
    const std::string code(items[i].at("code").as_string());
    const Verdict v = judge(*c, Answer{{"```python\n" + code + "\n```"}, {}, false}, expected);
    EXPECT_EQ(metric(v, "pass"), 1) << v.reason << "\n" << v.extracted;
  }
}

}  // namespace
}  // namespace carat
