#include "stats/legacy_imatrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "containers/quote.h"
#include "stats/replace_file.h"

namespace carat {
namespace {

constexpr uint64_t kChunk = 512;  ///< tokens of a chunk, which the file does not say
constexpr int32_t kLongestName = 4096;

class Reader {
 public:
  explicit Reader(Bytes bytes) : bytes_(bytes) {}
  size_t left() const { return bytes_.size(); }
  Result<int32_t> number(std::string_view what) {
    if (left() < 4) return bad_data("ends within {}", what);
    int32_t n;
    std::memcpy(&n, bytes_.data(), 4);
    bytes_ = bytes_.subspan(4);
    return n;
  }
  Result<Bytes> take(int64_t count, std::string_view what) {
    if (count < 0 || static_cast<uint64_t>(count) > left())
      return bad_data("{} of {} bytes, where {} are left", what, count, left());
    const Bytes taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  Result<std::string> text(std::string_view what, int32_t longest) {
    CARAT_TRY(const int32_t length, number(what));
    if (length < 0 || length > longest) return bad_data("{} of {} bytes", what, length);
    CARAT_TRY(const Bytes text, take(length, what));
    return std::string(text.begin(), text.end());
  }

 private:
  Bytes bytes_;
};

Result<InputStatistics> read_entry(Reader& read, const std::string& name) {
  CARAT_TRY(const int32_t calls, read.number("the calls of an entry"));
  CARAT_TRY(const int32_t values, read.number("the values of an entry"));
  if (calls < 1 || values < 1) return bad_data("{} has {} calls and {} values", quote(name), calls, values);
  CARAT_TRY(const Bytes bytes, read.take(int64_t{values} * 4, "values"));
  InputStatistics s;
  s.columns = values;
  s.counts = {static_cast<double>(calls) * kChunk};
  s.sum_squares.resize(values);
  for (int32_t i = 0; i < values; ++i) {
    float v;
    std::memcpy(&v, bytes.data() + size_t{4} * i, 4);
    if (!std::isfinite(v) || v < 0) return bad_data("{} holds {}, which cannot be", quote(name), v);
    s.sum_squares[i] = static_cast<double>(v) * kChunk;
  }
  return s;
}

void append_number(std::string& out, int64_t n) {
  const auto small = static_cast<int32_t>(n);
  out.append(reinterpret_cast<const char*>(&small), 4);
}
void append_text(std::string& out, std::string_view text) {
  append_number(out, static_cast<int64_t>(text.size()));
  out += text;
}

}  // namespace

Result<CalibrationStatistics> read_legacy_imatrix(Bytes bytes) {
  Reader read(bytes);
  CARAT_TRY(const int32_t entries, read.number("its first number"));
  constexpr size_t smallest = 4 + 1 + 4 + 4 + 4;  // bytes of an entry
  if (entries < 1 || static_cast<size_t>(entries) > read.left() / smallest)
    return bad_data("is neither a GGUF file nor an older importance matrix");
  CalibrationStatistics out;
  out.chunk_tokens = kChunk;
  for (int32_t i = 0; i < entries; ++i) {
    CARAT_TRY(const std::string name, read.text("a name", kLongestName));
    CARAT_TRY(InputStatistics s, read_entry(read, name));
    if (!out.tensors.emplace(name, std::move(s)).second) return bad_data("has {} twice", quote(name));
  }
  if (read.left() == 0) return out;
  CARAT_TRY(const int32_t chunks, read.number("the number of chunks"));
  out.chunks = static_cast<uint64_t>(std::max(chunks, 0));
  if (read.left() == 0) return out;
  CARAT_TRY(const std::string dataset, read.text("the dataset's name", std::numeric_limits<int32_t>::max()));
  if (!dataset.empty()) out.datasets.push_back(dataset);
  return out;
}

Status write_legacy_imatrix(const std::string& path, const CalibrationStatistics& statistics) {
  const double chunk = static_cast<double>(std::max<uint64_t>(1, statistics.chunk_tokens));
  std::string out, body;
  int64_t entries = 0;
  for (const auto& [name, s] : statistics.tensors) {
    const double seen = *std::ranges::max_element(s.counts);
    if (seen == 0) continue;
    ++entries;
    append_text(body, name);
    const double calls = std::max(1.0, std::ceil(seen / chunk));
    append_number(body, static_cast<int64_t>(calls));
    append_number(body, s.matrices * s.columns);
    for (int64_t i = 0; i < s.matrices * s.columns; ++i) {
      const double count = s.counts[i / s.columns];
      const auto value = static_cast<float>(count > 0 ? s.sum_squares[i] / count * calls : calls);
      if (!std::isfinite(value)) return bad_data("{}: its statistics do not fit a float", name);
      body.append(reinterpret_cast<const char*>(&value), 4);
    }
  }
  append_number(out, entries);
  out += body;
  append_number(out, static_cast<int64_t>(statistics.chunks));
  append_text(out, statistics.datasets.empty() ? "" : statistics.datasets.back());
  return replace_file(path, out);
}

}  // namespace carat
