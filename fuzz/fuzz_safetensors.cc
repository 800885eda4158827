// read_safetensors on any bytes.
#include "containers/safetensors.h"
#include "fuzz/check.h"
#include "fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const carat::fuzz::MemoryFile file(data, size);
  carat::fuzz::check_checkpoint(carat::read_safetensors(file.path()));
  return 0;
}
