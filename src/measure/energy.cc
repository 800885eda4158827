#include "measure/energy.h"

#include <filesystem>
#include <fstream>

namespace carat {
namespace {

std::optional<uint64_t> read_number(const std::filesystem::path& path) {
  std::ifstream file(path);
  uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;
  return value;
}

}  // namespace

EnergyMeter::EnergyMeter(const std::string& root) {
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(root, none)) {
    // intel-rapl:0 is a package (AMD's too); intel-rapl:0:1 a part of it, which would be counted twice, and
    // intel-rapl-mmio:0 the same package by another way.
    const std::string name = entry.path().filename();
    if (!name.starts_with("intel-rapl:") || name.find(':') != name.rfind(':')) continue;
    std::string kind;
    std::ifstream(entry.path() / "name") >> kind;
    if (!kind.starts_with("package")) continue;
    const auto range = read_number(entry.path() / "max_energy_range_uj");
    if (!range || !read_number(entry.path() / "energy_uj")) continue;
    domains_.push_back({entry.path() / "energy_uj", *range, 0});
  }
}

void EnergyMeter::start() {
  for (Domain& d : domains_) d.began = read_number(d.counter).value_or(0);
}

double EnergyMeter::joules() const {
  uint64_t sum = 0;
  for (const Domain& d : domains_) {
    const uint64_t now = read_number(d.counter).value_or(d.began);
    sum += now >= d.began ? now - d.began : now + d.range - d.began;
  }
  return static_cast<double>(sum) * 1e-6;
}

}  // namespace carat
