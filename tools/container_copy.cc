// container_copy IN OUT: reads a GGUF file, a safetensors file or a directory of them, and writes all of it
// again in the same container (OUT: a file for GGUF, an existing directory for safetensors). Driven by
// oracle_containers.py.
#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "containers/gguf.h"
#include "containers/safetensors.h"

namespace carat {
namespace {

constexpr int64_t slab_rows = 7;  // an odd number, so that slabs and tensors do not end together

Status copy_rows(const Tensor& tensor, auto& writer) {
  std::vector<uint8_t> slab;
  for (int64_t row = 0; row < tensor.rows(); row += slab_rows) {
    const int64_t count = std::min(slab_rows, tensor.rows() - row);
    slab.resize(static_cast<uint64_t>(count) * tensor.row_bytes());
    CARAT_DO(tensor.data->read_bytes(row, count, slab.data()));
    CARAT_DO(writer.write(slab));
    tensor.data->release(row, count);
  }
  return {};
}

Status copy(const std::string& in, const std::string& out) {
  const bool directory = std::filesystem::is_directory(in);
  const bool gguf = in.ends_with(".gguf");
  CARAT_TRY(const Checkpoint checkpoint, directory ? read_safetensors_directory(in)
                                         : gguf    ? read_gguf(in)
                                                   : read_safetensors(in));
  std::vector<PlannedTensor> plan;
  for (const Tensor& t : checkpoint.tensors) plan.push_back({t.name, t.shape, t.encoding});
  if (gguf) {
    CARAT_TRY(const auto writer, create_gguf(out, checkpoint.metadata, plan, {}));
    for (const Tensor& t : checkpoint.tensors) {
      CARAT_DO(copy_rows(t, *writer));
      CARAT_DO(writer->finish_tensor(""));
    }
    return writer->finish();
  }
  CARAT_TRY(const auto writer, create_safetensors(out, plan, 3000));
  for (const Tensor& t : checkpoint.tensors) CARAT_DO(copy_rows(t, *writer));
  return writer->finish();
}

}  // namespace
}  // namespace carat

int main(int argc, char** argv) {
  if (argc != 3) return static_cast<int>(carat::Code::usage);
  const carat::Status status = carat::copy(argv[1], argv[2]);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.error().message.c_str());
  return static_cast<int>(status.error().code);
}
