// The named mixes as data; assign.cc interprets these tables and knows no recipe by name.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace carat {

struct Mix {
  std::string_view name;
  uint32_t file_type;     ///< general.file_type
  std::string_view base;  ///< encoding of tensors that no rule speaks of
};
std::span<const Mix> all_mixes();

struct MixAlias {
  std::string_view name, mix;
};
std::span<const MixAlias> mix_aliases();

/// What part a tensor plays, as far as mixes tell parts apart.
enum class Part { output, embedding, attn_v, attn_k, attn_q, attn_output, ffn_up, ffn_gate, ffn_down, other };
std::string_view part_name(Part part);
/// The first row whose text occurs in the name decides.
struct PartPattern {
  std::string_view text;
  Part part;
};
std::span<const PartPattern> part_patterns();

/// Conditions of a rule; all bits given must hold. i counts the tensors of a part from the first layer on, n
/// is how many layers have one; divisions are integer divisions.
enum Condition : uint32_t {
  always = 0,
  first_2 = 1u << 0,           ///< i < 2
  first_4 = 1u << 1,           ///< i < 4
  first_sixteenth = 1u << 2,   ///< i < n/16
  first_eighth = 1u << 3,      ///< i < n/8
  sensitive_layers = 1u << 4,  ///< the first and the last n/8, and every third between them
  grouped_queries = 1u << 5,   ///< at least 4 query heads share a key/value head
  eight_experts = 1u << 6,     ///< exactly 8 experts
  class_70b = 1u << 7,         ///< 80 layers with grouped queries, llama or qwen2
  falcon = 1u << 8,            ///< architecture "falcon"
  calibrated = 1u << 9,        ///< importance data is at hand
  uncalibrated = 1u << 10,
  stacked = 1u << 11,        ///< the matrices of several experts in one tensor
  four_experts = 1u << 12,   ///< at least 4 experts
  middle_layers = 1u << 13,  ///< n/8 <= i < 7n/8
  ragged = 1u << 14,         ///< the base's blocks do not divide a row
};

/// "In mixes `mixes` (space-separated; * = all), tensors of `part` get `encoding` where `when` holds." The
/// first rule that applies decides; an empty encoding means the base.
struct MixRule {
  Part part;
  std::string_view mixes;
  uint32_t when;
  std::string_view encoding;
};
std::span<const MixRule> mix_rules();

/// What llama.cpp refuses to round to without importance data: `encoding`, in files of `mixes`.
struct ImportanceNeed {
  std::string_view encoding, mixes;
};
std::span<const ImportanceNeed> importance_needs();

/// What is known of a mix below 4 bits: mean KL divergence and perplexity that llama.cpp publishes.
struct KnownLoss {
  std::string_view mix;
  double perplexity, kl;
};
std::span<const KnownLoss> known_losses();

/// Tensors that are never quantized: those with fewer than two dimensions, those whose name does not end in
/// "weight", and those whose name contains one of these texts.
struct KeptTensor {
  std::string_view text;
  std::string_view reason;
  bool widen;  ///< 16-bit floats become F32, which inference programs expect here; else carried as stored
};
std::span<const KeptTensor> kept_tensors();

/// What llama.cpp takes where an encoding's block does not divide a row.
struct Fallback {
  std::string_view wanted, instead;
};
std::span<const Fallback> fallbacks();

}  // namespace carat
