// Streams tensors through slabs of rows: read and hash, decode and round, hash and write.
//
// Each of the three is a stage that works on as long as it has slabs: the pool rounds, one thread reads what
// comes after (mapping its pages and hashing it), one writes what came before, so that the disk and the
// digests cost time only where they are slower than the rounding. Four slabs are in flight, whatever the
// model's size. Rejected: stages in lock-step, which wait for the slowest of every step.
#pragma once

#include "quantize/guide.h"
#include "quantize/provenance.h"
#include "quantize/work.h"

namespace carat {

/// Writes every tensor from writer.completed() on. `records` gets one record per tensor, those of a resume
/// first. `stage` names the work to whoever is told of progress. guide: what data says about the tensors, or
/// null.
Status stream_tensors(const Context& context, std::string_view stage, const Checkpoint& checkpoint,
                      const Work& work, uint64_t slab_weights, Guide* guide, CheckpointWriter& writer,
                      std::vector<TensorRecord>& records);

/// As if it wrote, for the records alone: what the tensors are, and what rounding them loses.
Status measure_tensors(const Context& context, std::string_view stage, const Checkpoint& checkpoint,
                       const Work& work, std::vector<TensorRecord>& records);

}  // namespace carat
