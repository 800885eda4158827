#include "quantize/verify.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/digest.h"
#include "model/weights.h"
#include "quantize/provenance.h"
#include "text/tokenizer.h"

namespace carat {
namespace {

constexpr int64_t kSlabWeights = 4 << 20;
constexpr int64_t kDecodeGrain = 1 << 15;

/// The recorded digests, one per tensor; null where the file has none.
Result<const Array*> recorded(const Metadata& metadata, std::string_view key, ValueType element,
                              size_t count) {
  const Value* value = metadata.find(key);
  if (!value) return static_cast<const Array*>(nullptr);
  const Array* array = std::get_if<Array>(&value->data);
  if (!array || array->element != element)
    return bad_data("{} is not an array of {}", key, value_type_name(element));
  if (array->size() != count)
    return bad_data("{} holds {} numbers for {} tensors; tensors were added or taken away", key,
                    array->size(), count);
  return array;
}

/// What one tensor's bytes turned out to be.
struct Found {
  uint64_t xxh3 = 0;
  uint64_t not_finite = 0;
};

class Scanner {
 public:
  explicit Scanner(const Context& context)
      : context_(context), scratch_(static_cast<size_t>(context.pool.threads())) {}

  Result<Found> scan(const Tensor& t) {
    Found found;
    Xxh3 digest;
    const int64_t slab = std::max<int64_t>(1, kSlabWeights / t.columns());
    for (int64_t first = 0; first < t.rows(); first += slab) {
      CARAT_DO(context_.check());
      const int64_t rows = std::min(slab, t.rows() - first);
      const uint64_t bytes = static_cast<uint64_t>(rows) * t.row_bytes();
      Bytes source = t.data->mapped();
      if (!source.empty()) {
        source = source.subspan(static_cast<uint64_t>(first) * t.row_bytes(), bytes);
      } else {
        buffer_.resize(bytes);
        CARAT_DO(t.data->read_bytes(first, rows, buffer_.data()));
        source = buffer_;
      }
      digest.update(source);
      if (t.encoding->can_decode()) found.not_finite += count_not_finite(t, source, rows);
      t.data->release(first, rows);
    }
    found.xxh3 = digest.value();
    return found;
  }

 private:
  uint64_t count_not_finite(const Tensor& t, Bytes source, int64_t rows) {
    const int64_t grain = std::max<int64_t>(1, kDecodeGrain / t.columns());
    std::atomic<uint64_t> count{0};
    context_.pool.parallel_for(rows, grain, [&](int64_t begin, int64_t end, int thread) {
      std::vector<float>& values = scratch_[static_cast<size_t>(thread)];
      values.resize(static_cast<size_t>(t.columns()));
      uint64_t n = 0;
      for (int64_t r = begin; r < end; ++r) {
        t.encoding->decode(source.data() + static_cast<uint64_t>(r) * t.row_bytes(), values.data(),
                           t.columns());
        n += static_cast<uint64_t>(
            std::count_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); }));
      }
      if (n > 0) count += n;
    });
    return count;
  }

  const Context& context_;
  std::vector<std::vector<float>> scratch_;
  std::vector<uint8_t> buffer_;
};

/// Whether the file says where it comes from; what is there in part or of the wrong type is a problem.
bool check_provenance(const Checkpoint& checkpoint, std::vector<std::string>& problems) {
  const Metadata& m = checkpoint.metadata;
  if (!m.has("carat.version") && !m.has(kDigestKey)) return false;
  for (const std::string_view key : {std::string_view("carat.version"), std::string_view("carat.recipe"),
                                     std::string_view("carat.method"), kDigestKey}) {
    const auto text = m.string_at(key);
    if (!text.ok())
      problems.push_back(fmt::format("provenance: {}", text.error().message));
    else if (key == kDigestKey && ((*text)->size() != 64 || **text == std::string(64, '0')))
      problems.push_back(fmt::format("provenance: {} is no SHA-256", kDigestKey));
  }
  return true;
}

/// Empty where it can be run.
std::string why_it_cannot_run(const Checkpoint& checkpoint) {
  const auto config = read_runnable_config(checkpoint);
  if (!config) return config.error().message;
  if (!checkpoint.metadata.has("tokenizer.ggml.model"))
    return "there is no tokenizer, so that it can take no text";
  const auto tokenizer = Tokenizer::from_metadata(checkpoint.metadata);
  return tokenizer ? "" : tokenizer.error().message;
}

}  // namespace

Result<VerifyReport> verify(const Context& context, const Checkpoint& checkpoint) {
  VerifyReport report;
  report.container = checkpoint.container;
  report.file_bytes = checkpoint.file_bytes;
  report.tensors = checkpoint.tensors.size();
  report.cannot_run = why_it_cannot_run(checkpoint);
  report.has_provenance = check_provenance(checkpoint, report.problems);
  const Array* digests = nullptr;
  if (auto found = recorded(checkpoint.metadata, kTensorDigestKey, ValueType::u64, report.tensors);
      found.ok())
    digests = *found;
  else
    report.problems.push_back(found.error().message);
  if (auto found = recorded(checkpoint.metadata, kRelativeErrorKey, ValueType::f32, report.tensors);
      !found.ok())
    report.problems.push_back(found.error().message);

  uint64_t total = 0, done = 0;
  for (const Tensor& t : checkpoint.tensors) total += static_cast<uint64_t>(t.elements());
  context.progress.begin("verify", "weights", total);
  Scanner scanner(context);
  for (size_t i = 0; i < checkpoint.tensors.size(); ++i) {
    const Tensor& t = checkpoint.tensors[i];
    CARAT_TRY(const Found found, scanner.scan(t));
    if (digests) {
      ++report.digests_checked;
      if (digests->unsigneds[i] != found.xxh3)
        report.problems.push_back(
            fmt::format("{}: the bytes are not those that were written (XXH3 {:016x}, recorded {:016x})",
                        t.name, found.xxh3, digests->unsigneds[i]));
    }
    if (t.encoding->can_decode()) ++report.values_checked;
    if (found.not_finite > 0)
      report.problems.push_back(
          fmt::format("{}: {} values are not finite (NaN or infinity)", t.name, found.not_finite));
    done += static_cast<uint64_t>(t.elements());
    context.progress.update(done, t.name);
  }
  context.progress.end();
  return report;
}

}  // namespace carat
