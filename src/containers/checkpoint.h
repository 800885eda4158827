// A checkpoint: named tensors and metadata, wherever they live. Readers of containers produce one, arch/ maps
// a Hugging Face one to GGUF's vocabulary, transforms wrap one, writers take one. Nothing is read until
// asked.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/context.h"
#include "containers/metadata.h"
#include "encodings/encoding.h"

namespace carat {

/// Where a tensor's rows come from. Thread-safe: const calls may run at once.
/// Rows are the tensor's trailing dimension: a tensor of shape [a, b, c] has a*b rows of c columns.
class TensorData {
 public:
  virtual ~TensorData() = default;
  /// Rows [first, first + count) as stored, appended nowhere: out has room for count * row_bytes.
  virtual Status read_bytes(int64_t first, int64_t count, uint8_t* out) const = 0;
  /// The whole tensor, if it lies in mapped memory exactly as Tensor describes it (stays valid as long as
  /// this object); empty otherwise.
  virtual Bytes mapped() const { return {}; }
  /// Tells the system that rows [first, first + count) come next, so that reading them does not wait row by
  /// row. May take as long as reading them.
  virtual void prepare(int64_t first, int64_t count) const { (void)first, (void)count; }
  /// Tells the system that rows [first, first + count) are not needed any more (bounded memory).
  virtual void release(int64_t first, int64_t count) const { (void)first, (void)count; }
};

struct Tensor {
  std::string name;
  std::vector<int64_t> shape;  ///< outermost first; shape.back() = columns. GGUF's ne[] is this reversed
  const Encoding* encoding = nullptr;
  std::shared_ptr<const TensorData> data;

  int64_t columns() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const {
    int64_t n = 1;
    for (size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }
  int64_t elements() const { return rows() * columns(); }
  uint64_t row_bytes() const { return encoding->row_bytes(columns()); }
  uint64_t bytes() const { return static_cast<uint64_t>(rows()) * row_bytes(); }

  /// Rows decoded to float; an error (naming the tensor) where the encoding cannot be decoded.
  Status read_rows(int64_t first, int64_t count, float* out) const;
  /// The whole tensor as floats; for small tensors.
  Result<std::vector<float>> read_all() const;
};

/// Tensors in file order with unique names.
struct Checkpoint {
  std::string source;     ///< path as given by the user, for messages
  std::string container;  ///< "gguf", "safetensors", "huggingface"
  Metadata metadata;
  std::vector<Tensor> tensors;
  uint64_t file_bytes = 0;  ///< size of the files it was read from
  /// Files the tensors came from (for same-file refusal and digests).
  std::vector<std::string> files;
  /// Small files of a Hugging Face directory that have no place in GGUF metadata, carried by name.
  std::vector<std::pair<std::string, std::string>> sidecars;

  const Tensor* find(std::string_view name) const;
  Result<const Tensor*> at(std::string_view name) const;  ///< bad_data if missing
  /// Rebuilds the name index after `tensors` changed; bad_data on a duplicate name.
  Status reindex();

 private:
  std::unordered_map<std::string, size_t> index_;
};

/// One tensor of a file to be written, known before the first byte is: plan first, then write.
struct PlannedTensor {
  std::string name;
  std::vector<int64_t> shape;
  const Encoding* encoding = nullptr;
};

/// Writes a file whose every size is known. Work goes to PATH.partial beside a synced journal PATH.journal;
/// finish() syncs and renames. Dropping the writer without finish() leaves both for a resume.
class CheckpointWriter {
 public:
  virtual ~CheckpointWriter() = default;
  /// Bytes the finished output will have.
  virtual uint64_t total_bytes() const = 0;
  /// Tensors [0, completed()) are already in the partial file (resume); work starts at this index.
  virtual size_t completed() const = 0;
  /// Appends rows of the current tensor, in the order of the plan; tensors follow one another by themselves.
  /// `record` on finish_tensor goes to the journal and comes back from a resume through records().
  virtual Status write(Bytes rows) = 0;
  virtual Status finish_tensor(std::string_view record) = 0;
  /// The journal's records of the completed tensors.
  virtual const std::vector<std::string>& records() const = 0;
  /// The bytes of a completed tensor.
  virtual Result<std::vector<uint8_t>> read_back(size_t tensor) const = 0;
  /// Syncs, renames, removes the journal. Where per-tensor figures are only known at the end, `final`
  /// replaces the metadata given at creation; it must serialise to the same number of bytes (fixed-size
  /// arrays and strings of fixed length), else Code::internal.
  virtual Status finish(const Metadata* final = nullptr) = 0;
  /// Removes what was written, for a source that can never be finished. No other call may follow.
  virtual void discard() = 0;
};

}  // namespace carat
