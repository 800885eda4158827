// python: the reply is a program, or continues one, and passes its tests. It runs in a sandbox or not at all.
#include "checks/kinds.h"
#include "checks/plain_text.h"
#include "checks/python_code.h"
#include "checks/sandbox.h"

namespace carat {

namespace {

// Runs the program, then its tests in the same name space, and says on descriptor 3 how far it came. A
// program that ends itself says nothing, and has not passed.
constexpr std::string_view kDriver = R"python(
import os, sys, types

def say(text):
    os.write(3, text.encode("utf-8", "backslashreplace")[:1000])

def run(name, path, space):
    try:
        with open(path, encoding="utf-8") as file:
            source = file.read()
        exec(compile(source, path, "exec"), space)
    except BaseException as e:
        try:
            text = str(e)
        except BaseException:
            text = ""
        say(name + ": " + type(e).__name__ + (": " + text[:300] if text else ""))
        os._exit(1)
    say(name + "\n")

module = types.ModuleType("candidate")
sys.modules["candidate"] = module
run("program", "program.py", module.__dict__)
run("tests", "tests.py", module.__dict__)
os._exit(0)
)python";

struct Problem {
  std::string prompt, entry_point, tests;

  static Problem read(Settings& e) {
    Problem p;
    p.prompt = e.text("prompt", "");
    p.entry_point = e.text("entry_point", "");
    p.tests = e.text("setup", "");
    if (!p.tests.empty()) p.tests += "\n";
    const size_t setup = p.tests.size();
    for (const std::string& test : e.texts("tests")) p.tests += test + "\n";
    if (p.tests.size() == setup) e.refuse("tests", "must be Python code, or a list of it");
    // HumanEval's tests define check(candidate).
    if (p.tests.find("def check(") != std::string::npos) {
      if (p.entry_point.empty())
        e.refuse("entry_point", "must name the function, as the tests define check()");
      p.tests += "\ncheck(" + p.entry_point + ")\n";
    }
    return p;
  }
};

class Python final : public Check {
 public:
  explicit Python(SandboxLimits limits) : limits_(limits) {}

  Status accepts(const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    Problem::read(e);
    return e.finish();
  }

  Result<Verdict> judge(const Context& context, const Answer& answer,
                        const json::object& expected) const override {
    Settings e(expected, "what the item expects");
    const Problem problem = Problem::read(e);
    const std::string program =
        clean_utf8(program_of(last_reply(answer), problem.prompt, problem.entry_point));
    Verdict v;
    v.extracted = excerpt(program, 8000);
    const auto result = run_python_in_sandbox(
        context, {{"driver.py", std::string(kDriver)}, {"program.py", program}, {"tests.py", problem.tests}},
        "driver.py", limits_);
    if (!result) return result.error();
    const SandboxRun& run = *result;
    if (run.end == SandboxRun::End::unavailable) {
      v.kind = Verdict::Kind::unscored;
      v.reason = run.reason;
      return v;
    }
    const bool ran = run.report.starts_with("program\n");
    const bool passed = run.end == SandboxRun::End::exited && run.report == "program\ntests\n";
    v.metrics = {{"pass", passed ? 1 : 0}, {"runs", ran ? 1 : 0}};
    if (passed) return v;
    const std::string said = clean_utf8(ran ? run.report.substr(sizeof "program\n" - 1) : run.report);
    switch (run.end) {
      case SandboxRun::End::out_of_time:
        v.reason = fmt::format("It did not end within {} s.", limits_.seconds);
        break;
      case SandboxRun::End::killed:
        v.reason = fmt::format("It was ended by signal {}.", run.status);
        break;
      default:
        v.reason = said.empty() || said == "tests\n" ? "It ended before its tests were through." : said;
    }
    return v;
  }

 private:
  SandboxLimits limits_;
};

}  // namespace

Result<std::unique_ptr<Check>> make_python(const json::object& settings) {
  Settings s(settings, "check 'python'");
  SandboxLimits limits;
  limits.seconds = s.number("seconds", limits.seconds, 0.1, 600);
  limits.memory_bytes = s.integer("memory_mb", limits.memory_bytes >> 20, 64, 65536) << 20;
  CARAT_DO(s.finish());
  return std::make_unique<Python>(limits);
}

}  // namespace carat
