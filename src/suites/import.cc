#include "suites/import.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>

#include "suites/item_reader.h"
#include "suites/suite_file.h"

namespace carat {

namespace {

/// A file that is written in order and on the disk when close() says so.
class Output {
 public:
  static Result<Output> create(const std::string& path) {
    Output out;
    out.path_ = path;
    out.file_.reset(std::fopen(path.c_str(), "wbx"));
    if (!out.file_) return error(Code::io, "{}: {}", path, std::strerror(errno));
    return out;
  }
  Status write(std::string_view text) {
    if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size()) return failed();
    return {};
  }
  Status close() {
    if (std::fflush(file_.get()) != 0 || ::fsync(::fileno(file_.get())) != 0) return failed();
    file_.reset();
    return {};
  }

 private:
  Error failed() const { return error(Code::io, "{}: {}", path_, std::strerror(errno)); }
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
};

/// The directory under way; removed unless it was given its name.
class PartialDirectory {
 public:
  static Result<std::unique_ptr<PartialDirectory>> create(const std::string& path) {
    struct stat s {};
    if (path.empty()) return usage_error("the directory to write has no name");
    if (::lstat(path.c_str(), &s) == 0) return usage_error("{} exists already; choose another name", path);
    std::string name = path + ".partial-XXXXXX";
    if (!::mkdtemp(name.data())) return error(Code::io, "{}: {}", path, std::strerror(errno));
    ::chmod(name.c_str(), 0755);
    auto out = std::unique_ptr<PartialDirectory>(new PartialDirectory);
    out->final_ = path;
    out->path_ = std::move(name);
    return out;
  }
  ~PartialDirectory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  Status finish() {
    if (::rename(path_.c_str(), final_.c_str()) != 0)
      return error(Code::io, "{}: {}", final_, std::strerror(errno));
    path_.clear();
    return {};
  }

 private:
  PartialDirectory() = default;
  std::string path_, final_;
};

std::string toml_string(std::string_view text) { return json::serialize(json::string(text)); }

bool is_file_name(std::string_view name) {
  constexpr std::string_view allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  return !name.empty() && name.size() <= 80 && name.front() != '.' &&
         name.find_first_not_of(allowed) == std::string_view::npos;
}

/// One of the passes over the files; what is not given is not done.
class Pass final : public ImportSink {
 public:
  Pass(const Context& context, std::string examples_file)
      : context_(context), examples_file_(std::move(examples_file)) {}

  std::function<Status(const std::string& place, json::object&&)> on_item;
  std::function<Status(json::object&&)> on_example;

  Status item(const std::string& place, json::object&& fields) override {
    CARAT_DO(context_.check());
    return on_item ? on_item(place, std::move(fields)) : Status();
  }
  Status example(json::object&& fields) override {
    return on_example ? on_example(std::move(fields)) : Status();
  }
  const std::string& examples_file() const override { return examples_file_; }

 private:
  const Context& context_;
  std::string examples_file_;
};

std::string suite_text(const Importer& importer, const std::string& name, const std::string& settings) {
  return fmt::format(
      "[suite]\nname = {0}\nversion = \"1\"\ndescription = {1}\nlicense = {2}\n\n"
      "[[task]]\nname = {0}\ndimension = {3}\nitems = \"{4}.jsonl\"\n{5}",
      toml_string(name), toml_string(importer.purpose), toml_string(importer.license),
      toml_string(importer.dimension), name, settings);
}

}  // namespace

const Importer* find_importer(std::string_view name) {
  for (const Importer& i : importers())
    if (i.name == name) return &i;
  return nullptr;
}

Result<ImportReport> import_suite(const Context& context, const Importer& importer,
                                  const ImportRequest& request, const std::string& directory) {
  const std::string name = request.name.empty() ? std::string(importer.name) : request.name;
  if (!is_file_name(name))
    return usage_error("the name {} must be letters, digits, '_', '-' and '.', at most 80", name);
  CARAT_TRY(auto partial, PartialDirectory::create(directory));
  const std::string examples = name + "_examples.jsonl";

  // Settings and examples first: items are checked against them.
  std::optional<Output> shown;
  Pass first(context, examples);
  first.on_example = [&](json::object&& fields) -> Status {
    if (!shown) {
      CARAT_TRY(shown, Output::create(*partial / examples));
    }
    return shown->write(json::serialize(fields) + "\n");
  };
  CARAT_TRY(const std::string settings, importer.read(request, first));
  if (shown) CARAT_DO(shown->close());
  const std::string text = suite_text(importer, name, settings);
  CARAT_TRY(const SuiteFile file, parse_suite_file(text, *partial / "suite.toml"));
  CARAT_TRY(const ItemReader reader, ItemReader::open(file.directory, file.tasks[0]));

  ImportReport report;
  Pass second(context, examples);
  second.on_item = [&](const std::string& place, json::object&& fields) -> Status {
    auto item = reader.read(json::serialize(fields), ++report.available);
    if (!item.ok()) return std::move(item).error().within(place);
    return {};
  };
  CARAT_DO(importer.read(request, second));
  if (report.available == 0) return bad_data("{}: no items", fmt::join(request.files, ", "));
  const int64_t wanted = request.limit > 0 ? std::min(request.limit, report.available) : report.available;

  CARAT_TRY(Output items, Output::create(*partial / (name + ".jsonl")));
  Pass third(context, examples);
  int64_t seen = 0;
  third.on_item = [&](const std::string&, json::object&& fields) -> Status {
    const auto until = [&](int64_t n) {
      return static_cast<int64_t>(__int128{n} * wanted / report.available);
    };
    const int64_t i = seen++;
    if (until(i + 1) == until(i)) return {};
    ++report.items;
    return items.write(json::serialize(fields) + "\n");
  };
  CARAT_DO(importer.read(request, third));
  CARAT_DO(items.close());
  CARAT_TRY(Output toml, Output::create(*partial / "suite.toml"));
  CARAT_DO(toml.write(text));
  CARAT_DO(toml.close());
  CARAT_TRY(const auto suite, open_suite(context, *partial / "suite.toml"));
  report.digest = suite->digest();
  CARAT_DO(partial->finish());
  return report;
}

}  // namespace carat
