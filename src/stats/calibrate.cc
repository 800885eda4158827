#include "stats/calibrate.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "base/digest.h"
#include "containers/mapped_file.h"
#include "stats/collector.h"
#include "stats/hessian_collector.h"
#include "stats/replace_file.h"
#include "stats/sequence_passes.h"

namespace carat {
namespace {

constexpr std::string_view kMagic = "carat calibration checkpoint 1\n";
constexpr uint64_t kCheckpointLimit = uint64_t{8} << 30;

/// Sums so far and how many sequences they are of.
///   magic, 64 digits of identity, u64 sequences, the collector's bytes, u64 XXH3 of all before
struct CheckpointFile {
  std::string path, identity;

  Status write(int64_t sequences, const StatisticsCollector& collector) const {
    std::string bytes = std::string(kMagic) + identity;
    bytes.append(reinterpret_cast<const char*>(&sequences), 8);
    collector.save(bytes);
    const uint64_t digest = xxh3(Bytes(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()));
    bytes.append(reinterpret_cast<const char*>(&digest), 8);
    return replace_file(path, bytes);
  }

  /// The number of sequences.
  Result<int64_t> read(StatisticsCollector& collector) const {
    CARAT_TRY(const std::string file, read_small_file(path, kCheckpointLimit));
    const Bytes bytes(reinterpret_cast<const uint8_t*>(file.data()), file.size());
    const size_t head = kMagic.size() + 64 + 8;
    uint64_t digest = 0;
    if (bytes.size() >= head + 8) std::memcpy(&digest, bytes.data() + bytes.size() - 8, 8);
    if (bytes.size() < head + 8 || !file.starts_with(kMagic) || digest != xxh3(bytes.first(bytes.size() - 8)))
      return bad_data("{}: is damaged; begin anew with --force", path);
    if (file.compare(kMagic.size(), 64, identity) != 0)
      return usage_error("{}: is of another model, text or arithmetic; begin anew with --force", path);
    int64_t sequences = 0;
    std::memcpy(&sequences, bytes.data() + head - 8, 8);
    Status restored = collector.restore(bytes.subspan(head, bytes.size() - head - 8));
    if (!restored) return std::move(restored).error().within(path);
    return sequences;
  }
};

/// Whoever wants to see the inputs.
class Taps final : public InputTap {
 public:
  Taps(StatisticsCollector& collector, HessianCollector* hessians)
      : collector_(collector), hessians_(hessians) {}

  void input(const InputPlace& place, const float* x, int64_t tokens, int64_t columns) override {
    collector_.input(place, x, tokens, columns);
    if (hessians_) hessians_->input(place, x, tokens, columns);
  }
  /// After the last token of a group went through the layer.
  Status leave(int64_t layer) {
    CARAT_DO(collector_.check(layer));
    return hessians_ ? hessians_->leave(layer + 1) : Status();
  }
  Status leave_output() {
    CARAT_DO(collector_.check(0));
    return hessians_ ? hessians_->finish() : Status();
  }

 private:
  StatisticsCollector& collector_;
  HessianCollector* hessians_;
};

/// One group's way through the model.
class Group {
 public:
  Group(const Context& context, const Checkpoint& checkpoint, const Model& model,
        std::span<const std::vector<TokenId>> sequences)
      : context_(context),
        checkpoint_(checkpoint),
        model_(model),
        config_(model.weights.config),
        passes_(config_, sequences),
        x_(static_cast<size_t>(passes_.tokens() * config_.width)) {}

  /// `done(tokens)` is told of tokens through a layer.
  template <class Done>
  Status run(Taps& taps, Done&& done) {
    for (int64_t l = 0; l < config_.layers; ++l) {
      CARAT_TRY(const LoadedLayer layer, load_layer(context_, checkpoint_, config_, l));
      CARAT_DO(passes_.each(context_, scratch_, [&](const SequencePasses::Pass& pass) -> Status {
        float* x = x_.data() + pass.first * config_.width;
        if (l == 0) embed(context_.pool, model_.weights, pass.segments, x);
        forward_layer(context_.pool, model_, layer.weights(), l, pass.segments, false, x, scratch_);
        done(pass.rows);
        return {};
      }));
      CARAT_DO(taps.leave(l));
    }
    final_norm(context_.pool, model_, x_.data(), passes_.tokens(), x_.data());
    taps.input({0, LinearInput::output}, x_.data(), passes_.tokens(), config_.width);
    return taps.leave_output();
  }

 private:
  const Context& context_;
  const Checkpoint& checkpoint_;
  const Model& model_;
  const ModelConfig& config_;
  SequencePasses passes_;
  std::vector<float> x_;  ///< [tokens, width] the residual streams
  ForwardScratch scratch_;
};

}  // namespace

Result<CalibrationOrigin> calibration_origin(const Checkpoint& checkpoint, const CalibrationText& text,
                                             ActivationScheme activations) {
  CalibrationOrigin out;
  CARAT_TRY(out.model, model_identity(checkpoint));
  out.datasets = text.names;
  out.text_digests = {text.digest};
  out.sketch = text.sketch;
  out.chunks = static_cast<uint64_t>(text.sequences.size());
  out.chunk_tokens = static_cast<uint64_t>(text.context);
  out.arithmetic = activation_scheme_name(activations);
  return out;
}

Result<Calibration> calibrate(const Context& context, const Checkpoint& checkpoint,
                              const CalibrationText& text, const CalibrateOptions& options) {
  CARAT_TRY(const KernelTable* kernels, default_kernel_table());
  CARAT_TRY(const Weights weights, load_outer_weights(context, checkpoint));
  const ModelConfig& config = weights.config;
  CARAT_DO(check_calibration_text(checkpoint.source, config, text));
  StatisticsCollector collector(context.pool, config);
  CARAT_TRY(const CalibrationOrigin origin, calibration_origin(checkpoint, text, options.activations));
  CARAT_TRY(const std::string stored, stored_digest(checkpoint));

  const CheckpointFile file{options.hessians ? std::string() : options.checkpoint_path,
                            sha256_hex(fmt::format("{} {} {} {} {} {}", origin.model, stored, text.digest,
                                                   text.context, origin.arithmetic, CARAT_VERSION))};
  Calibration out;
  int64_t done = 0;
  if (!file.path.empty() && file_exists(file.path) && !options.discard) {
    if (!options.resume)
      return usage_error("{}: an interrupted run left this; go on with --resume, or begin anew with --force",
                         file.path);
    CARAT_TRY(done, file.read(collector));
    out.resumed_sequences = done;
  }

  std::optional<HessianCollector> hessians;
  if (options.hessians) hessians.emplace(context.pool, *kernels, options.activations, *options.hessians);
  Taps taps(collector, hessians ? &*hessians : nullptr);
  const Model model{weights, *kernels, options.activations, context.profile, &taps};
  const auto count = static_cast<int64_t>(text.sequences.size());
  if (done < 0 || done > count) return bad_data("{}: is damaged; begin anew with --force", file.path);
  const int64_t bytes = text.context * config.width * static_cast<int64_t>(sizeof(float));
  const int64_t at_once =
      options.hessians ? count : std::clamp<int64_t>(kGroupBytes / bytes, 1, kGroupSequences);
  auto work = static_cast<uint64_t>(done * text.context * config.layers);
  context.progress.begin("calibrate", "tokens x layers",
                         static_cast<uint64_t>(count * text.context * config.layers));
  while (done < count) {
    const int64_t n = std::min(at_once, count - done);
    Group group(context, checkpoint, model, std::span(text.sequences).subspan(done, n));
    CARAT_DO(group.run(taps, [&](int64_t tokens) {
      work += static_cast<uint64_t>(tokens);
      context.progress.update(work, "");
    }));
    done += n;
    if (!file.path.empty() && done < count) CARAT_DO(file.write(done, collector));
  }
  context.progress.end();

  out.statistics = collector.statistics();
  static_cast<CalibrationOrigin&>(out.statistics) = origin;
  return out;
}

}  // namespace carat
