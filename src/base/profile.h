// Where the time of a long computation goes. Whoever wants to know puts a Profile into the Context; without
// one the cost is a comparison with null per operation.
#pragma once

#include <string_view>

namespace carat {

class Profile {
 public:
  /// What an operation cannot do without: bytes from memory, and operations, a multiply-add as two.
  struct Cost {
    double bytes = 0;
    double int8 = 0, bf16 = 0, f32 = 0;
  };
  virtual ~Profile() = default;
  /// `operation` took `seconds`; `detail` tells operations of one name apart (the encoding of the weights).
  virtual void add(std::string_view operation, std::string_view detail, double seconds, const Cost& cost) = 0;
};

}  // namespace carat
