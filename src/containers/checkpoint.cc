#include "containers/checkpoint.h"

#include "containers/quote.h"

namespace carat {

Status Tensor::read_rows(int64_t first, int64_t count, float* out) const {
  if (!encoding->can_decode()) {
    return bad_data("tensor {} is stored as {}, which carat can copy but not compute with", quote(name),
                    encoding->name);
  }
  if (first < 0 || count < 0 || first > rows() || count > rows() - first) {
    return error(Code::internal, "tensor {}: rows {} to {} of {} asked for", quote(name), first,
                 first + count, rows());
  }
  if (count * columns() == 0) return {};
  if (const Bytes all = data->mapped(); !all.empty()) {
    encoding->decode_rows(all.data() + static_cast<uint64_t>(first) * row_bytes(), count, columns(), out);
    return {};
  }
  std::vector<uint8_t> stored(static_cast<uint64_t>(count) * row_bytes());
  CARAT_DO(data->read_bytes(first, count, stored.data()));
  encoding->decode_rows(stored.data(), count, columns(), out);
  return {};
}

Result<std::vector<float>> Tensor::read_all() const {
  std::vector<float> out(static_cast<size_t>(elements()));
  CARAT_DO(read_rows(0, rows(), out.data()));
  return out;
}

const Tensor* Checkpoint::find(std::string_view name) const {
  const auto it = index_.find(std::string(name));
  return it == index_.end() ? nullptr : &tensors[it->second];
}

Result<const Tensor*> Checkpoint::at(std::string_view name) const {
  if (const Tensor* t = find(name)) return t;
  return bad_data("{}: tensor {} is missing", source, quote(name));
}

Status Checkpoint::reindex() {
  index_.clear();
  index_.reserve(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!index_.emplace(tensors[i].name, i).second) {
      return bad_data("{}: two tensors are named {}", source, quote(tensors[i].name));
    }
  }
  return {};
}

}  // namespace carat
