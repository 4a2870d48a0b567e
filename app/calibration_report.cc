#include "app/calibration_report.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <sstream>

#include "base/error.h"

namespace uhd {
namespace {

double worst_residual(const Calibration& found) {
  double worst = 0;
  for (const MeasuredProduct& product : found.products) worst = std::max(worst, std::abs(product.residual()));
  return worst;
}

std::string kind_of(const LinkTimes& links) {
  if (links.threads) return message("sums of ", links.ranks, " ranks, as threads of one process");
  return message("sums of ", links.ranks, " ranks under MPI, on ", links.hosts,
                 links.hosts == 1 ? " host" : " hosts");
}

void write_links(std::ostream& yaml, const LinkTimes& links) {
  const auto large = static_cast<double>(kLargeBytes);
  if (links.threads) yaml << "# Links are threads of one process: under mpirun they are those of ranks.\n";
  yaml << "# A sum of " << kStepSumBytes / 1024 << " KiB, as in a decode step, takes "
       << links.step_sum_s * 1e6 << " us, one of " << kLargeBytes / 1048576 << " MiB "
       << links.large_sum_s * 1e3 << " ms.\n# " << kLargeBytes / 1048576
       << " MiB from the first to the last rank take " << links.transfer_s * 1e3
       << " ms: " << large / links.transfer_s / 1e9 << " GB/s one way.\n";
}

boost::json::object links_json(const LinkTimes& links) {
  return {{"kind", links.threads ? "threads" : "mpi"},
          {"ranks", links.ranks},
          {"hosts", links.hosts},
          {"sums", boost::json::array{{{"bytes", kStepSumBytes}, {"seconds", links.step_sum_s}},
                                      {{"bytes", kLargeBytes}, {"seconds", links.large_sum_s}}}},
          {"transfer", {{"bytes", kLargeBytes}, {"seconds", links.transfer_s}}}};
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
       << "link_gb_s: " << machine.link_gb_s << "  # " << kind_of(found.links) << "\n"
       << "multiprocessors: " << machine.multiprocessors << "  # threads\n";
  write_links(yaml, found.links);
  yaml << "# A picture of 3 megapixels as PNG is decoded in " << found.decode_s * 1e3
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
                                      {"links", links_json(found.links)},
                                      {"picture_decode_s", found.decode_s},
                                      {"products", std::move(products)}});
}

}  // namespace uhd
