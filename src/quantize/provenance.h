// The evidence that travels with a file: what it was made of, how, and what each tensor lost.
//
// Metadata keys, all depending only on input, options and version:
//   carat.version, carat.rounder_revision        the program that wrote the file
//   carat.recipe, carat.recipe.rules             the mix's name; the user's rules as REGEX=ENCODING
//   carat.method                                 the rounder of the quantized tensors
//   carat.calibration.texts, .digest, .tokens    what data-driven methods saw; absent without any
//   carat.calibration.activations                and how the model computed with it
//   carat.calibration.{shrink, damp, propagate}  how it went, with error feedback (walk_feedback.h)
//   carat.calibration.shrink_of                  "0.4 down 0.2": where it differs by what matrices read
//   carat.importance.*                           of the statistics used (importance.h)
//   carat.source.container, carat.source.files   names without directories
//   carat.source.digest                          SHA-256 over the source's tensors (SourceDigest)
//   carat.tensor.relative_error  f32[tensors]    sum (w - q)^2 / sum w^2, in file order
//   carat.tensor.xxh3            u64[tensors]    XXH3 of the bytes of each tensor in this file
//   carat.fallbacks                              one sentence each; absent if there are none
//   carat.transform.*, carat.import.*            carried from the source
//   carat.sidecar.NAME                           small JSON files of a Hugging Face directory, carried
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "containers/checkpoint.h"
#include "quantize/work.h"

namespace carat {

inline constexpr std::string_view kDigestKey = "carat.source.digest";
inline constexpr std::string_view kRelativeErrorKey = "carat.tensor.relative_error";
inline constexpr std::string_view kTensorDigestKey = "carat.tensor.xxh3";
inline constexpr std::string_view kSidecarPrefix = "carat.sidecar.";

/// Whether a name from a file may become a file's name: JSON, and no path.
bool is_sidecar_name(std::string_view name);
/// Small files of a Hugging Face directory that have no place in GGUF.
std::vector<std::string> sidecars_left_out(const Checkpoint& checkpoint);

/// What is known of a tensor once it is written; travels through the journal as text.
struct TensorRecord {
  std::string source_sha256;
  uint64_t xxh3 = 0;
  double relative_error = 0;
  uint64_t underflows = 0;
  GuideNote guide = {};
};
std::string format_record(const TensorRecord& record);
Result<TensorRecord> parse_record(std::string_view text);

/// SHA-256 over lines "NAME\0SHAPE\0ENCODING\0SHA-256 of the bytes\n", sorted by name, so that it says what
/// the weights were and not in which order or files they lay.
std::string source_digest(const Checkpoint& checkpoint, const std::vector<TensorRecord>& records);

/// The source's metadata, unknown keys included, without what spoke of the source's own bytes; and how the
/// output is made.
Metadata carried_metadata(const Checkpoint& checkpoint, const Work& work);
/// Metadata of a GGUF output: those, and placeholders of the final size for the evidence known at the end.
Metadata output_metadata(const Checkpoint& checkpoint, const Work& work);
/// Fills the placeholders.
void set_evidence(Metadata& metadata, const std::string& digest, const std::vector<TensorRecord>& records);

/// Identifies a source by its metadata, its tensor table, its size and the first and last 4 KB of every
/// tensor: reading all of it would double the time of a resume.
Result<std::string> source_fingerprint(const Checkpoint& checkpoint);
/// Names everything that decides the output's bytes, for the journal.
Result<std::string> fingerprint(const Checkpoint& checkpoint, const Work& work);

}  // namespace carat
