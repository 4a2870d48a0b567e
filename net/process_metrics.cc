#include "net/process_metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>
#include <vector>

#include "base/version.h"

namespace uhd {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

MetricFamily counter(const char* name, const char* help, double value) {
  ClientMetric metric;
  metric.counter.value = value;
  return {.name = name, .help = help, .type = MetricType::Counter, .metric = {std::move(metric)}};
}

MetricFamily gauge(const char* name, const char* help, double value,
                   std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric metric;
  metric.label = std::move(labels);
  metric.gauge.value = value;
  return {.name = name, .help = help, .type = MetricType::Gauge, .metric = {std::move(metric)}};
}

// The fields of /proc/self/stat behind the program's name, which may hold anything (proc(5): field 3 is the
// first here).
std::vector<double> stat_fields() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 2, text.size())));
  std::string state;
  rest >> state;
  std::vector<double> fields{0};
  for (double field = 0; rest >> field;) fields.push_back(field);
  return fields;
}

// The second at which the system began, since 1970.
double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

int open_files() {
  std::error_code failed;
  int count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", failed), end; !failed && at != end;
       at.increment(failed)) {
    ++count;
  }
  return count;
}

}  // namespace

std::string process_metrics() {
  constexpr size_t kUserTime = 14 - 3, kSystemTime = 15 - 3, kThreads = 20 - 3, kStart = 22 - 3;
  constexpr size_t kVirtual = 23 - 3, kResident = 24 - 3;
  std::vector<MetricFamily> told;
  told.push_back(gauge("uhd_build_info", "The program's version; the value is 1", 1,
                       {{"version", std::string(version())}}));
  if (const std::vector<double> stat = stat_fields(); stat.size() > kResident) {
    const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
    const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
    told.push_back(counter("process_cpu_seconds_total", "Processor time of user and system, in seconds",
                           (stat[kUserTime] + stat[kSystemTime]) / ticks));
    told.push_back(gauge("process_resident_memory_bytes", "Resident memory", stat[kResident] * page));
    told.push_back(gauge("process_virtual_memory_bytes", "Virtual memory", stat[kVirtual]));
    told.push_back(gauge("process_threads", "Threads", stat[kThreads]));
    told.push_back(gauge("process_start_time_seconds", "Start of the process, in seconds since 1970",
                         boot_time() + stat[kStart] / ticks));
    told.push_back(gauge("process_open_fds", "Open file descriptors", open_files()));
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    told.push_back(
        gauge("process_max_fds", "The most file descriptors", static_cast<double>(limit.rlim_cur)));
  }
  return prometheus::TextSerializer().Serialize(told);
}

}  // namespace uhd
