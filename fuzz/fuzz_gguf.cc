// read_gguf on any bytes; what it accepts, the writer can lay out in as many bytes again.
#include "containers/gguf.h"
#include "fuzz/check.h"
#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace carat;
  const fuzz::MemoryFile file(data, size);
  const auto read = read_gguf(file.path());
  fuzz::check_checkpoint(read);
  if (!read.ok()) return 0;

  std::vector<PlannedTensor> plan;
  for (const Tensor& t : read->tensors) plan.push_back({t.name, t.shape, t.encoding});
  const auto bytes = gguf_file_size(read->metadata, plan);
  if (bytes.ok()) {
    const uint64_t alignment = *read->metadata.unsigned_or("general.alignment", 32);
    fuzz::check(*bytes <= size + alignment);
  } else {
    fuzz::check(bytes.error().code ==
                Code::bad_data);  // names of more than 63 bytes are read but not written
  }
  return 0;
}
