#include "stats/sequence_passes.h"

#include <algorithm>

namespace carat {
namespace {

constexpr uintptr_t kCacheAlignment = 64;

}  // namespace

Status check_calibration_text(const std::string& source, const ModelConfig& config,
                              const CalibrationText& text) {
  if (text.sequences.empty()) return usage_error("there is no text to calibrate on");
  if (text.context > config.context_length)
    return usage_error("{}: sequences of {} tokens are longer than the {} it was trained for", source,
                       text.context, config.context_length);
  for (const std::vector<TokenId>& sequence : text.sequences)
    for (const TokenId id : sequence)
      if (id < 0 || id >= config.vocabulary)
        return bad_data("{}: token {} of the text is outside its vocabulary of {}", source, id,
                        config.vocabulary);
  return {};
}

SequencePasses::SequencePasses(const ModelConfig& config, std::span<const std::vector<TokenId>> sequences)
    : config_(config),
      sequences_(sequences),
      length_(static_cast<int64_t>(sequences.front().size())),
      at_once_(std::clamp<int64_t>(max_forward_tokens / length_, 1, static_cast<int64_t>(sequences.size()))) {
  config_.use_context(length_);
  const KvFormat format{KvEncoding::f16, config.kv_heads, config.head_dim};
  const int64_t bytes = format.bytes(length_);
  cache_.resize(static_cast<size_t>(at_once_ * bytes) + kCacheAlignment);
  const uintptr_t aligned =
      (reinterpret_cast<uintptr_t>(cache_.data()) + kCacheAlignment - 1) / kCacheAlignment * kCacheAlignment;
  for (int64_t i = 0; i < at_once_; ++i)
    views_.insert(views_.end(), static_cast<size_t>(config.layers),
                  KvView{reinterpret_cast<uint8_t*>(aligned) + i * bytes, format, Place::cpu});
}

Status SequencePasses::each(const Context& context, ForwardScratch& scratch,
                            const std::function<Status(const Pass&)>& body, ForwardScratch* second) {
  const auto count = static_cast<int64_t>(sequences_.size());
  std::vector<ForwardSegment> segments;
  for (int64_t first = 0; first < count; first += at_once_) {
    const int64_t n = std::min(at_once_, count - first);
    for (int64_t at = 0; at < length_; at += max_forward_tokens) {
      CARAT_DO(context.check());
      const int64_t piece = std::min(max_forward_tokens, length_ - at);
      segments.clear();
      for (int64_t i = 0; i < n; ++i)
        segments.push_back({std::span(sequences_[first + i]).subspan(at, piece), at,
                            std::span(views_).subspan(i * config_.layers, config_.layers), piece});
      for (ForwardScratch* each : {&scratch, second})
        if (each) begin_forward(context.pool, config_, segments, *each);
      CARAT_DO(body({segments, first * length_ + at, n * piece}));
    }
  }
  return {};
}

}  // namespace carat
