#include "app/calibration_report.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <sstream>

namespace uhd {
namespace {

double worst_residual(const Calibration& found) {
  double worst = 0;
  for (const MeasuredProduct& product : found.products) worst = std::max(worst, std::abs(product.residual()));
  return worst;
}

}  // namespace

std::string calibration_yaml(const Calibration& found) {
  const Machine& machine = found.machine;
  std::ostringstream yaml;
  yaml.precision(4);
  yaml << "# Measured by `uhd calibrate` on " << found.backend
       << ".\n# `uhd plan --machine` with this file tells expected times, and not what no device can beat.\n"
       << "name: \"" << machine.name << "\"\nmeasured: true\n"
       << (machine.host ? "host: true\n" : "") << "bf16_tflops: " << machine.bf16_tflops
       << "  # products of 512 rows\n"
       << "memory_gb_s: " << machine.memory_gb_s << "  # of weights, in products of one row\n"
       << "memory_gb: " << machine.memory_gb << "  # that could be taken then\n"
       << "link_gb_s: " << machine.link_gb_s << "  # sums of two ranks, as threads\n"
       << "multiprocessors: " << machine.multiprocessors << "  # threads\n"
       << "# A picture of 3 megapixels as PNG is decoded in " << found.decode_s * 1e3
       << " ms by one thread.\n"
       << "# Products of 4096x4096, measured and by the larger of both rates; residuals up to "
       << std::lround(100 * worst_residual(found)) << " %:\n";
  for (const MeasuredProduct& p : found.products) {
    yaml << "#   " << p.rows << " rows: " << p.measured_s * 1e3 << " ms, " << p.expected_s * 1e3 << " ms, "
         << std::lround(100 * p.residual()) << " %\n";
  }
  return yaml.str();
}

std::string calibration_json(const Calibration& found) {
  namespace json = boost::json;
  const Machine& machine = found.machine;
  json::array products;
  for (const MeasuredProduct& p : found.products) {
    products.push_back(
        json::object{{"rows", p.rows}, {"measured_s", p.measured_s}, {"expected_s", p.expected_s}});
  }
  return json::serialize(json::object{{"name", machine.name},
                                      {"measured", machine.measured},
                                      {"host", machine.host},
                                      {"backend", found.backend},
                                      {"bf16_tflops", machine.bf16_tflops},
                                      {"memory_gb_s", machine.memory_gb_s},
                                      {"memory_gb", machine.memory_gb},
                                      {"link_gb_s", machine.link_gb_s},
                                      {"multiprocessors", machine.multiprocessors},
                                      {"picture_decode_s", found.decode_s},
                                      {"products", std::move(products)}});
}

}  // namespace uhd
