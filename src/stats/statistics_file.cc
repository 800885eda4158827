#include "stats/statistics_file.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "containers/gguf.h"
#include "containers/mapped_file.h"
#include "containers/quote.h"
#include "stats/legacy_imatrix.h"

namespace carat {
namespace {

constexpr std::string_view kSquares = ".in_sum2", kSums = ".in_sum", kCounts = ".counts",
                           kMinimum = ".in_min", kMaximum = ".in_max";

struct Entry {
  const Tensor *squares = nullptr, *sums = nullptr, *counts = nullptr, *minimum = nullptr, *maximum = nullptr;
};

Result<std::vector<float>> finite_values(const Tensor& t, bool negative_allowed) {
  CARAT_TRY(std::vector<float> values, t.read_all());
  for (float v : values)
    if (!std::isfinite(v) || (!negative_allowed && v < 0))
      return bad_data("{} holds {}, which cannot be", quote(t.name), v);
  return values;
}

Result<std::vector<double>> wide_values(const Tensor& t, bool negative_allowed) {
  CARAT_TRY(const std::vector<float> values, finite_values(t, negative_allowed));
  return std::vector<double>(values.begin(), values.end());
}

Result<InputStatistics> read_entry(const std::string& name, const Entry& entry) {
  if (!entry.squares || !entry.counts)
    return bad_data("{} has {} without {}", quote(name), entry.squares ? "sums" : "counts",
                    entry.squares ? "counts" : "sums");
  InputStatistics s;
  s.columns = entry.squares->columns();
  s.matrices = entry.squares->rows();
  if (s.columns < 1 || s.matrices < 1 || entry.counts->elements() != s.matrices)
    return bad_data("{} has {} rows of sums, but {} counts", quote(name), s.matrices,
                    entry.counts->elements());
  for (const Tensor* t : {entry.sums, entry.minimum, entry.maximum})
    if (t && (t->columns() != s.columns || t->rows() != s.matrices))
      return bad_data("{} has another shape than the sums of squares", quote(t->name));
  CARAT_TRY(s.sum_squares, wide_values(*entry.squares, false));
  CARAT_TRY(s.counts, wide_values(*entry.counts, false));
  if (entry.sums) {
    CARAT_TRY(s.sum, wide_values(*entry.sums, true));
  }
  if (entry.minimum && entry.maximum) {
    CARAT_TRY(s.minimum, finite_values(*entry.minimum, true));
    CARAT_TRY(s.maximum, finite_values(*entry.maximum, true));
  }
  return s;
}

Result<CalibrationStatistics> from_checkpoint(const Checkpoint& file) {
  CARAT_TRY(const std::string type, file.metadata.string_or("general.type", ""));
  if (type != "imatrix")
    return bad_data("is a GGUF file of type {}, not statistics (imatrix)",
                    quote(type.empty() ? "model" : type));
  std::map<std::string, Entry> entries;
  for (const Tensor& t : file.tensors) {
    const auto takes = [&](std::string_view suffix, const Tensor* Entry::*member) {
      if (!t.name.ends_with(suffix)) return;
      entries[t.name.substr(0, t.name.size() - suffix.size())].*member = &t;
    };
    takes(kSquares, &Entry::squares);
    takes(kSums, &Entry::sums);
    takes(kCounts, &Entry::counts);
    takes(kMinimum, &Entry::minimum);
    takes(kMaximum, &Entry::maximum);
    if (t.encoding != &encoding_f32()) return bad_data("{} is not F32", quote(t.name));
  }
  CalibrationStatistics out;
  for (const auto& [name, entry] : entries) {
    CARAT_TRY(InputStatistics s, read_entry(name, entry));
    out.tensors.emplace(name, std::move(s));
  }
  if (out.tensors.empty()) return bad_data("holds no statistics");
  CARAT_DO(read_origin(file.metadata, out));
  return out;
}

template <class T>
Status append_plane(const std::string& name, const std::vector<T>& values, std::vector<float>& plane) {
  plane.clear();
  for (T v : values) {
    plane.push_back(static_cast<float>(v));
    if (!std::isfinite(plane.back())) return bad_data("{}: its statistics ({}) do not fit a float", name, v);
  }
  return {};
}

struct Plane {
  PlannedTensor planned;
  std::string tensor;  ///< whose it is
  std::string_view suffix;
};

/// In the order of their names.
std::vector<Plane> planes_of(const CalibrationStatistics& statistics) {
  std::vector<Plane> planes;
  for (const auto& [name, s] : statistics.tensors) {
    const auto add = [&, &entry = s, &tensor = name](std::string_view suffix, int64_t columns) {
      planes.push_back(
          {{tensor + std::string(suffix), {entry.matrices, columns}, &encoding_f32()}, tensor, suffix});
    };
    add(kSquares, s.columns);
    add(kCounts, 1);
    if (!s.sum.empty()) add(kSums, s.columns);
    if (!s.minimum.empty()) add(kMinimum, s.columns), add(kMaximum, s.columns);
  }
  std::ranges::sort(planes, {}, [](const Plane& p) -> const std::string& { return p.planned.name; });
  return planes;
}

Status plane_values(const InputStatistics& s, const Plane& plane, std::vector<float>& out) {
  const std::string& name = plane.planned.name;
  if (plane.suffix == kSquares) return append_plane(name, s.sum_squares, out);
  if (plane.suffix == kCounts) return append_plane(name, s.counts, out);
  if (plane.suffix == kSums) return append_plane(name, s.sum, out);
  std::vector<float> range = plane.suffix == kMinimum ? s.minimum : s.maximum;
  for (size_t i = 0; i < range.size(); ++i)  // an expert that saw nothing has none
    if (s.counts[i / static_cast<size_t>(s.columns)] == 0) range[i] = 0;
  return append_plane(name, range, out);
}

Status write_gguf(const std::string& path, const CalibrationStatistics& statistics) {
  Metadata m;
  m.set("general.type", Value::string("imatrix"));
  write_origin(statistics, m);

  const std::vector<Plane> planes = planes_of(statistics);
  std::vector<PlannedTensor> plan;
  for (const Plane& plane : planes) plan.push_back(plane.planned);
  GgufWriteOptions options;
  options.discard_partial = true;  // written in a moment: nothing worth resuming
  CARAT_TRY(const auto writer, create_gguf(path, m, plan, options));
  std::vector<float> values;
  for (const Plane& plane : planes) {
    Status status = plane_values(statistics.tensors.at(plane.tensor), plane, values);
    if (status.ok())
      status = writer->write(
          Bytes(reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)));
    if (status.ok()) status = writer->finish_tensor("");
    if (!status.ok()) {
      writer->discard();
      return status;
    }
  }
  return writer->finish();
}

}  // namespace

Result<CalibrationStatistics> read_statistics(const std::string& path) {
  CARAT_TRY(const auto file, MappedFile::open(path));
  const Bytes bytes = file->bytes();
  if (bytes.size() < 4 || std::memcmp(bytes.data(), "GGUF", 4) != 0) {
    auto read = read_legacy_imatrix(bytes);
    if (!read) return std::move(read).error().within(path);
    return read;
  }
  CARAT_TRY(const Checkpoint checkpoint, read_gguf(path));
  auto read = from_checkpoint(checkpoint);
  if (!read) return std::move(read).error().within(path);
  return read;
}

Status write_statistics(const std::string& path, const CalibrationStatistics& statistics,
                        StatisticsFormat format) {
  Status written = format == StatisticsFormat::gguf ? write_gguf(path, statistics)
                                                    : write_legacy_imatrix(path, statistics);
  return written;
}

}  // namespace carat
