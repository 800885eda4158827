// Energy by the processor's own counters (RAPL), where the system lets programs read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace carat {

/// The packages' counters under /sys/class/powercap (Linux; root only, and absent in most virtual machines).
class EnergyMeter {
 public:
  explicit EnergyMeter(const std::string& root = "/sys/class/powercap");

  bool available() const { return !domains_.empty(); }
  /// Joules since the last start(), of all packages; counters that wrapped around once are seen through.
  void start();
  double joules() const;

 private:
  struct Domain {
    std::string counter;  ///< path of energy_uj
    uint64_t range = 0;   ///< microjoules at which it begins again
    uint64_t began = 0;
  };
  std::vector<Domain> domains_;
};

}  // namespace carat
