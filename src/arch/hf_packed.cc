#include "arch/hf_packed.h"

#include <cmath>
#include <cstring>

#include "containers/quote.h"
#include "encodings/all.h"

namespace carat {
namespace {

constexpr int64_t kTile = 128;  ///< rows and columns of FP8 under one scale

const Encoding& fp8_tiles() {
  static const Encoding& e = *find_encoding("FP8_BLOCK128");
  return e;
}

/// GGUF's block has a byte's two columns sixteen apart, where these have them side by side.
class Mxfp4Rows final : public TensorData {
 public:
  Mxfp4Rows(Tensor blocks, Tensor scales, int64_t groups)
      : blocks_(std::move(blocks)), scales_(std::move(scales)), groups_(groups) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    std::vector<uint8_t> codes(static_cast<size_t>(groups_) * 16), scales(static_cast<size_t>(groups_));
    for (int64_t r = first; r < first + count; ++r) {
      CARAT_DO(blocks_.data->read_bytes(r * groups_, groups_, codes.data()));
      CARAT_DO(scales_.data->read_bytes(r, 1, scales.data()));
      for (size_t g = 0; g < scales.size(); ++g) {
        const uint8_t* pairs = codes.data() + 16 * g;
        MXFP4::Block block{scales[g], {}};
        for (size_t j = 0; j < 16; ++j) {
          const int shift = j % 2 == 0 ? 0 : 4;
          block.qs[j] =
              static_cast<uint8_t>((pairs[j / 2] >> shift & 15) | (pairs[8 + j / 2] >> shift & 15) << 4);
        }
        std::memcpy(out, &block, sizeof block);
        out += sizeof block;
      }
    }
    return {};
  }
  void prepare(int64_t first, int64_t count) const override {
    blocks_.data->prepare(first * groups_, count * groups_);
  }
  void release(int64_t first, int64_t count) const override {
    blocks_.data->release(first * groups_, count * groups_);
  }

 private:
  Tensor blocks_, scales_;
  int64_t groups_;  ///< of 32 columns, in a row
};

/// GGUF's block has 64 columns: four scales, then for each sixteen columns a byte's two eight apart.
class Nvfp4Rows final : public TensorData {
 public:
  Nvfp4Rows(Tensor codes, Tensor scales) : codes_(std::move(codes)), scales_(std::move(scales)) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    std::vector<uint8_t> codes(static_cast<size_t>(codes_.columns())),
        scales(static_cast<size_t>(scales_.columns()));
    for (int64_t r = first; r < first + count; ++r) {
      CARAT_DO(codes_.data->read_bytes(r, 1, codes.data()));
      CARAT_DO(scales_.data->read_bytes(r, 1, scales.data()));
      for (size_t g = 0; g < scales.size(); g += 4) {
        NVFP4::Block block{};
        for (size_t i = 0; i < 4; ++i) {
          block.d[i] = scales[g + i];
          if (block.d[i] >= 0x7f)  // -0 included, which no quantizer writes
            return bad_data("tensor {}: the scale {} of row {} is negative or no number", quote(scales_.name),
                            g + i, r);
          const uint8_t* pairs = codes.data() + 8 * (g + i);
          for (size_t j = 0; j < 8; ++j) {
            const int shift = j % 2 == 0 ? 0 : 4;
            block.qs[8 * i + j] =
                static_cast<uint8_t>((pairs[j / 2] >> shift & 15) | (pairs[4 + j / 2] >> shift & 15) << 4);
          }
        }
        std::memcpy(out, &block, sizeof block);
        out += sizeof block;
      }
    }
    return {};
  }
  void prepare(int64_t first, int64_t count) const override { codes_.data->prepare(first, count); }
  void release(int64_t first, int64_t count) const override { codes_.data->release(first, count); }

 private:
  Tensor codes_, scales_;
};

/// The scales of its tiles before each row's codes.
class Fp8Rows final : public TensorData {
 public:
  Fp8Rows(Tensor codes, Tensor scales) : codes_(std::move(codes)), scales_(std::move(scales)) {}
  Status read_bytes(int64_t first, int64_t count, uint8_t* out) const override {
    const auto columns = static_cast<size_t>(codes_.columns());
    std::vector<float> scales(static_cast<size_t>(scales_.columns()));
    for (int64_t r = first; r < first + count; ++r) {
      if (r == first || r % kTile == 0) CARAT_DO(scales_.read_rows(r / kTile, 1, scales.data()));
      std::memcpy(out, scales.data(), scales.size() * sizeof(float));
      out += scales.size() * sizeof(float);
      CARAT_DO(codes_.data->read_bytes(r, 1, out));
      out += columns;
    }
    return {};
  }
  void prepare(int64_t first, int64_t count) const override { codes_.data->prepare(first, count); }
  void release(int64_t first, int64_t count) const override { codes_.data->release(first, count); }

 private:
  Tensor codes_, scales_;
};

Result<Tensor> mxfp4(const Tensor& blocks, const Tensor& scales) {
  const Encoding& bytes = *find_encoding("U8");
  const std::vector<int64_t>& shape = blocks.shape;
  const bool fits = shape.size() >= 3 && shape.back() == 16 &&
                    scales.shape == std::vector<int64_t>(shape.begin(), shape.end() - 1) &&
                    scales.shape.back() > 0;
  if (!fits || blocks.encoding != &bytes || scales.encoding != &bytes)
    return bad_data("tensors {} ({}) and {} ({}) are no MXFP4: U8 blocks of 16, and a U8 scale for each",
                    quote(blocks.name), blocks.encoding->name, quote(scales.name), scales.encoding->name);
  Tensor t = scales;
  t.name = blocks.name;
  t.shape.back() *= 32;
  t.encoding = &encoding_of<MXFP4>();
  t.data = std::make_shared<Mxfp4Rows>(blocks, scales, scales.shape.back());
  return t;
}

Result<Tensor> fp8(const Tensor& codes, const Tensor& scales) {
  const std::vector<int64_t>& shape = codes.shape;
  if (shape.size() != 2 || shape[1] % kTile != 0 || !scales.encoding->can_decode() ||
      scales.shape != std::vector<int64_t>{ceil_div(shape[0], kTile), shape[1] / kTile})
    return bad_data(
        "tensor {} does not have a scale in {} for each tile of {} x {} (its columns must be whole tiles)",
        quote(codes.name), quote(scales.name), kTile, kTile);
  Tensor t = codes;
  t.encoding = &fp8_tiles();
  t.data = std::make_shared<Fp8Rows>(codes, scales);
  return t;
}

/// One positive number, or its inverse; nothing where there is no such tensor.
Result<std::vector<float>> one_factor(const Checkpoint& source, const std::string& name, bool inverse,
                                      std::unordered_set<std::string_view>& used) {
  const Tensor* t = source.find(name);
  if (!t) return std::vector<float>();
  used.insert(t->name);
  if (t->elements() != 1 || !t->encoding->can_decode())
    return bad_data("tensor {} ({}) is not one float", quote(name), t->encoding->name);
  CARAT_TRY(std::vector<float> value, t->read_all());
  const float factor = inverse ? 1.0f / value[0] : value[0];
  if (!(factor > 0) || !std::isfinite(factor))
    return bad_data("tensor {} holds {}, which is no factor of weights", quote(name), value[0]);
  value[0] = factor;
  return value;
}

/// Codes U8 under scales E4M3; `name` is the weights', and tells where the factors are.
Result<HfWeights> nvfp4(const Checkpoint& source, const std::string& name, const Tensor& codes,
                        const Tensor& scales, std::unordered_set<std::string_view>& used) {
  const bool fits = codes.shape.size() == 2 && codes.encoding == find_encoding("U8") && codes.shape[1] > 0 &&
                    codes.shape[1] % 32 == 0 && scales.encoding == find_encoding("F8_E4M3") &&
                    scales.shape == std::vector<int64_t>{codes.shape[0], codes.shape[1] / 8};
  if (!fits)
    return bad_data(
        "tensors {} ({}) and {} ({}) are no NVFP4 that GGUF could hold: U8 of two columns each, 64 columns "
        "or "
        "multiples of them, and an F8_E4M3 scale for each 16",
        quote(codes.name), codes.encoding->name, quote(scales.name), scales.encoding->name);
  const bool inverse = codes.name != name;
  const std::string layer = name.substr(0, name.rfind('.') + 1);
  HfWeights out;
  CARAT_TRY(out.scale, one_factor(source, name + (inverse ? "_global_scale" : "_scale_2"), inverse, used));
  CARAT_TRY(out.input_scale,
            one_factor(source, layer + (inverse ? "input_global_scale" : "input_scale"), inverse, used));
  out.tensor = codes;
  out.tensor.shape.back() *= 2;
  out.tensor.encoding = &encoding_of<NVFP4>();
  out.tensor.data = std::make_shared<Nvfp4Rows>(codes, scales);
  return out;
}

}  // namespace

Result<std::optional<HfWeights>> find_weights(const Checkpoint& source, const std::string& name,
                                              std::unordered_set<std::string_view>& used) {
  // Blocks and scales, or codes and scales.
  const Tensor* plain = source.find(name);
  const Tensor* packed = source.find(name + "_packed");
  const Tensor* fine = source.find(name + "_scale");
  if (packed || (plain && fine && plain->encoding == find_encoding("U8"))) {
    const Tensor& codes = packed ? *packed : *plain;
    if (!fine) return bad_data("there is a tensor {}, but no {}", codes.name, name + "_scale");
    used.insert(codes.name);
    used.insert(fine->name);
    CARAT_TRY(HfWeights found, nvfp4(source, name, codes, *fine, used));
    return std::optional<HfWeights>(std::move(found));
  }
  const bool is_fp8 = plain && plain->encoding == find_encoding("F8_E4M3");
  if (plain && !is_fp8) {
    used.insert(plain->name);
    return std::optional<HfWeights>({*plain, {}, {}});
  }
  const Tensor* codes = is_fp8 ? plain : source.find(name + "_blocks");
  const std::string of_scales = name + (is_fp8 ? "_scale_inv" : "_scales");
  const Tensor* scales = source.find(of_scales);
  if (!codes && !scales) return std::optional<HfWeights>();
  if (!codes || !scales)
    return bad_data("there is a tensor {}, but no {}", codes ? codes->name : scales->name,
                    codes ? of_scales : name + "_blocks");
  used.insert(codes->name);
  used.insert(scales->name);
  CARAT_TRY(Tensor t, is_fp8 ? fp8(*codes, *scales) : mxfp4(*codes, *scales));
  return std::optional<HfWeights>({std::move(t), {}, {}});
}

bool is_packed(const Encoding& encoding) {
  return &encoding == &encoding_of<MXFP4>() || &encoding == &encoding_of<NVFP4>() ||
         &encoding == &fp8_tiles();
}

}  // namespace carat
