#include "quantize/stream.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>

#include "base/checked.h"
#include "base/digest.h"
#include "kernels/kernel_table.h"
#include "kernels/search_table.h"
#include "quantize/reach.h"
#include "quantize/searched_loss.h"
#include "rounders/shared_scales.h"

namespace carat {
namespace {

// Errors are summed over units of this many weights and the units in order, so that the sums (and the file
// that records them) do not depend on the slab's size, which is a whole number of units.
constexpr int64_t kUnitWeights = 1 << 20;
constexpr size_t kSlabs = 4;               // one in each stage, and one that evens out their pace
constexpr int64_t kDecodeGrain = 1 << 15;  // weights that are worth handing to another thread
/// Where scales reach the 2^36 up to which codes are chosen, levels are so close that no weight loses more.
constexpr double kLargestError = 0x1p34;

/// Some rows of one tensor on their way through.
struct Slab {
  size_t tensor = 0;
  int64_t first = 0, rows = 0;
  bool last = false;  ///< of its tensor
  Bytes source;       ///< in mapped memory, or in `buffer`
  std::vector<uint8_t> buffer;
  std::vector<uint8_t> rounded;
  Bytes out;            ///< `rounded`, or the source itself where it is copied
  TensorRecord record;  ///< of the tensor, with its last slab
};

/// Slabs on their way from one stage to the next, in order.
class Belt {
 public:
  void put(Slab* slab) {
    const std::lock_guard lock(mutex_);
    slabs_.push_back(slab);
    changed_.notify_one();
  }
  /// No more will be put; those on it may still be taken.
  void end() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  /// Takes everything off it for good.
  void abandon() {
    const std::lock_guard lock(mutex_);
    slabs_.clear();
    abandoned_ = ended_ = true;
    changed_.notify_all();
  }
  /// Waits for the next one; null where none will come.
  Slab* take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !slabs_.empty() || ended_; });
    if (slabs_.empty() || abandoned_) return nullptr;
    Slab* const slab = slabs_.front();
    slabs_.pop_front();
    return slab;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Slab*> slabs_;
  bool ended_ = false, abandoned_ = false;
};

class Stream {
 public:
  Stream(const Context& context, const KernelTable& kernels, const Checkpoint& checkpoint, const Work& work,
         uint64_t slab_weights, Guide* guide, CheckpointWriter& writer, std::vector<TensorRecord>& records)
      : context_(context),
        kernels_(kernels),
        checkpoint_(checkpoint),
        work_(work),
        slab_weights_(static_cast<int64_t>(std::min<uint64_t>(slab_weights, 1u << 30))),
        guide_(guide),
        writer_(writer),
        records_(records) {}

  Status run(std::string_view stage);

 private:
  /// The next slab's place; false at the end of the last tensor.
  bool place_next(Slab& slab);
  Status read(Slab& slab);
  /// Whether what an interrupted run finished came from this source. Its fingerprint samples the tensors;
  /// only their digests, which the output will claim, tell two sources apart that differ between the samples.
  Status check_taken_over();
  Status compute(Slab& slab);
  Status write(Slab& slab);
  Status round(Slab& slab, const Rounder& rounder);
  uint64_t count_not_finite(const Slab& slab);
  Status check(const Slab& slab) const;
  /// Whether the encoding's parameters reach as far as the weights.
  Status check_reach(const Slab& slab) const;

  int64_t unit_rows(const Tensor& t) const { return std::max<int64_t>(1, kUnitWeights / t.columns()); }

  const Context& context_;
  const KernelTable& kernels_;
  const Checkpoint& checkpoint_;
  const Work& work_;
  const int64_t slab_weights_;
  Guide* const guide_;  // or null
  CheckpointWriter& writer_;
  std::vector<TensorRecord>& records_;

  size_t next_tensor_ = 0;
  int64_t next_row_ = 0;
  Sha256 read_digest_;  // of the tensor being read, computed, written
  RoundingError error_;
  SearchedLoss searched_;
  ColumnGuide columns_;
  SharedScales shared_;  ///< of the matrix being rounded
  Xxh3 written_digest_;
  uint64_t weights_done_ = 0;
};

bool Stream::place_next(Slab& slab) {
  if (next_tensor_ == checkpoint_.tensors.size()) return false;
  const Tensor& t = checkpoint_.tensors[next_tensor_];
  const int64_t unit = unit_rows(t);
  const int64_t rows = unit * std::max<int64_t>(1, slab_weights_ / (unit * t.columns()));
  slab.tensor = next_tensor_;
  slab.first = next_row_;
  slab.rows = std::min(rows, t.rows() - next_row_);
  slab.record = {};
  next_row_ += slab.rows;
  slab.last = next_row_ == t.rows();
  if (slab.last) ++next_tensor_, next_row_ = 0;
  return true;
}

Status Stream::read(Slab& slab) {
  const Tensor& t = checkpoint_.tensors[slab.tensor];
  const uint64_t bytes = static_cast<uint64_t>(slab.rows) * t.row_bytes();
  t.data->prepare(slab.first, slab.rows);
  const Bytes mapped = t.data->mapped();
  if (!mapped.empty()) {
    slab.source = mapped.subspan(static_cast<uint64_t>(slab.first) * t.row_bytes(), bytes);
  } else {
    slab.buffer.resize(bytes);
    CARAT_DO(t.data->read_bytes(slab.first, slab.rows, slab.buffer.data()));
    slab.source = slab.buffer;
  }
  read_digest_.update(slab.source);
  if (slab.last) {
    slab.record.source_sha256 = read_digest_.hex();
    read_digest_ = Sha256();
  }
  return {};
}

Status Stream::round(Slab& slab, const Rounder& rounder) {
  const Tensor& t = checkpoint_.tensors[slab.tensor];
  const Encoding& to = *work_.plan.tensors[slab.tensor].to;
  const int64_t columns = t.columns();
  const int64_t unit = unit_rows(t);
  slab.rounded.resize(static_cast<uint64_t>(slab.rows) * to.row_bytes(columns));
  const int64_t matrix_rows = std::max<int64_t>(1, t.shape.size() == 3 ? t.shape[1] : t.rows());
  const int64_t band = to.shared_rows > 1 ? to.shared_rows : matrix_rows;
  int64_t count = 0;
  for (int64_t r = 0; r < slab.rows; r += count) {
    const int64_t row = slab.first + r, matrix = row / matrix_rows;  // each expert has its own importance
    const int64_t in_matrix = row - matrix * matrix_rows;
    if (guide_ && rounder.needs_feedback() && in_matrix == 0) {
      CARAT_TRY(columns_, guide_->matrix(context_, slab.tensor, matrix));
    }
    // Moving weights goes through all of a factor for any number of rows.
    count = std::min(
        {columns_.drift ? slab.rows : unit, slab.rows - r, matrix_rows - in_matrix, band - in_matrix % band});
    ColumnGuide guide = columns_;
    // A Hessian's diagonal is what its losses are shares of, whatever statistics say.
    if (!guide.feedback && !work_.importance.empty() && !work_.importance[slab.tensor].empty())
      guide.importance = work_.importance[slab.tensor][matrix];
    if (to.shared_rows != 1) {
      if (in_matrix == 0) {
        const ReadRows read = [&](int64_t first, int64_t rows, float* out) {
          return t.read_rows(matrix * matrix_rows + first, rows, out);
        };
        CARAT_TRY(shared_, share_scales(context_, kernels_, to, matrix_rows, columns, read,
                                        rounder.takes_extremes(), guide.importance));
      }
      shared_.guide(in_matrix, guide);
    }
    const SourceRows source{t.encoding, slab.source.data() + static_cast<uint64_t>(r) * t.row_bytes(), count,
                            columns};
    CARAT_TRY(const RoundingError error,
              rounder.round(context_, kernels_, to, source, guide,
                            slab.rounded.data() + static_cast<uint64_t>(r) * to.row_bytes(columns)));
    error_.add(error);
    if (guide.feedback && in_matrix == 0) {
      const int64_t matrices = std::max<int64_t>(1, t.rows() / matrix_rows);
      SourceRows some = source;  // whatever the slab's size
      some.rows = std::min(some.rows, unit);
      CARAT_DO(searched_.sample(context_, kernels_, to, some, guide, ceil_div(kSearchedRows, matrices)));
    }
  }
  slab.out = slab.rounded;
  return {};
}

uint64_t Stream::count_not_finite(const Slab& slab) {
  const Tensor& t = checkpoint_.tensors[slab.tensor];
  const SearchTable& table = search_table(kernels_.isa);
  const int64_t columns = t.columns();
  std::atomic<uint64_t> count{0};
  context_.pool.parallel_for(
      slab.rows, std::max<int64_t>(1, kDecodeGrain / columns), [&](int64_t begin, int64_t end, int) {
        std::vector<float> row(static_cast<size_t>(columns));
        RoundingError error;
        for (int64_t r = begin; r < end; ++r) {
          decode_rows(table, *t.encoding, slab.source.data() + static_cast<uint64_t>(r) * t.row_bytes(), 1,
                      columns, row.data());
          table.measure(row.data(), row.data(), columns, nullptr, error);
        }
        if (error.not_finite > 0) count += error.not_finite;
      });
  return count;
}

Status Stream::check(const Slab& slab) const {
  const std::string& name = checkpoint_.tensors[slab.tensor].name;
  const auto plural = [](uint64_t n, std::string_view one, std::string_view many) {
    return n == 1 ? one : many;
  };
  if (const uint64_t n = error_.not_finite)
    return bad_data("{}: {} holds {} {} (NaN or infinity); the checkpoint is damaged", checkpoint_.source,
                    name, n, plural(n, "value that is not finite", "values that are not finite"));
  if (const uint64_t n = error_.overflows)
    return bad_data("{}: {} holds {} {} too large for {}; BF16 and F32 hold {}", checkpoint_.source, name, n,
                    plural(n, "value", "values"), work_.plan.tensors[slab.tensor].to->name,
                    plural(n, "it", "them"));
  return error_.max_error > kLeastReach ? check_reach(slab) : Status();
}

Status Stream::check_reach(const Slab& slab) const {
  const Tensor& t = checkpoint_.tensors[slab.tensor];
  const Encoding& to = *work_.plan.tensors[slab.tensor].to;
  if (to.is_float) return {};
  CARAT_TRY(const double reach, reach_of(context_, kernels_, to, t.columns()));
  if (error_.max_error <= std::min(reach, kLargestError)) return {};
  float largest = 0;
  std::vector<float> row(static_cast<size_t>(t.columns()));
  for (int64_t r = 0; r < slab.rows; ++r) {
    t.encoding->decode(slab.source.data() + static_cast<uint64_t>(r) * t.row_bytes(), row.data(),
                       t.columns());
    for (const float x : row)
      if (std::abs(x) > std::abs(largest)) largest = x;
  }
  return bad_data("{}: {} holds {:.4g}, too large for {}, whose scales reach {:.4g}; BF16 and F32 hold it{}",
                  checkpoint_.source, t.name, largest, to.name, reach,
                  std::abs(largest) <= 0x1p36f ? ", and so do MXFP4, NF4 and FP8_CHANNEL" : "");
}

Status Stream::compute(Slab& slab) {
  const Rounder* rounder = work_.rounders[slab.tensor];
  if (guide_ && slab.first == 0) {
    columns_ = {};
    CARAT_DO(guide_->begin(context_, slab.tensor));
  }
  if (rounder) {
    CARAT_DO(round(slab, *rounder));
  } else {
    if (checkpoint_.tensors[slab.tensor].encoding->can_decode()) error_.not_finite += count_not_finite(slab);
    slab.out = slab.source;
  }
  CARAT_DO(check(slab));
  if (guide_) CARAT_DO(guide_->rounded(context_, slab.tensor, slab.first, slab.rows, slab.out));
  if (slab.last) {
    if (guide_) {
      CARAT_TRY(slab.record.guide, guide_->finished(context_, slab.tensor));
      if (error_.feedback_error > 0) {
        slab.record.guide.relative_loss = error_.feedback_error / error_.weighted_weight;
        slab.record.guide.searched_loss = searched_.relative();
      }
    }
    slab.record.relative_error = error_.relative();
    slab.record.underflows = error_.underflows;
    error_ = {};
    searched_ = {};
  }
  return {};
}

Status Stream::write(Slab& slab) {
  written_digest_.update(slab.out);
  CARAT_DO(writer_.write(slab.out));
  const Tensor& t = checkpoint_.tensors[slab.tensor];
  t.data->release(slab.first, slab.rows);
  if (!slab.last) return {};
  slab.record.xxh3 = written_digest_.value();
  written_digest_ = Xxh3();
  CARAT_DO(writer_.finish_tensor(format_record(slab.record)));
  records_.push_back(std::move(slab.record));
  return {};
}

Status Stream::check_taken_over() {
  Slab slab;
  while (next_tensor_ < writer_.completed()) {
    CARAT_DO(context_.check());
    place_next(slab);
    CARAT_DO(read(slab));
    const Tensor& t = checkpoint_.tensors[slab.tensor];
    t.data->release(slab.first, slab.rows);
    if (slab.last && slab.record.source_sha256 != records_[slab.tensor].source_sha256)
      return usage_error(
          "{}: {} has changed since the interrupted run read it; throw that run's work away (--force)",
          checkpoint_.source, t.name);
    if (slab.last && guide_) {
      CARAT_TRY(const std::vector<uint8_t> stored, writer_.read_back(slab.tensor));
      CARAT_DO(guide_->take_over(context_, slab.tensor, stored));
    }
    weights_done_ += static_cast<uint64_t>(slab.rows * t.columns());
    context_.progress.update(weights_done_, t.name);
  }
  return {};
}

Status Stream::run(std::string_view stage) {
  uint64_t total = 0;
  for (const Tensor& t : checkpoint_.tensors) total += static_cast<uint64_t>(t.elements());
  context_.progress.begin(stage, "weights", total);
  CARAT_DO(check_taken_over());

  Slab slabs[kSlabs];
  Belt free, to_compute, to_write;
  for (Slab& slab : slabs) free.put(&slab);
  // Whoever leaves early, by an error or an exception, leaves nobody waiting.
  struct AbandonAll {
    Belt &free, &to_compute, &to_write;
    bool armed = true;
    ~AbandonAll() {
      if (armed) free.abandon(), to_compute.abandon(), to_write.abandon();
    }
  };
  const auto pass = [&](Belt& from, Belt& to, auto&& work) -> Status {
    AbandonAll on_failure{free, to_compute, to_write};
    while (Slab* slab = from.take()) {
      CARAT_TRY(const bool more, work(*slab));
      if (!more) break;
      to.put(slab);
    }
    to.end();
    on_failure.armed = false;
    return {};
  };
  // Hashing what is read and copying what is written take about as long: each has a thread of its own.
  auto reading = std::async(std::launch::async, [&] {
    return pass(free, to_compute, [&](Slab& slab) -> Result<bool> {
      if (!place_next(slab)) return false;
      CARAT_DO(read(slab));
      return true;
    });
  });
  auto writing = std::async(std::launch::async, [&] {
    return pass(to_write, free, [&](Slab& slab) -> Result<bool> {
      CARAT_DO(write(slab));
      return true;
    });
  });
  const Status computed = pass(to_compute, to_write, [&](Slab& slab) -> Result<bool> {
    CARAT_DO(compute(slab));
    CARAT_DO(context_.check());  // afterwards: a rounder that is told to stop leaves the rest undone
    const Tensor& t = checkpoint_.tensors[slab.tensor];
    weights_done_ += static_cast<uint64_t>(slab.rows * t.columns());
    context_.progress.update(weights_done_, t.name);
    return true;
  });
  const Status was_read = reading.get();
  const Status written = writing.get();
  CARAT_DO(computed);
  CARAT_DO(written);
  CARAT_DO(was_read);
  context_.progress.end();
  return {};
}

/// Takes everything and keeps nothing.
class NoWriter final : public CheckpointWriter {
 public:
  uint64_t total_bytes() const override { return 0; }
  size_t completed() const override { return 0; }
  Status write(Bytes) override { return {}; }
  Status finish_tensor(std::string_view) override { return {}; }
  const std::vector<std::string>& records() const override { return records_; }
  Result<std::vector<uint8_t>> read_back(size_t) const override { return std::vector<uint8_t>(); }
  Status finish(const Metadata*) override { return {}; }
  void discard() override {}

 private:
  std::vector<std::string> records_;
};

}  // namespace

Status stream_tensors(const Context& context, std::string_view stage, const Checkpoint& checkpoint,
                      const Work& work, uint64_t slab_weights, Guide* guide, CheckpointWriter& writer,
                      std::vector<TensorRecord>& records) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  for (const std::string& text : writer.records()) {
    CARAT_TRY(TensorRecord record, parse_record(text));
    records.push_back(std::move(record));
  }
  return Stream(context, *kernels, checkpoint, work, slab_weights, guide, writer, records).run(stage);
}

Status measure_tensors(const Context& context, std::string_view stage, const Checkpoint& checkpoint,
                       const Work& work, std::vector<TensorRecord>& records) {
  NoWriter nowhere;
  return stream_tensors(context, stage, checkpoint, work, QuantizeOptions().slab_weights, nullptr, nowhere,
                        records);
}

}  // namespace carat
